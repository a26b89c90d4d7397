"""The search for better options: on training photos alone, resumable, by several processes, and honest at the end."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from click.testing import CliRunner
from optuna.exceptions import StorageInternalError
from optuna.samplers import RandomSampler
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from PIL import Image
from scipy import stats
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.pool import NullPool

from app.config import Settings
from app.errors import DataError
from app.photos.dataset import Sample, read_dataset
from app.training.commands import train as train_command
from app.training.evaluation import Estimate
from app.training.folds import Scorer, folds
from app.training.options import Options, Search
from app.training.order import Order
from app.training.paired import Pairs
from app.training.run import help_search, train
from app.training.search import Hunt, best_of, is_worth_tuning
from app.training.search_lines import sentence
from app.training.search_verdict import Against, corrected_t
from app.training.space import Bounds, bounds_for, changes, starts, suggest
from app.training.state import SEARCH
from app.training.study import MEDIAN_OF, open_study
from tests.running import ROOT, clean_environment

COLOURS = {"red": (200, 30, 30), "green": (30, 180, 40), "blue": (30, 40, 200)}
QUICK = {"epochs": 2, "views": 1, "device": "cpu", "precision": "float32", "augmentation": "none"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """One thread: on a busy machine several would mostly wait for one another."""
    return settings.model_copy(update={"torch_threads": 1})


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Photos of three colours in parts: four of each to learn from, one to validate, one to test by."""
    generator = torch.Generator().manual_seed(0)
    for part, count in (("train", 4), ("val", 1), ("test", 1)):
        for name, colour in COLOURS.items():
            (tmp_path / "photos" / part / name).mkdir(parents=True)
            for index in range(count):
                picture = Image.new("RGB", (90, 80), colour)
                noise = (torch.rand(12, 10, 3, generator=generator) * 255).byte().numpy()
                picture.paste(Image.fromarray(noise).resize((40, 50)), (index * 5, 10))
                picture.save(tmp_path / "photos" / part / name / f"{index}.png")
    return tmp_path / "photos"


def order(photos: Path, trials: int, study: str | None = None, *, resume: bool = False, **options: object) -> Order:
    search = Search(minutes=10, study=study, trials=trials)
    return Order(photos, "colours", Options(**(QUICK | options)), search=search, resume=resume)


def command(photos: Path, *arguments: str) -> list[str]:
    options = ["--epochs", "2", "--augmentation", "none", "--precision", "float32", "--device", "cpu"]
    return [sys.executable, "-m", "app", "train", str(photos), "--mode", "colours", *options, *arguments]


def start(settings: Settings, photos: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = clean_environment() | {
        "MODELS_DIR": str(settings.models_dir),
        "RESNET18_WEIGHTS": str(settings.resnet18_weights),
        "TORCH_THREADS": "1",
    }
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command(photos, *arguments), cwd=ROOT, env=environment, text=True, **output)


def samples(counts: dict[int, int], folder: Path) -> list[Sample]:
    made = []
    for label, count in counts.items():
        for index in range(count):
            path = folder / f"{label}-{index}.jpg"
            path.write_text(f"{label} {index}")
            made.append(Sample(path, label))
    return made


def test_folds_judge_each_photo_once_and_hold_back_none_that_they_judge(tmp_path: Path) -> None:
    photos = samples({0: 12, 1: 7, 2: 5, 3: 1}, tmp_path)
    parts = folds(photos, share=0.2, seed=3)
    assert len(parts) == 5
    judged = sorted(one for fold in parts for one in fold.judge)
    assert judged == list(range(24)), "the last photo is its class's only one: it is never judged by"
    for fold in parts:
        together = [*fold.learn, *fold.validation, *fold.judge]
        assert sorted(together) == list(range(25)), "a photo stands twice in a fold, or nowhere"
        assert {photos[one].label for one in fold.learn} == {0, 1, 2, 3}
        assert {photos[one].label for one in fold.judge} == {0, 1, 2}
        assert fold.validation


def test_folds_are_the_same_wherever_the_photos_lie_and_others_for_another_seed(tmp_path: Path) -> None:
    photos = samples({0: 9, 1: 8}, tmp_path)
    (tmp_path / "elsewhere").mkdir()
    moved = [Sample(tmp_path / "elsewhere" / f"{index}", one.label) for index, one in enumerate(photos)]
    for one, other in zip(photos, moved, strict=True):
        other.path.write_bytes(one.path.read_bytes())
    there = list(reversed(moved))
    first, second = folds(photos, share=0.2, seed=0), folds(there, share=0.2, seed=0)
    texts = [
        [{photos_of[one].path.read_text() for one in fold.judge} for fold in parts]
        for photos_of, parts in ((photos, first), (there, second))
    ]
    assert texts[0] == texts[1]
    assert folds(photos, share=0.2, seed=1) != first


