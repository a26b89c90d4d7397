"""Full disks, killed processes and many at once: what is in an album stays, whole and once."""

import multiprocessing
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from app.errors import StorageFull
from app.photos.album import (
    add_class,
    folder_of,
    forget_removed,
    read_album,
)
from app.photos.album_errors import InAnotherClass
from app.photos.album_photos import (
    add_photo,
    move_photos,
    photos_of,
)
from tests.albums.photos import files, ids, kept, pets


def test_a_full_disk_is_told_of_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    key = pets(tmp_path, cats=1)
    before = files(tmp_path, key)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))
    try:
        with pytest.raises(StorageFull):
            add_photo(tmp_path, key, "c1", kept(1))
        with pytest.raises(StorageFull):
            add_class(tmp_path, key, "bird", "鸟")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [name for name in files(tmp_path, key) if name != "album.json"] == before[1:]
    assert len(read_album(tmp_path, key).classes) == 2
    add_photo(tmp_path, key, "c1", kept(1))


def test_what_a_killed_process_left_is_no_photo_and_goes(tmp_path: Path) -> None:
    key = pets(tmp_path, cats=1)
    left = folder_of(tmp_path, key) / "c1" / f".{'0' * 16}-240x200.jpg-abcdef"
    left.write_bytes(b"half a photo")
    (folder_of(tmp_path, key) / "c1" / "notes.jpg").write_bytes(b"put there by hand")
    assert [len(some) for some in ids(tmp_path, key).values()] == [1, 0]
    forget_removed(tmp_path, key)
    assert not left.exists()


def _send(models: Path, key: str, first: int, class_id: str) -> None:
    """In a process of its own, from four threads: send 24 photos, half of them in both processes, and make classes."""

    def one(seed: int) -> None:
        with suppress(InAnotherClass):
            add_photo(models, key, class_id, kept(seed))
        add_class(models, key, f"{class_id}, {seed}", "")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(first, first + 24)))


def test_two_processes_with_threads_lose_nothing_and_put_nothing_in_twice(tmp_path: Path) -> None:
    key = pets(tmp_path)
    context = multiprocessing.get_context("spawn")
    orders = ((tmp_path, key, 0, "c1"), (tmp_path, key, 12, "c2"))
    processes = [context.Process(target=_send, args=order) for order in orders]
    for process in processes:
        process.start()
    while any(process.is_alive() for process in processes):  # somebody sorts meanwhile
        move_photos(tmp_path, key, ids(tmp_path, key)["c1"][:2], "c2")
        time.sleep(0.05)
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    there = [photo for some in ids(tmp_path, key).values() for photo in some]
    assert sorted(there) == sorted(kept(seed).sha256[:16] for seed in range(36))
    assert len(read_album(tmp_path, key).classes) == 2 + 2 * 24, "no class was written over"
    for some in photos_of(tmp_path, read_album(tmp_path, key)).values():
        assert all(photo.path.read_bytes()[-2:] == b"\xff\xd9" for photo in some), "whole JPEGs"
    assert not [name for name in files(tmp_path, key) if "/." in name]
