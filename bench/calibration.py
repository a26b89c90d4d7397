"""How far `imagenet`'s percentages can be believed: `python -m bench.calibration ../shared/photos`.

DATA is a folder of photos with a `labels.csv` of `path` and `class_index`. The network is the one that the server would
take: RESNET18_WEIGHTS, or else the packaged EfficientNet-Lite0. What `app/serving/calibration.py` holds is measured
here, and `--table` prints it as it stands there.
"""

import argparse
import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from sklearn.model_selection import RepeatedKFold
from torch import Tensor
from torch.nn import functional

from app.config import read_settings
from app.photos.dataset import Sample, read_dataset
from app.registry.catalog import BASE_MODE
from app.serving.groups import GROUP_THRESHOLD, best_group
from app.serving.mode import Mode
from app.serving.served import served_mode
from app.training.evaluation import calibration_error, reliability
from app.training.judging import answers

FOLDS, REPEATS = 10, 20
SIMULATIONS = 1000
KEPT = 0.95
TEMPERATURES = (0.05, 20.0)
SHOWN = (0.2, 0.4, 0.6, 0.8)
"""The thresholds in the table; tutorials advise 0.6 to 0.8."""


@dataclass(frozen=True, slots=True)
class Photos:
    """What the network says of labelled photos before it is calibrated: logits [n, classes], and the truth [n]."""

    logits: Tensor
    labels: Tensor

    @property
    def right(self) -> Tensor:
        """Whether the best guess is right [n]; no temperature changes that."""
        return self.logits.argmax(dim=1) == self.labels

    def confidences(self, temperature: float) -> Tensor:
        """The best guess's probability [n]."""
        return (self.logits / temperature).softmax(dim=1).amax(dim=1)

    def __getitem__(self, places: Tensor) -> "Photos":
        return Photos(self.logits[places], self.labels[places])


def answered(mode: Mode, data: Path) -> Photos:
    """The photos of `data` as `mode` sees them, served as it is but for its temperature."""
    with (data / "labels.csv").open(encoding="utf-8", newline="") as file:
        samples = [Sample(data / row["path"], int(row["class_index"])) for row in csv.DictReader(file)]
    given = answers(replace(mode, temperature=1.0), samples, max_pixels=read_settings().max_pixels).predictions
    return Photos(given.probabilities.double().log(), given.labels)


def fit(photos: Photos) -> float:
    """The temperature at which the best guess's probability best fits whether it was right, by log loss.

    Not the log loss over all classes: what a person reads, and what the threshold is held against, is the best guess.
    """
    right = photos.right.double()

    def loss(log_temperature: float) -> float:
        confidences = photos.confidences(math.exp(log_temperature)).clamp(1e-12, 1 - 1e-12)
        return float(functional.binary_cross_entropy(confidences, right))

    low, high = (math.log(end) for end in TEMPERATURES)
    return math.exp(minimize_scalar(loss, bounds=(low, high), method="bounded").x)


def error(confidences: Tensor, right: Tensor) -> float:
    """The expected calibration error, in ten bins."""
    return calibration_error(reliability(confidences, right))


def held_out(photos: Photos) -> Iterator[Tensor]:
    """For each repeat the confidences [n], each by a temperature fitted without that photo's fold."""
    splits = RepeatedKFold(n_splits=FOLDS, n_repeats=REPEATS, random_state=0).split(photos.logits)
    for _ in range(REPEATS):
        confidences = torch.empty(len(photos.labels), dtype=torch.float64)
        for _ in range(FOLDS):
            learned, judged = (torch.from_numpy(places) for places in next(splits))
            confidences[judged] = photos[judged].confidences(fit(photos[learned]))
        yield confidences


def noise_floor(confidences: Tensor) -> tuple[float, float, float]:
    """What the error would be of a network that is right exactly as often as it says: its mean, 5 % and 95 %."""
    generator = torch.Generator().manual_seed(0)
    draws = torch.rand(SIMULATIONS, len(confidences), generator=generator, dtype=torch.float64)
    errors = np.array([error(confidences, draw < confidences) for draw in draws])
    return float(errors.mean()), *(float(edge) for edge in np.quantile(errors, (0.05, 0.95)))


def threshold_at(confidences: Tensor, kept: float = KEPT) -> float:
    """The highest threshold, in hundredths, at which a share of `kept` keeps its name."""
    return max(step / 100 for step in range(101) if float((confidences >= step / 100).double().mean()) >= kept)


