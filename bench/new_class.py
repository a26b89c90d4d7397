"""What a class added from five photos is worth: `python -m bench.new_class MODE PHOTOS OTHERS STRANGERS`.

MODE is a mode of MODELS_DIR that was trained on PHOTOS. Each class of OTHERS is added in its turn, from five photos
drawn anew in each round, to a copy of the mode that is loaded, as it is in a server; what it then says of other photos
of that class, of its own validation photos and of STRANGERS follows.
"""

import argparse
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import torch

from app.config import Settings, read_settings
from app.photos.dataset import read_dataset
from app.photos.files import find_pictures
from app.registry.catalog import Entry
from app.registry.library import read_history
from app.serving.loading import Loader
from app.serving.mode import Mode
from app.serving.new_class import Order, add_class
from app.serving.new_photos import Given
from app.serving.old_photos import features_of

T = TypeVar("T")

SHOTS, ROUNDS = 5, 3
MOST = 150
"""Photos that are looked at of each kind; of the class itself 40 that were not among the five."""
MOST_OF_CLASS = 40


class Rounds:
    """Adds classes to a copy of a mode, and looks at what each does."""

    def __init__(self, settings: Settings, key: str, photos: Path, strangers: Path) -> None:
        self.settings, self.key, self.loader = settings, key, Loader(settings)
        self.folder = settings.models_dir / key
        self.before = self.loader.version(Entry(key, self.folder / str(read_history(settings.models_dir, key).active)))
        dataset = read_dataset(photos)
        known = _some(dataset.validation, MOST)
        self.truth = torch.tensor([sample.label for sample in known])
        self.known = self.features([sample.path for sample in known])
        self.strangers = self.features(_some(find_pictures([strangers]), MOST))

    def features(self, paths: list[Path]) -> torch.Tensor:
        return features_of(self.before, [path.read_bytes() for path in paths], self.settings.max_pixels)[0]

    def added(self, label: str, paths: list[Path], seed: int) -> list[float]:
        """One class from one drawing: seconds, and the shares that the table shows."""
        drawn = _some(paths, SHOTS + MOST_OF_CLASS, seed)
        given = [Given(path.name, path.read_bytes(), path) for path in drawn[:SHOTS]]
        began = time.perf_counter()
        addition = add_class(Order(self.key, label, None, given), self.settings, by="bench",
                             load=lambda _: self.before, check=self.loader.version)  # fmt: skip
        seconds = time.perf_counter() - began
        mode = self.loader.version(Entry(self.key, self.folder / addition.version))
        answer, named = _answers(mode, self.features(drawn[SHOTS:]))
        new = len(mode.labels) - 1
        shares = [_share(answer == new), _share((answer == new) & named), _share(_answers(mode, self.strangers)[1])]
        answer, named = _answers(mode, self.known)
        shutil.rmtree(self.folder / addition.version)
        return [seconds, *shares, _share(answer == self.truth), _share(named)]

    def at_first(self) -> str:
        """The mode without the class."""
        answer, named = _answers(self.before, self.known)
        stranger = _share(_answers(self.before, self.strangers)[1])
        cells = [stranger, _share(answer == self.truth), _share(named)]
        return f"| none | | | | {' | '.join(f'{cell:.1%}' for cell in cells)} |"


def _answers(mode: Mode, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The classes answered `[n]`, and whether each gets its name `[n]`."""
    probabilities, sureness = mode.judged(features)
    return probabilities.argmax(dim=1), sureness >= mode.threshold


def _share(mask: torch.Tensor) -> float:
    return float(mask.double().mean())


def _some(things: Sequence[T], most: int, seed: int = 0) -> list[T]:
    return random.Random(seed).sample(list(things), min(most, len(things)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode")
    for name in ("photos", "others", "strangers"):
        parser.add_argument(name, type=Path)
    order = parser.parse_args()
    settings = read_settings()
    torch.set_num_threads(settings.torch_threads)
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copytree(settings.models_dir / order.mode, Path(scratch, order.mode))
        copy = settings.model_copy(update={"models_dir": Path(scratch)})
        rounds = Rounds(copy, order.mode, order.photos, order.strangers)
        print("| class added | median s | right | named | strangers named | old right | old named |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        print(rounds.at_first())
        for folder in sorted(path for path in order.others.iterdir() if path.is_dir()):
            paths = find_pictures([folder])
            columns = list(zip(*(rounds.added(folder.name, paths, seed) for seed in range(ROUNDS)), strict=True))
            cells = [f"{statistics.median(columns[0]):.1f}", *(f"{statistics.mean(one):.1%}" for one in columns[1:])]
            print(f"| {folder.name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
