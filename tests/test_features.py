"""Features of several views: in order, the same for the same seed, and made while the network is busy."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from app.photos.dataset import Sample
from app.training.augmentation import augmentation
from app.training.features import CHUNK, FeatureReader, Views, one_ahead, views_for
from app.training.progress import Silent
from app.training.state import UNPACKED, Workspace
from app.vision.transform import IMAGENET


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """More photos than one chunk holds, each of another brightness."""
    paths = [tmp_path / f"{index}.png" for index in range(CHUNK + 5)]
    for index, path in enumerate(paths):
        Image.linear_gradient("L").convert("RGB").point(lambda value, dark=index: value // (1 + dark)).save(path)
    return [Sample(path, 0) for path in paths]


def means(batch: Tensor) -> Tensor:
    """Stands for a network: brightness and contrast of each picture."""
    return torch.stack([batch.mean((1, 2, 3)), batch.std((1, 2, 3))], dim=1)


def reader(workspace: Workspace | None = None, seed: int = 0) -> FeatureReader:
    return FeatureReader(means, 256, 10**7, seed, workspace, Silent())


def test_features_stand_in_the_photos_order_with_the_plain_view_first(samples: list[Sample]) -> None:
    views = Views(IMAGENET, augmentation("standard", IMAGENET), 2)
    features = reader().read("train", samples, views)
    assert features.shape == (3, len(samples), 2)
    expected = means(torch.stack([IMAGENET(Image.open(sample.path)) for sample in samples]))
    torch.testing.assert_close(features[0], expected)
    assert not torch.equal(features[1], features[2])


def test_varied_views_are_read_roughly_where_that_is_to_be_had_and_plain_ones_never(samples: list[Sample]) -> None:
    views = Views(IMAGENET, augmentation("light", IMAGENET), 2)
    exact = reader().read("train", samples, views)
    rough = replace(reader(), rough=lambda batch: means(batch) + 1).read("train", samples, views)
    assert torch.equal(rough[0], exact[0])
    assert torch.equal(rough[1:], exact[1:] + 1)


def test_the_same_seed_draws_the_same_views_and_leaves_other_random_numbers_alone(samples: list[Sample]) -> None:
    views = Views(IMAGENET, augmentation("strong", IMAGENET), 1)
    torch.manual_seed(1)
    first = reader().read("train", samples, views)
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(drawn, torch.rand(1))
    assert torch.equal(first, reader().read("train", samples, views))
    assert not torch.equal(first, reader(seed=1).read("train", samples, views))


def test_what_was_read_before_is_not_read_again_and_the_rest_is_the_same(samples: list[Sample], tmp_path: Path) -> None:
    views = Views(IMAGENET, augmentation("light", IMAGENET), 1)
    workspace = Workspace(tmp_path, "mode")
    whole = reader(workspace).read("train", samples, views)
    (workspace.folder / "train-0.features").unlink()
    assert torch.equal(reader(workspace).read("train", samples, views), whole)
    for sample in samples:
        sample.path.unlink()
    assert torch.equal(reader(workspace).read("train", samples, views), whole)
    workspace.close()


def test_one_chunk_is_made_ahead_and_order_is_kept() -> None:
    made: list[int] = []

    def make(chunk: range) -> Tensor:
        made.append(chunk.start)
        return torch.tensor(chunk.start)

    chunks = one_ahead(make, [range(index, index + 1) for index in range(5)])
    assert int(next(chunks)) == 0
    assert len(made) <= 2
    assert [int(one) for one in chunks] == [1, 2, 3, 4]


@pytest.mark.parametrize(("photos", "views"), [(1, 16), (40, 16), (270, 7), (5000, 4)])
def test_few_photos_are_seen_in_many_views(photos: int, views: int) -> None:
    assert views_for(photos) == views


def test_photos_that_were_unpacked_for_a_run_outlive_its_start(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "mode")
    photo, stale = workspace.folder / UNPACKED / "zip-1" / "a.jpg", workspace.folder / "train-0.features"
    photo.parent.mkdir(parents=True)
    photo.touch()
    stale.touch()
    assert not workspace.begin({}, resume=False)
    workspace.close()
    assert photo.is_file()
    assert not stale.exists()