def test_few_photos_make_fewer_folds(tmp_path: Path) -> None:
    assert len(folds(samples({0: 3, 1: 9}, tmp_path), share=0.2, seed=0)) == 3


def test_the_first_trial_is_the_defaults_and_what_was_given_is_never_changed() -> None:
    base = Options(recipe="head", learning_rate=0.02, seed=4)
    bounds = bounds_for(8, tuned=True)
    first = suggest(optuna.trial.FixedTrial(starts(base, bounds)[0]), base, bounds)
    assert changes(first, base, 8) == {}
    assert len(starts(base, bounds)) == 1, "the recipe was given"
    assert [one["recipe"] for one in starts(Options(), bounds)] == list(bounds.recipes)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    tried = []
    for _ in range(30):
        trial = study.ask()
        tried.append(suggest(trial, base, bounds))
        study.tell(trial, 0.0)
    assert {(one.recipe, one.learning_rate, one.seed) for one in tried} == {("head", 0.02, 4)}
    assert len({one.augmentation for one in tried}) == 5


def test_every_recipe_and_bound_is_drawn_and_makes_options() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = set()
    for _ in range(80):
        trial = study.ask()
        options = suggest(trial, Options(), bounds_for(9, tuned=True))
        Options.model_validate(options.model_dump())
        seen.add(options.recipe)
        study.tell(trial, 0.0)
    assert seen == {"head", "prototype", "knn", "svm", "staged", "full"}
    assert Bounds.from_json(json.loads(json.dumps(bounds_for(9, tuned=False).as_json()))).views == (4, 9)


def test_tuned_recipes_are_searched_only_where_ten_trials_fit() -> None:
    assert is_worth_tuning(0.01, 100, minutes=17, folds=5)
    assert not is_worth_tuning(0.01, 100, minutes=16, folds=5)


def test_the_interval_over_folds_is_a_t_test_s_widened_by_nadeau_and_bengio() -> None:
    values = [0.03, 0.01, 0.05, -0.01, 0.02]
    found = corrected_t(values, 0.0)
    plain = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high))
    wider = corrected_t(values, 0.25)
    assert (wider.high - wider.low) / (found.high - found.low) == pytest.approx(((1 / 5 + 1 / 4) / (1 / 5)) ** 0.5)


def test_better_is_beyond_chance_and_loses_no_photo() -> None:
    good = Against(3, 0.3, 0.4, Estimate(0.1, 0.02, 0.2), Pairs(50, 6, 2, 4))
    assert good.better
    assert not replace(good, gain=Estimate(0.1, -0.01, 0.2)).better
    assert not replace(good, pairs=Pairs(50, 2, 6, 4)).better


