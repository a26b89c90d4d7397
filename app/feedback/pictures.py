"""The pictures that people let us keep, and what each looks like."""

import hashlib
from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path

import numpy as np
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.feedback.tables import Picture
from app.registry.files import write_file
from app.registry.sharing import Site, site_at
from app.registry.state import locked, now
from app.vision.keeping import Kept
from app.vision.look import HASH_SIDE, MOST_BITS, Bits

_STORED = "pictures"
"""The folder of the sites' store where they lie."""


def folder_of(models_dir: Path) -> Path:
    """Where the pictures lie."""
    return models_dir / ".feedback" / "pictures"


def path_of(models_dir: Path, sha256: str) -> Path:
    """The file of a picture."""
    return folder_of(models_dir) / f"{sha256}.jpg"


def guarded(models_dir: Path) -> AbstractContextManager[object]:
    """Within it no other process of this machine keeps or removes a picture: a file belongs to a row, or to nobody."""
    return locked(models_dir / ".feedback")


def find_picture(models_dir: Path, sha256: str) -> Path | None:
    """The file of a picture, brought here from the sites' store where another site has taken it; None: it is gone.

    Raises:
        StoreAway: there is a store, and it does not answer.
    """
    path = path_of(models_dir, sha256)
    if path.is_file():
        return path
    site = _site(models_dir)
    jpeg = site.get(_in_store(sha256)) if site else None
    if jpeg is None or hashlib.sha256(jpeg).hexdigest() != sha256:
        return None
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_file(path, jpeg, mode=0o600)
    return path


def is_kept(models_dir: Path, sha256: str) -> bool:
    """Whether the file of a picture that has a row is there; of a store that is believed, since asking it is slow."""
    return _site(models_dir) is not None or path_of(models_dir, sha256).is_file()


def remove_files(models_dir: Path, hashes: Iterable[str]) -> None:
    """Remove the files of pictures, in the store too; what another site has brought to itself goes with its next sweep.

    Raises:
        StoreAway: there is a store, and it does not answer; the next sweep of any site removes them.
    """
    site = _site(models_dir)
    for sha256 in hashes:
        path_of(models_dir, sha256).unlink(missing_ok=True)
        if site is not None:
            site.remove(_in_store(sha256))


def in_store(models_dir: Path) -> dict[str, datetime]:
    """The pictures in the store by hash, with the time of each; nothing where there is no store. Raises StoreAway."""
    site = _site(models_dir)
    found = site.names(_STORED) if site else {}
    return {name.removesuffix(".jpg"): moment for name, moment in found.items()}


def shares_pictures(models_dir: Path) -> bool:
    """Whether the pictures lie in a store, too, that all sites share with their records."""
    return _site(models_dir) is not None


def _site(models_dir: Path) -> Site | None:
    """The site whose store the pictures lie in, too; a database of its own knows only its own pictures."""
    site = site_at(models_dir)
    return site if site is not None and site.shares_records else None


def _in_store(sha256: str) -> str:
    return f"{_STORED}/{sha256}.jpg"


def write_picture(models_dir: Path, kept: Kept) -> bool:
    """Put the file in place, whole; says whether it was not there before. Raises OSError, and StoreAway."""
    path = path_of(models_dir, kept.sha256)
    site = _site(models_dir)
    if site is not None:  # even where it is here: another site may have forgotten it
        site.put(_in_store(kept.sha256), kept.jpeg)
    if path.exists():
        return False
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_file(path, kept.jpeg, mode=0o600)
    return True


def add_row(session: Session, kept: Kept) -> None:
    """The row of a picture, joined to the earliest that shows the same."""
    if session.get(Picture, kept.sha256) is not None:
        return
    session.add(Picture(sha256=kept.sha256, look=kept.look, created=now(), same_as=_earlier(session, kept.look)))
    session.flush()


def remove_rows(session: Session, hashes: Iterable[str]) -> None:
    """Remove pictures' rows; those joined to one that goes are joined to the oldest among them instead."""
    for sha256 in hashes:
        followers = session.scalars(
            select(Picture.sha256).where(Picture.same_as == sha256).order_by(Picture.created, Picture.sha256)
        ).all()
        if followers:
            session.execute(update(Picture).where(Picture.sha256.in_(followers)).values(same_as=followers[0]))
            session.execute(update(Picture).where(Picture.sha256 == followers[0]).values(same_as=None))
        row = session.get(Picture, sha256)
        if row is not None:
            session.delete(row)
            session.flush()


def _earlier(session: Session, look: str) -> str | None:
    """The picture that `look` is the look of, within the measured limit; the nearest, where there are several."""
    if not look:
        return None
    firsts = select(Picture.sha256, Picture.look).where(Picture.same_as.is_(None), Picture.look != "")
    rows = session.execute(firsts).all()
    if not rows:
        return None
    distance = np.bitwise_count(_bits(row.look for row in rows) ^ _bits([look])).sum(axis=1, dtype=np.uint16)
    nearest = int(distance.argmin())
    return str(rows[nearest].sha256) if distance[nearest] <= MOST_BITS else None


def _bits(looks: Iterable[str]) -> Bits:
    """Looks as uint64 `[n, 4]`."""
    return np.frombuffer(bytes.fromhex("".join(looks)), np.uint64).reshape(-1, HASH_SIDE * HASH_SIDE // 64)
