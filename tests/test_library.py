"""The registry for people: versions listed, deleted, taken back and brought in, by command and by function."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from torch import nn

from app.__main__ import main
from app.config import Settings
from app.errors import (
    AlreadyActive,
    BaseModeFixed,
    FileInTheWay,
    ModelError,
    NeverServed,
    NothingEarlier,
    UnknownMode,
    UnknownVersion,
    VersionInUse,
)
from app.registry.importing import Order
from app.registry.library import delete_version, list_modes, read_history, read_mode
from app.registry.manifest import Manifest
from app.registry.state import STATE, Trial, activate, moment_of, now, read_state, set_trial
from app.registry.versions import HEAD, MANIFEST, next_version, read_version
from app.serving.loading import Loader
from app.serving.mode import Mode
from app.serving.switching import import_version, promote, roll_back
from tests.conftest import write_head

LITE0_FEATURES = 1280


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> Loader:
    return Loader(Settings(models_dir=tmp_path_factory.mktemp("none")))


@pytest.fixture(scope="module")
def base(loader: Loader) -> Mode:
    """The packaged EfficientNet-Lite0, loaded once."""
    return loader.base()


@pytest.fixture(autouse=True)
def _load_the_network_once(loader: Loader, base: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.serving.switching.Loader", lambda _: loader)


@pytest.fixture
def lite0(tmp_path: Path) -> Settings:
    (tmp_path / "models").mkdir()
    return Settings(models_dir=tmp_path / "models")


@pytest.fixture
def birds(lite0: Settings, base: Mode) -> Settings:
    """A mode of three versions, v1 active."""
    for version in ("v1", "v2", "v3"):
        write_head(lite0.models_dir, "birds", base, ["owl", "kite"], version=version)
    return lite0


@pytest.fixture
def run(lite0: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("MODELS_DIR", str(lite0.models_dir))
    return lambda *arguments: CliRunner().invoke(main, ["models", *map(str, arguments)])


def head(path: Path, classes: int = 2, width: int = LITE0_FEATURES) -> Path:
    torch.save(nn.Linear(width, classes).state_dict(), path)
    path.with_suffix(".txt").write_text("".join(f"class {number}\t第{number}类\n" for number in range(classes)))
    return path


def up(settings: Settings, version: str) -> None:
    promote(settings, "birds", version, by="ann", why="better")


def test_the_list_tells_versions_their_state_and_what_is_half_there(birds: Settings) -> None:
    (birds.models_dir / "birds" / "v4").mkdir()
    (birds.models_dir / "birds" / "v4" / HEAD).write_bytes(b"half")
    set_trial(birds.models_dir / "birds", Trial(version="v2", kind="shadow", since=now()), by="ann", why="")
    (record,) = list_modes(birds.models_dir)
    told = [(one.version, one.active, one.on_trial, one.complete) for one in record.versions]
    assert told == [
        ("v1", True, False, True), ("v2", False, True, True), ("v3", False, False, True), ("v4", False, False, False)
    ]  # fmt: skip
    assert record.versions[0].size > 1000
    assert record.versions[3].size == 4


def test_promotion_switches_and_rollback_takes_back_one_step_each_time(birds: Settings) -> None:
    up(birds, "v2")
    up(birds, "v3")
    assert roll_back(birds, "birds", by="bob", why="odd answers").version == "v2"
    assert roll_back(birds, "birds", by="bob", why="still").version == "v1"
    with pytest.raises(NothingEarlier):
        roll_back(birds, "birds", by="bob", why="")
    assert roll_back(birds, "birds", by="bob", why="it was the camera", to="v3").version == "v3"
    history = read_history(birds.models_dir, "birds").history
    assert [(event.action, event.version, event.before) for event in history] == [
        ("first", "v1", None), ("promote", "v2", "v1"), ("promote", "v3", "v2"), ("rollback", "v2", "v3"),
        ("rollback", "v1", "v2"), ("rollback", "v3", "v1"),
    ]  # fmt: skip


def test_rollback_passes_over_a_version_that_is_no_longer_there(birds: Settings) -> None:
    up(birds, "v2")
    up(birds, "v3")
    delete_version(birds.models_dir, "birds", "v2", by="ann")
    assert roll_back(birds, "birds", by="bob", why="").version == "v1"


def test_what_never_served_cannot_be_gone_back_to(birds: Settings) -> None:
    with pytest.raises(NeverServed):
        roll_back(birds, "birds", by="bob", why="", to="v3")
    with pytest.raises(AlreadyActive):
        roll_back(birds, "birds", by="bob", why="", to="v1")
    with pytest.raises(UnknownVersion):
        roll_back(birds, "birds", by="bob", why="", to="../birds/v1")
    with pytest.raises(UnknownMode):
        roll_back(birds, "bird", by="bob", why="")
    assert not (birds.models_dir / "bird").exists()


def test_a_version_that_cannot_be_served_never_becomes_active(birds: Settings) -> None:
    path = birds.models_dir / "birds" / "v2" / HEAD
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match=r"birds@v2 cannot be made active: .*SHA-256"):
        up(birds, "v2")
    manifest = birds.models_dir / "birds" / "v3" / MANIFEST
    content = json.loads(manifest.read_text())
    content["labels"].append({"label": "crow"})
    manifest.write_text(json.dumps(content))
    with pytest.raises(ModelError, match="3 labels"):
        up(birds, "v3")
    assert read_state(birds.models_dir / "birds").active == "v1"
    assert len(read_history(birds.models_dir, "birds").history) == 1


def test_a_state_that_names_a_version_removed_by_hand_is_mended_by_a_rollback(birds: Settings) -> None:
    import shutil

    up(birds, "v2")
    shutil.rmtree(birds.models_dir / "birds" / "v2")
    assert "v2" in str(list_modes(birds.models_dir)[0].problem)
    roll_back(birds, "birds", by="bob", why="")
    assert read_state(birds.models_dir / "birds").active == "v1"


def test_neither_the_active_version_nor_one_on_trial_is_deleted(birds: Settings) -> None:
    set_trial(birds.models_dir / "birds", Trial(version="v2", kind="shadow", since=now()), by="ann", why="")
    for version in ("v1", "v2"):
        with pytest.raises(VersionInUse):
            delete_version(birds.models_dir, "birds", version, by="ann")
    delete_version(birds.models_dir, "birds", "v3", by="ann", why="worse")
    with pytest.raises(UnknownVersion):
        delete_version(birds.models_dir, "birds", "v3", by="ann")
    assert [one.version for one in read_mode(birds.models_dir, "birds").versions] == ["v1", "v2"]
    event = read_history(birds.models_dir, "birds").history[-1]
    assert (event.action, event.version, event.by, event.why) == ("delete", "v3", "ann", "worse")


def test_the_name_of_a_deleted_version_is_never_given_again(birds: Settings) -> None:
    delete_version(birds.models_dir, "birds", "v3", by="ann")
    assert next_version(birds.models_dir / "birds") == "v4"


def test_the_base_mode_cannot_be_changed(lite0: Settings, tmp_path: Path) -> None:
    with pytest.raises(BaseModeFixed):
        promote(lite0, "imagenet", "v1", by="ann", why="")
    with pytest.raises(BaseModeFixed):
        roll_back(lite0, "imagenet", by="ann", why="")
    with pytest.raises(BaseModeFixed):
        delete_version(lite0.models_dir, "imagenet", "v1", by="ann")
    with pytest.raises(BaseModeFixed):
        import_version(head(tmp_path / "head.pth"), Order("imagenet"), lite0, by="ann")


def test_the_history_answers_what_served_at_a_time(birds: Settings) -> None:
    activate(birds.models_dir / "birds", "v2", action="promote", by="ann", why="better")
    state = read_history(birds.models_dir, "birds")
    first, second = state.history
    assert state.served_at(first.at).version == "v1"
    assert state.served_at(second.at).by == "ann"
    assert state.served_at(moment_of("2020-01-01")) is None


def test_a_folder_put_there_by_hand_has_a_history_that_agrees(birds: Settings, base: Mode) -> None:
    (birds.models_dir / "birds" / STATE).unlink()
    state = read_state(birds.models_dir / "birds")
    assert state.served_at(now()).version == state.active
    write_head(birds.models_dir, "birds", base, ["owl", "kite"], version="v4")
    assert read_state(birds.models_dir / "birds").active == state.active, "a later version waits to be promoted"


def test_a_bare_head_becomes_a_version_that_serves(lite0: Settings, tmp_path: Path, base: Mode) -> None:
    record = import_version(
        head(tmp_path / "farm.pth", 3), Order("farm", title_zh="农场", threshold=0.3), lite0, by="ann"
    )
    manifest, tensors = read_version(lite0.models_dir / "farm" / "v1")
    assert (record.version, record.active, record.classes, record.threshold) == ("v1", True, 3, 0.3)
    assert (manifest.title.en, manifest.title.zh, manifest.labels[1].label_zh) == ("farm", "农场", "第1类")
    assert manifest.backbone.fingerprint == base.backbone.fingerprint
    assert manifest.imported_from.startswith("farm.pth, SHA-256 ")
    assert tensors["weight"].shape == (3, LITE0_FEATURES)
    again = import_version(tmp_path / "farm.pth", Order("farm"), lite0, by="ann")
    assert (again.version, again.active) == ("v2", False)


def test_a_whole_resnet18_becomes_a_version_that_serves_alone(lite0: Settings, tmp_path: Path) -> None:
    import app.torchvision_cpu  # noqa: F401 - before torchvision

    # isort: split
    import torchvision

    torch.manual_seed(2)
    network = torchvision.models.resnet18(num_classes=2)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "own.pth")
    (tmp_path / "labels.json").write_text('["a", "b"]')
    record = import_version(tmp_path / "own.pth", Order("own", tmp_path / "labels.json"), lite0, by="ann")
    manifest, tensors = read_version(lite0.models_dir / "own" / "v1")
    assert record.active
    assert manifest.backbone.tuned
    assert torch.equal(tensors["fc.weight"], network.fc.weight)


@pytest.mark.parametrize("shape", ["folder", "zip", "zip with a folder"])
def test_a_version_made_elsewhere_comes_in_as_the_next_one(birds: Settings, tmp_path: Path, shape: str) -> None:
    source = birds.models_dir / "birds" / "v2"
    written = json.loads((source / MANIFEST).read_text())
    written["options"] = {"seed": 7, "unknown": ["/home/somebody/photos"]}
    (source / MANIFEST).write_text(json.dumps(written))
    if shape != "folder":
        room = "v2/" if shape == "zip with a folder" else ""
        with zipfile.ZipFile(tmp_path / "v2.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name in (MANIFEST, HEAD):
                archive.write(source / name, room + name)
            archive.writestr(f"{room}report.html", "<script>")
        source = tmp_path / "v2.zip"
    record = import_version(source, Order("raptors", title_en="Raptors"), birds, by="ann")
    folder = birds.models_dir / "raptors" / "v1"
    manifest, _ = read_version(folder)
    assert record.active
    assert record.imported_from == "birds@v2"
    assert (manifest.mode, manifest.title.en, manifest.parent) == ("raptors", "Raptors", None)
    assert manifest.options == {"seed": 7}, "another machine's folders are nothing here"
    assert sorted(path.name for path in folder.iterdir()) == [HEAD, MANIFEST], "nothing else is taken"


def bad_zip(path: Path, source: Path, damage: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(source / MANIFEST, "../manifest.json" if damage == "slip" else MANIFEST)
        if damage == "bomb":
            with archive.open(HEAD, "w", force_zip64=True) as sink:
                for _ in range(4):
                    sink.write(bytes(2**20))
        elif damage == "extra slip":
            archive.write(source / HEAD, HEAD)
            archive.writestr("../../evil", "x")
        elif damage == "tensors":
            archive.writestr(HEAD, b"rubbish")
        elif damage == "two":
            archive.write(source / MANIFEST, "v2/manifest.json")
    return path


@pytest.mark.parametrize("damage", ["slip", "extra slip", "bomb", "tensors", "two", "no tensors"])
def test_a_zip_that_is_no_version_is_refused_and_leaves_nothing(
    birds: Settings, tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.registry.importing.MAX_BYTES", 2**21)
    path = bad_zip(tmp_path / "bad.zip", birds.models_dir / "birds" / "v2", damage)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ModelError, match=r"bad\.zip cannot be imported"):
        import_version(path, Order("birds"), birds, by="ann")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("damage", ["labels", "no labels", "width", "rubbish", "not finite"])
def test_a_checkpoint_that_cannot_serve_is_refused_and_no_mode_is_left(
    lite0: Settings, tmp_path: Path, damage: str
) -> None:
    path = head(tmp_path / "farm.pth", width=7 if damage == "width" else LITE0_FEATURES)
    if damage == "labels":
        path.with_suffix(".txt").write_text("one\n")
    elif damage == "no labels":
        path.with_suffix(".txt").unlink()
    elif damage == "rubbish":
        path.write_bytes(b"rubbish")
    elif damage == "not finite":
        torch.save({"weight": torch.full((2, LITE0_FEATURES), torch.inf), "bias": torch.zeros(2)}, path)
    with pytest.raises(ModelError, match=r"farm\.pth cannot be imported: "):
        import_version(path, Order("farm"), lite0, by="ann")
    assert list_modes(lite0.models_dir) == []


def test_a_mode_that_a_plain_file_serves_takes_no_version_beside_it(lite0: Settings) -> None:
    path = head(lite0.models_dir / "farm.pth")
    with pytest.raises(FileInTheWay):
        import_version(path, Order("farm"), lite0, by="ann")
    assert list_modes(lite0.models_dir)[0].file == "farm.pth"


def test_the_commands_do_the_same_and_print_tables_or_json(
    run: Callable[..., Result], birds: Settings, tmp_path: Path
) -> None:
    assert run("list").output.splitlines()[1].split()[:3] == ["birds", "v1", "active"]
    up(birds, "v2")
    assert "v1 rolled back instead of v2, by " in run("rollback", "birds", "--why", "odd").output
    assert run("history", "birds").output.splitlines()[-1].endswith(": odd")
    at = read_history(birds.models_dir, "birds").history[1].at.isoformat()
    assert json.loads(run("history", "birds", "--at", at, "--json").output)["version"] == "v2"
    assert "Nothing is written down" in run("history", "birds", "--at", "2001-01-01").output
    assert run("delete", "birds@v3").output == "birds@v3 is deleted.\n"
    imported = run("import", head(tmp_path / "farm.pth"), "--mode", "farm", "--title-zh", "农场")
    assert imported.output == "farm.pth is farm@v1, and serves it now.\n"
    modes = json.loads(run("list", "--json").output)
    assert [(mode["key"], len(mode["versions"])) for mode in modes] == [("birds", 2), ("farm", 1)]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["rollback", "birds"], "nothing to go back to"),
        (["rollback", "bird"], "no mode called 'bird'"),
        (["rollback", "imagenet"], "stays as it is"),
        (["delete", "birds@v1"], "active or on trial"),
        (["delete", "birds"], "no version called ''"),
        (["history", "birds", "--at", "yesterday"], "'at' is not valid"),
    ],
)
def test_a_command_that_cannot_be_done_says_why_in_one_sentence(
    run: Callable[..., Result], birds: Settings, arguments: list[str], sentence: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    assert sentence in result.output
    assert result.output.count("\n") == 1


def test_an_empty_registry_says_so(run: Callable[..., Result]) -> None:
    assert "No mode has been taught" in run("list").output


def test_a_manifest_of_before_imports_still_reads(birds: Settings) -> None:
    path = birds.models_dir / "birds" / "v1" / MANIFEST
    content = json.loads(path.read_text())
    del content["imported_from"]
    assert Manifest.model_validate(content).imported_from is None
