"""One export from beginning to end: read a mode, write it in a format, check the file, and only then name it."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from app.config import Settings
from app.errors import ExportError
from app.export.check import Agreement, Judge, limits_of, milliseconds, pictures_to_check
from app.export.description import described
from app.export.figures import Row, dynamic_sentence
from app.export.formats import ABOUT, Format, Forward, converted, file_name, open_file, require, write
from app.export.network import WholeNetwork, open_mode
from app.registry.files import written_whole
from app.serving.mode import Mode
from app.vision.download import sha256_of

EXAMPLE = "example.py"
_BESIDE: dict[Format, tuple[Format, ...]] = {
    "torchscript": (),
    "onnx": ("torchscript",),
    "int8": ("torchscript",),
    "dynamic": ("torchscript", "int8"),
}
"""What a format is measured beside."""


@dataclass(frozen=True, slots=True)
class Order:
    """`name`: MODE or MODE@VERSION. `output`: the new folder; None: named after the mode, here.

    `photos`: a folder of photos to check with, in place of drawn pictures.
    """

    name: str
    format: Format
    output: Path | None = None
    photos: Path | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The folder that was written, the figures side by side (its own last), and what is to be said of them."""

    folder: Path
    rows: tuple[Row, ...]
    remark: str | None


@dataclass(frozen=True, slots=True)
class _Source:
    """What is exported: the mode as it is served, the same as one network, and the judge of what is written."""

    mode: Mode
    network: WholeNetwork
    judge: Judge


@dataclass(frozen=True, slots=True)
class _Written:
    """A file that was written, opened again and held against the served mode."""

    format: Format
    path: Path
    megabytes: float
    forward: Forward
    agreement: Agreement


def export(order: Order, settings: Settings) -> Outcome:
    """Write the mode as a folder of three files: the model, `model.json`, and an example of use.

    Raises:
        ExportError: it cannot be written, or does not say what the served mode says; then nothing is left behind.
        ModelError, WeightsError: there is no such mode, or it cannot be served.
    """
    require(order.format)
    mode, network = open_mode(order.name, settings)
    folder = order.output or Path(f"{mode.key}-{mode.model.version}-{order.format}")
    if folder.exists():
        raise ExportError(f"{folder} exists already: name another folder with --output.")
    judge = Judge(mode, pictures_to_check(order.photos, mode.backbone.transform, settings.max_pixels))
    source = _Source(mode, network, judge)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(folder) as aside:
            asked = _checked(_written(order.format, source, aside))
            (aside / ABOUT).write_text(_about(asked, source), encoding="utf-8")
            shutil.copyfile(_example(order.format), aside / EXAMPLE)
            rows = _side_by_side(asked, source)
    except OSError as error:
        raise ExportError(f"{folder} cannot be written: {error.strerror or error}.") from error
    return Outcome(folder, rows, dynamic_sentence(rows, network) if order.format == "dynamic" else None)


def _written(format_: Format, source: _Source, folder: Path) -> _Written:
    """Write the format's file into `folder`, and ask the file what the served mode was asked."""
    path = folder / file_name(format_)
    transform = source.mode.backbone.transform
    network = converted(source.network, format_, transform)
    write(network, path, transform.crop, described(source.mode, format_).model_dump(mode="json", exclude_none=True))
    forward = open_file(path)
    agreement = source.judge.agreement(forward, network.backbone if format_ == "int8" else None)
    return _Written(format_, path, path.stat().st_size / 1e6, forward, agreement)


def _checked(written: _Written) -> _Written:
    limits = limits_of(written.format)
    if not written.agreement.within(limits):
        said = written.agreement.sentence(limits)
        raise ExportError(f"The {written.format} file disagrees with the served mode, and was thrown away: {said}.")
    return written


def _about(written: _Written, source: _Source) -> str:
    known = {"sha256": sha256_of(written.path), "checked": written.agreement}
    description = described(source.mode, written.format).model_copy(update=known)
    return description.model_dump_json(indent=1, exclude_none=True) + "\n"


def _side_by_side(asked: _Written, source: _Source) -> tuple[Row, ...]:
    """The file that was asked for, below those it is measured beside, which are not kept."""
    files = []
    with TemporaryDirectory(prefix="wanwu-export-") as scratch:
        for format_ in _BESIDE[asked.format]:
            folder = Path(scratch) / format_
            folder.mkdir()
            try:
                files.append(_written(format_, source, folder))
            except ExportError:  # a network that knows no int8: one row less
                continue
        files.append(asked)
        times = milliseconds([one.forward for one in files], source.judge.pictures[:1])
    return tuple(Row(one.format, one.megabytes, time, one.agreement) for one, time in zip(files, times, strict=True))


def _example(format_: Format) -> Path:
    return Path(__file__).with_name("example_onnx.py" if format_ == "onnx" else "example_torchscript.py")