def test_a_search_never_looks_at_validation_or_test(
    settings: Settings, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    logits = Scorer.logits

    def noted(self: Scorer, options: Options, fold: object, on_epoch: object = None) -> torch.Tensor:
        read.append({one.path for one in self.frozen.dataset.train})
        return logits(self, options, fold, on_epoch)

    monkeypatch.setattr(Scorer, "logits", noted)
    outcome = train(order(photos, 4), settings)
    assert outcome.search is not None
    assert outcome.search["trials"]["done"] == 4
    assert outcome.search["photos"] == 12
    training = {sample.path for sample in read_dataset(photos).train}
    assert all(paths == training for paths in read)
    report = json.loads((outcome.folder / "report.json").read_text())
    assert report["search"]["verdict"]["en"].startswith("Search: 4 trials")
    assert (outcome.folder.parents[1] / ".training" / "colours").exists() is False


def test_the_same_seed_gives_the_same_search(settings: Settings, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.training.searching.is_worth_tuning", lambda *_: False)  # it goes by the clock
    tops = []
    for name in ("one", "two"):
        elsewhere = settings.model_copy(update={"models_dir": settings.models_dir / name})
        outcome = train(order(photos, 6, seed=1), elsewhere)
        assert outcome.search is not None
        tops.append((outcome.search["top"], outcome.search["kept"], outcome.command))
    assert tops[0] == tops[1]
    assert len(tops[0][0]) > 1


def test_hopeless_trials_are_given_up_after_two_folds(settings: Settings, photos: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def figure(self: Scorer, given: torch.Tensor, fold: object) -> float:
        return float(given[0, 0])

    def logits(self: Scorer, options: Options, fold: object, on_epoch: object = None) -> torch.Tensor:
        bad = options.balance == "oversample"
        return torch.full((len(fold.judge), 3), 9.0 if bad else 1.0)  # type: ignore[attr-defined]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Scorer, "logits", logits)
        patch.setattr(Scorer, "figure", figure)
        # in a shared study every process draws differently
        patch.setattr(Hunt, "_sampler", lambda hunt: RandomSampler(seed=len(hunt.study.trials)))
        train(order(photos, 20, url, recipe="head"), settings)
    (name,) = optuna.get_all_study_names(url)
    trials = open_study(url, name, join=True).get_trials()
    pruned = [trial for trial in trials if trial.state == TrialState.PRUNED]
    assert pruned
    assert all(len(trial.intermediate_values) == 2 for trial in pruned), "it was not given up after its second fold"
    assert all(trial.params["balance"] == "oversample" for trial in pruned)
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    assert sum(trial.values[0] > 1 for trial in done) <= MEDIAN_OF


def test_a_shared_study_is_gone_on_with_and_another_s_is_left_alone(
    settings: Settings, photos: Path, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    train(order(photos, 2, url, recipe="knn"), settings)
    train(order(photos, 3, url, recipe="knn"), settings)
    train(order(photos, 2, url, recipe="svm"), settings)
    ended = [
        sum(
            trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in open_study(url, name, join=True).trials
        )
        for name in optuna.get_all_study_names(url)
    ]
    assert sorted(ended) == [2, 3]


def test_a_search_ends_where_all_that_there_is_has_been_tried(settings: Settings, photos: Path) -> None:
    outcome = train(order(photos, 100, recipe="prototype"), settings)
    assert outcome.search is not None
    assert outcome.search["trials"]["done"] == 1


def test_there_must_be_a_search_to_join_and_a_study_that_can_be_used(settings: Settings, photos: Path) -> None:
    joining = replace(order(photos, 1), search=Search(1, join=True))
    with pytest.raises(DataError, match="no search of these photos"):
        help_search(joining, settings, searching_progress())
    with pytest.raises(DataError, match="The study cannot be used"):
        train(order(photos, 1, "sqlite:////no/such/folder/study.db"), settings)
    with pytest.raises(DataError, match="teacher"):
        train(order(photos, 1, teacher="efficientnet_lite0"), settings)


def searching_progress() -> object:
    from app.training.progress import SILENT

    return SILENT


def test_study_and_join_belong_to_search(photos: Path) -> None:
    result = CliRunner().invoke(train_command, [str(photos), "--mode", "colours", "--join"])
    assert isinstance(result.exception, DataError)


def test_the_sentence_says_what_was_kept_and_why() -> None:
    fresh = Against(3, 0.3, 0.4, Estimate(0.1, 0.02, 0.2), Pairs(50, 6, 2, 4)).facts()
    facts = {"trials": {"done": 9, "pruned": 4}, "best": {}, "against": fresh, "kept": "best"}
    assert "beat the defaults and was taken" in sentence(facts)[0]
    assert "90.3% right against 83.9%" in sentence(facts)[0]
    assert "they were kept" in sentence({**facts, "kept": "defaults"})[0]
    assert "none beat the defaults" in sentence({**facts, "against": None})[0]
    assert "none finished" in sentence({**facts, "against": None, "best": None})[0]


def trials_done(url: str) -> int:
    """Looks on, and makes nothing: a study opened by Optuna makes the tables that the process beside is making."""
    engine = create_engine(url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            return int(connection.execute(text("select count(*) from trials where state = 'COMPLETE'")).scalar_one())
    except (OperationalError, ProgrammingError):  # not there yet, or half made
        return 0
    finally:
        engine.dispose()


def wait_for_trials(url: str, count: int, process: subprocess.Popen[str]) -> None:
    import time

    limit = time.monotonic() + 600
    while trials_done(url) < count:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < limit, "no trial in ten minutes"
        time.sleep(0.2)


@pytest.mark.slow
def test_a_killed_search_goes_on_and_ctrl_c_keeps_what_was_found(settings: Settings, photos: Path) -> None:
    killed = start(settings, photos, "--search", "9")
    folder = settings.models_dir / ".training" / "colours" / SEARCH

    def url() -> str:
        (path,) = folder.glob("*/study.db")
        return f"sqlite:///{path}"

    while not list(folder.glob("*/study.db")):
        assert killed.poll() is None, killed.communicate()[0]
    wait_for_trials(url(), 2, killed)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    before = trials_done(url())
    study = optuna.load_study(study_name=optuna.get_all_study_names(url())[0], storage=url())
    best = best_of(study)
    assert best is not None
    first = study.trials[0].values

    resumed = start(settings, photos, "--search", "9", "--resume")
    wait_for_trials(url(), before + 1, resumed)
    assert study.trials[0].values == first, "it started afresh"
    resumed.send_signal(signal.SIGINT)
    output = resumed.communicate(timeout=600)[0]
    assert resumed.returncode == 0, output
    assert "what it found is kept" in output
    report = json.loads((settings.models_dir / "colours" / "v1" / "report.json").read_text())
    assert report["search"]["trials"]["done"] > before


@pytest.fixture
def hurt(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Let something happen while the end of the third trial is noted in the study."""
    noted = RDBStorage.set_trial_state_values

    def with_error(error: BaseException) -> None:
        def hurting(self: RDBStorage, trial_id: int, state: TrialState, values: Any = None) -> bool:
            if trial_id == 3 and state == TrialState.COMPLETE:
                raise error
            return noted(self, trial_id, state, values)

        monkeypatch.setattr(RDBStorage, "set_trial_state_values", hurting)

    return with_error


def test_a_database_that_fails_while_a_trial_s_end_is_noted_is_one_sentence(
    settings: Settings, photos: Path, hurt: Callable[[BaseException], None]
) -> None:
    hurt(StorageInternalError("The disk is full"))
    with pytest.raises(DataError, match=r"The search's study cannot be used any more \(The disk is full\)\."):
        train(order(photos, 6), settings)


def test_ctrl_c_while_a_trial_s_end_is_noted_keeps_what_was_found_before(
    settings: Settings, photos: Path, hurt: Callable[[BaseException], None]
) -> None:
    hurt(KeyboardInterrupt())
    outcome = train(order(photos, 6), settings)
    assert outcome.search is not None
    assert outcome.search["trials"]["done"] == 2


def test_a_ctrl_c_that_a_library_swallows_ends_the_search_all_the_same(
    settings: Settings, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure, before = Scorer.figure, signal.signal(signal.SIGINT, signal.default_int_handler)

    def swallowing(self: Scorer, *given: Any) -> float:
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        return figure(self, *given)

    def then_swallowing(hunt: Hunt) -> None:
        monkeypatch.setattr(Scorer, "figure", swallowing)

    monkeypatch.setattr(Hunt, "_tell_of_best", then_swallowing)
    try:
        outcome = train(order(photos, 6), settings)
    finally:
        signal.signal(signal.SIGINT, before)
    assert outcome.search is not None
    assert outcome.search["trials"] == {"done": 1, "pruned": 0, "repeated_or_stopped": 1}


@pytest.mark.slow
def test_two_processes_join_one_study_in_a_shared_database(
    settings: Settings, photos: Path, postgresql: Callable[[], str], tmp_path: Path
) -> None:
    url = postgresql()
    elsewhere = settings.model_copy(update={"models_dir": tmp_path / "elsewhere"})
    first = start(settings, photos, "--search", "1.5", "--study", url)
    driver = url.replace("postgresql:", "postgresql+psycopg:")
    wait_for_trials(driver, 1, first)
    second = start(elsewhere, photos, "--search", "1.2", "--study", url, "--join")
    outputs = [process.communicate(timeout=600)[0] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), outputs
    assert "by all who search" in outputs[1]
    assert not (elsewhere.models_dir / "colours").exists(), "who helps writes no version"
    assert (settings.models_dir / "colours" / "v1").is_dir()
    storage = RDBStorage(driver)
    (study,) = storage.get_all_studies()
    trials = storage.get_all_trials(study._study_id)
    storage.engine.dispose()
    ended = [trial for trial in trials if trial.datetime_complete]
    together = any(
        one.datetime_start < other.datetime_start < one.datetime_complete
        for one in ended
        for other in ended
        if one.datetime_start and other.datetime_start and one.datetime_complete
    )
    assert together, "they took turns, or one did nothing"
