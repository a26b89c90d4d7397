"""`classify --ray` on a real cluster: one machine's rows, from folders and stores, whatever is killed."""

import signal
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from ray.cluster_utils import Cluster

from tests.adding import COLOURS, photo
from tests.cluster.bulk import Command, by_name, free_cluster, rows_at, stores, until
from tests.cluster.conftest import environment

pytestmark = pytest.mark.slow
EACH = 40
BAD = ("damaged.png", "empty.jpg", "words.png")
ALL = EACH * len(COLOURS) + len(BAD)


@pytest.fixture(scope="module")
def store() -> Iterator[dict[str, str]]:
    with stores() as variables:
        yield variables


@pytest.fixture(scope="module")
def cluster(models_dir: Path, store: dict[str, str]) -> Iterator[Cluster]:
    with free_cluster({**environment(models_dir), **store}) as started:
        yield started


@pytest.fixture(scope="module")
def command(models_dir: Path, store: dict[str, str]) -> Command:
    return Command(models_dir, **store)


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn photos in folders, three files that are no pictures, and one that does not look like one."""
    folder = tmp_path_factory.mktemp("album")
    for colour in COLOURS:
        (folder / colour).mkdir()
        for number in range(EACH):
            (folder / colour / f"{colour}-{number}.png").write_bytes(photo(colour, number))
    whole = photo("red", EACH)
    for name, content in zip(BAD, (whole[: len(whole) // 2], b"", b"no picture at all"), strict=True):
        (folder / name).write_bytes(content)
    (folder / "notes.txt").write_text("not looked at")
    return folder


@pytest.fixture(scope="module")
def of_one_machine(album: Path, command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds what one machine says, as JSON lines."""
    folder = tmp_path_factory.mktemp("alone")
    command("classify", album, "-o", folder / "rows.jsonl")
    return folder


@pytest.fixture(scope="module")
def bucket(album: Path, store: dict[str, str]) -> str:
    """The album in a store: the address."""
    system = s3(store)
    system.mkdir("photos")
    system.put(str(album), "photos/album", recursive=True)
    return "s3://photos/album"


def s3(store: dict[str, str]) -> fsspec.AbstractFileSystem:
    return fsspec.filesystem("s3", **s3_options(store))


def s3_options(store: dict[str, str]) -> dict[str, str]:
    return {
        "endpoint_url": store["AWS_ENDPOINT_URL"],
        "key": store["AWS_ACCESS_KEY_ID"],
        "secret": store["AWS_SECRET_ACCESS_KEY"],
    }


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_a_folder_gives_the_rows_of_one_machine_and_names_the_bad_files_at_the_end(
    command: Command, cluster: Cluster, album: Path, of_one_machine: Path, tmp_path: Path, kind: str
) -> None:
    output = tmp_path / "out"
    said = command("classify", album, "--ray", cluster.address, "-o", output, "--format", kind)
    rows = rows_at(output)
    alone = rows_at(of_one_machine)
    assert by_name(rows) == by_name(alone)
    assert {row["path"] for row in rows} == {row["path"] for row in alone}
    assert {path.suffix for path in output.iterdir()} == {f".{kind}"}
    assert f"{EACH * len(COLOURS)} pictures classified, {len(BAD)} could not be read" in said
    for row in rows:
        assert (f"{row['path']}: {row['error']}" in said) == (row["error"] is not None)
    assert f"{ALL} of {ALL}" in said, "the progress"


def test_a_store_is_read_and_written_and_a_file_added_later_is_all_that_a_second_run_does(
    command: Command, cluster: Cluster, bucket: str, store: dict[str, str], of_one_machine: Path, album: Path
) -> None:
    arguments = ("classify", bucket, "--ray", cluster.address, "-o", "s3://photos/answers", "--format", "jsonl")
    command(*arguments)
    rows = rows_at("s3://photos/answers", **s3_options(store))
    assert by_name(rows) == by_name(rows_at(of_one_machine))
    assert all(row["path"].startswith(f"{bucket}/") for row in rows)
    s3(store).pipe_file("photos/album/later.png", photo("blue", 99))
    try:
        said = command(*arguments)
    finally:
        s3(store).rm_file("photos/album/later.png")
    assert f"1 pictures classified, 0 could not be read, {ALL} were done before" in said
    assert len(by_name(rows_at("s3://photos/answers", **s3_options(store)))) == ALL + 1


def test_a_run_that_was_killed_goes_on_and_nothing_is_done_twice_or_lost(
    command: Command, cluster: Cluster, album: Path, of_one_machine: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    arguments = ("classify", album, "--ray", cluster.address, "-o", output)
    process = command.start(*arguments)
    until(lambda: len(list(output.glob("part-*"))) > 1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    said = command(*arguments)
    assert "pictures classified" in said
    done_before = int(said.rpartition(" were done before")[0].rpartition(" ")[2])
    assert 0 < done_before < ALL
    assert by_name(rows_at(output)) == by_name(rows_at(of_one_machine))


def test_a_node_that_dies_in_the_middle_costs_no_row_and_doubles_none(
    command: Command, cluster: Cluster, models_dir: Path, store: dict[str, str], album: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    process = command.start("classify", album, "--ray", cluster.address, "-o", output)
    until(lambda: len(list(output.glob("part-*"))) > 1)
    cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 0, said
    assert len(by_name(rows_at(output))) == ALL


def test_another_mode_or_kind_in_the_same_output_is_refused_and_so_is_what_is_not_there(
    command: Command, cluster: Cluster, album: Path, bucket: str, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    output.mkdir()
    arguments = ("classify", album / "red" / "red-0.png", "--ray", cluster.address, "-o", output)
    command(*arguments)
    part = next(output.iterdir())
    assert "holds parts that are not jsonl" in command(*arguments, "--format", "jsonl", status=1)
    other = part.read_bytes().replace(b"imagenet", b"imagined")
    part.write_bytes(other)
    assert "another mode or version" in command(*arguments, status=1)
    nothing = ("--ray", cluster.address, "-o", tmp_path / "new")
    assert "There is nothing at s3://photos/none." in command("classify", "s3://photos/none", *nothing, status=1)
    assert "does not exist" in command("classify", album / "none", *nothing, status=2)


def test_what_only_a_cluster_can_do_is_said_without_one(command: Command, album: Path, tmp_path: Path) -> None:
    assert "need a cluster" in command("classify", "s3://photos/album", status=2)
    assert "need a cluster" in command("classify", album, "--format", "parquet", status=2)
    assert "name an --output" in command("classify", album, "--ray", "auto", status=2)
    with_none = ("--ray", "127.0.0.2:1", "-o", tmp_path / "out")
    assert "There is no Ray cluster to be reached at 127.0.0.2:1." in command("classify", album, *with_none, status=1)
