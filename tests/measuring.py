"""Reading `/metrics` in the tests, as Prometheus does; and the photos of which a version says that it saw them."""

import csv
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


def samples(page: str) -> list[Sample]:
    return [sample for family in text_string_to_metric_families(page) for sample in family.samples]


def total(page: str, name: str, **labels: str) -> float:
    """The sum of all samples of that name that have these labels."""
    return sum(one.value for one in samples(page) if one.name == name and labels.items() <= one.labels.items())


def write_photos(version: Path, **trained: int) -> None:
    """A version's `photos.csv`: so many photos of each class to train with, and one of each to judge by."""
    with (version / "photos.csv").open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("part", "label", "sha256", "learned", "path"))
        for label, number in trained.items():
            rows.writerows([("train", label, "0" * 64, "yes", f"/{label}/{n}.jpg") for n in range(number)])
            rows.writerow(("test", label, "0" * 64, "no", f"/{label}/test.jpg"))
