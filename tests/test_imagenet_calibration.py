"""`imagenet`'s percentages are measured: the fit, what comes of it, and that what is served is what was measured."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.metrics import log_loss

from app.config import Settings
from app.serving.calibration import CALIBRATIONS
from app.serving.loading import BASE_THRESHOLD, Loader
from bench import calibration
from bench.calibration import Photos


def too_modest(count: int = 400, factor: float = 0.5) -> Photos:
    """Labels drawn from what logits say, and the logits told at `factor` of their strength: 1 / factor too cool."""
    generator = torch.Generator().manual_seed(7)
    logits = 3 * torch.randn(count, 5, generator=generator, dtype=torch.float64)
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=generator).squeeze(1)
    return Photos(logits * factor, labels)


def test_the_temperature_is_the_one_of_least_log_loss_of_the_best_guess() -> None:
    photos = too_modest()
    right = photos.right.numpy()

    def loss(temperature: float) -> float:
        return log_loss(right, softmax(photos.logits.numpy() / temperature, axis=1).max(axis=1))

    grid = np.exp(np.linspace(-2, 2, 801))
    assert calibration.fit(photos) == pytest.approx(grid[np.argmin([loss(one) for one in grid])], rel=0.01)
    assert calibration.fit(photos) == pytest.approx(0.5, abs=0.1), "twice as sure as it said"


def test_held_out_confidences_never_come_from_a_temperature_that_saw_their_photo(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    photos = too_modest(30)
    seen: list[set[float]] = []
    judged: list[set[float]] = []
    monkeypatch.setattr(calibration, "fit", lambda part: seen.append(set(part.logits[:, 0].tolist())) or 1.0)
    monkeypatch.setattr(
        Photos, "confidences", lambda part, _: judged.append(set(part.logits[:, 0].tolist())) or part.logits[:, 0]
    )
    (first, *others) = calibration.held_out(photos)
    assert len(others) == calibration.REPEATS - 1
    assert first.tolist() == photos.logits[:, 0].tolist(), "each in its own place"
    assert all(not learned & asked for learned, asked in zip(seen, judged, strict=True))


def test_the_noise_floor_is_what_a_calibrated_network_shows_and_shrinks_with_photos() -> None:
    few, low, high = calibration.noise_floor(torch.full((100,), 0.75, dtype=torch.float64))
    # One bin: the mean distance of a binomial share from 0.75, sqrt(2 / pi) standard deviations.
    assert few == pytest.approx((2 / np.pi * 0.75 * 0.25 / 100) ** 0.5, rel=0.05)
    assert low < few < high
    assert calibration.noise_floor(torch.full((2500,), 0.75, dtype=torch.float64))[0] == pytest.approx(few / 5, rel=0.1)


def test_the_threshold_is_the_highest_that_keeps_enough_and_the_curve_says_so() -> None:
    confidences = torch.linspace(0.005, 0.995, 100, dtype=torch.float64)
    assert calibration.threshold_at(confidences) == 0.05
    kept = calibration.curve(confidences)
    assert (kept[0], kept[5], kept[50], kept[100]) == (1000, 950, 500, 0)


@pytest.mark.parametrize("name", CALIBRATIONS)
def test_every_curve_falls_from_all_to_none_and_keeps_95_in_100_at_the_threshold(name: str) -> None:
    measured = CALIBRATIONS[name]
    shares = measured.accepted
    assert shares is not None
    assert len(shares) == 101
    assert shares[0] == 1.0
    assert all(one >= after for one, after in pairwise(shares))
    place = round(100 * measured.threshold)
    assert shares[place] >= 0.95 > shares[place + 1]


def test_what_is_measured_is_served_and_the_setting_goes_before_it(settings: Settings) -> None:
    measured = CALIBRATIONS["resnet18"]
    base = Loader(settings).base()
    assert (base.temperature, base.threshold, base.accepted) == (0.69, 0.4, measured.accepted)
    assert Loader(settings.model_copy(update={"threshold": 0.7})).base().threshold == 0.7


def test_a_network_that_was_not_measured_is_served_as_it_is(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.serving.loading.CALIBRATIONS", {})
    base = Loader(settings).base()
    assert (base.temperature, base.threshold, base.accepted) == (1.0, BASE_THRESHOLD, None)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "efficientnet_lite0"])
def test_the_table_is_what_the_photos_say_and_the_error_held_out_is_at_most_5_percent(
    name: str, shared: Path, resnet18_weights: Path, tmp_path: Path
) -> None:
    weights = resnet18_weights if name == "resnet18" else None
    base = Loader(Settings(resnet18_weights=weights, models_dir=tmp_path)).base()
    assert base.model.name == name
    photos = calibration.answered(base, shared / "photos")
    repeats = list(calibration.held_out(photos))
    measured = CALIBRATIONS[name]
    assert measured.temperature == pytest.approx(calibration.fit(photos), abs=0.02)
    assert measured.threshold == pytest.approx(calibration.threshold_at(torch.cat(repeats)), abs=0.02)
    assert measured.accepted == pytest.approx([kept / 1000 for kept in calibration.curve(torch.cat(repeats))], abs=0.02)
    errors = [calibration.error(confidences, photos.right) for confidences in repeats]
    before = calibration.error(photos.confidences(1.0), photos.right)
    print(f"\n{name}: calibration error {before:.1%} before, {np.mean(errors):.1%} held out")
    assert np.mean(errors) <= 0.05 < before
