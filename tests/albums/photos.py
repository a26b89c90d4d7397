"""Help for the tests of albums: photos to put in, and an album with some."""

import io
from pathlib import Path

from PIL import Image

from app.photos.album import Album, add_class, create_album, folder_of, read_album
from app.photos.album_photos import add_photo, photos_of
from app.vision.keeping import Kept, prepare
from tests.test_examination import picture

MAX_PIXELS = 1_000_000


def jpeg(seed: int, image: Image.Image | None = None) -> bytes:
    """A photo like that of no other seed."""
    buffer = io.BytesIO()
    (image or picture(seed)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def kept(seed: int) -> Kept:
    return prepare(jpeg(seed), MAX_PIXELS)


def pets(models: Path, cats: int = 0, dogs: int = 0) -> str:
    """An album of two classes, c1 cat 猫 and c2 dog 狗; its key."""
    album = create_album(models, "My pets", "我的宠物")
    for label, label_zh in (("cat", "猫"), ("dog", "狗")):
        add_class(models, album.key, label, label_zh)
    for seed in range(cats):
        add_photo(models, album.key, "c1", kept(seed))
    for seed in range(100, 100 + dogs):
        add_photo(models, album.key, "c2", kept(seed))
    return album.key


def ids(models: Path, album: Album | str) -> dict[str, list[str]]:
    """The ids of each class's photos."""
    album = read_album(models, album) if isinstance(album, str) else album
    return {class_id: [photo.id for photo in some] for class_id, some in photos_of(models, album).items()}


def kept_again(seed: int) -> Kept:
    """The same photo saved anew: other bytes, the same picture."""
    return prepare(jpeg(seed, picture(seed).resize((180, 150))), MAX_PIXELS)


def files(models: Path, key: str) -> list[str]:
    """All files of an album but its own record, hidden ones too."""
    folder = folder_of(models, key)
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