def curve(confidences: Tensor) -> tuple[int, ...]:
    """The share that keeps its name at 0, 0.01, … 1, in thousandths."""
    return tuple(round(1000 * float((confidences >= step / 100).double().mean())) for step in range(101))


def report(mode: Mode, photos: Photos) -> Iterator[str]:
    """The lines to print."""
    temperature = fit(photos)
    repeats = list(held_out(photos))
    errors = [error(confidences, photos.right) for confidences in repeats]
    floor, low, high = noise_floor(photos.confidences(temperature))
    yield f"{mode.model.name} {mode.model.version} on {len(photos.labels)} photos"
    yield f"  Top-1 {float(photos.right.double().mean()):.1%}, at every temperature"
    yield f"  temperature {temperature:.3f}; served with {mode.temperature:g}"
    yield f"  calibration error before: {error(photos.confidences(1), photos.right):.1%}"
    yield (
        f"  after: {np.mean(errors):.1%}, cross-validated ({FOLDS} folds, {REPEATS} repeats: {min(errors):.1%} to "
        f"{max(errors):.1%})"
    )
    yield f"  of a perfectly calibrated network on as many photos: {floor:.1%} ({low:.1%} to {high:.1%})"
    yield from _unknown(photos, torch.cat(repeats), mode.threshold)
    yield from _groups(mode, photos, temperature)


def _unknown(photos: Photos, calibrated: Tensor, served: float) -> Iterator[str]:
    chosen = threshold_at(calibrated)
    yield f"  threshold that leaves {KEPT:.0%} their name: {chosen:.2f}; served with {served:g}"
    yield "  known photos called unknown below     before calibration     after, cross-validated"
    for threshold in sorted({*SHOWN, chosen}):
        before, after = (float((one < threshold).double().mean()) for one in (photos.confidences(1), calibrated))
        yield f"    {threshold:.2f} {before:>46.1%} {after:>22.1%}"


def _groups(mode: Mode, photos: Photos, temperature: float) -> Iterator[str]:
    """What the answer by group makes of the photos that are called unknown."""
    yield f"  groups are named from {GROUP_THRESHOLD:g} on, and from the threshold on"
    probabilities = (photos.logits / temperature).softmax(dim=1)
    truths = [mode.labels[int(label)].group for label in photos.labels]
    yield from _named_by_group(mode, probabilities, truths)


def within(mode: Mode, data: Path, group: str) -> Iterator[str]:
    """The same of photos that all show something of one `group`, whatever their folders are called."""
    dataset = read_dataset(data, validation_share=0)
    samples = [sample for part in dataset.parts().values() for sample in part]
    probabilities = answers(mode, samples, max_pixels=read_settings().max_pixels).predictions.probabilities
    yield f"{mode.model.name} on {len(probabilities)} photos of the group: {group}"
    yield from _named_by_group(mode, probabilities, [group] * len(probabilities))


def _named_by_group(mode: Mode, probabilities: Tensor, truths: list[str | None]) -> Iterator[str]:
    guesses = [best_group(row, mode.labels) for row in probabilities]
    for threshold in sorted({*SHOWN, mode.threshold}):
        unsure = [place for place, row in enumerate(probabilities) if float(row.max()) < threshold]
        named = [(truths[place], guess) for place in unsure if (guess := guesses[place]) and guess.reaches(threshold)]
        right = sum(truth == guess.group for truth, guess in named)
        yield f"    below {threshold:.2f}: {len(unsure)} unknown, {len(named)} named by group, {right} of them rightly"


def table(photos: Photos) -> str:
    """The network's entry in `app/serving/calibration.py`."""
    calibrated = torch.cat(list(held_out(photos)))
    return f"Calibration({fit(photos):.2f}, {threshold_at(calibrated):.2f}, {curve(calibrated)})"


def main() -> None:
    """Print the report, or the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("--mode", default=BASE_MODE, help="another mode of ImageNet's 1000 classes")
    parser.add_argument("--within", metavar="GROUP", help="DATA are photos of this group: how often is it named?")
    parser.add_argument("--table", action="store_true", help="print the entry of app/serving/calibration.py")
    options = parser.parse_args()
    mode = served_mode(options.mode, read_settings())
    if options.within:
        print("\n".join(within(mode, options.data, options.within)))
        return
    photos = answered(mode, options.data)
    print(table(photos) if options.table else "\n".join(report(mode, photos)))


if __name__ == "__main__":
    main()
