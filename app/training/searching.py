"""A search from beginning to end, for `train --search`: the study, the trials, the verdict, the options chosen."""

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import optuna
import torch
from optuna.trial import TrialState

from app.errors import DataError
from app.photos.dataset import Dataset, fingerprint
from app.registry.files import write_file
from app.training.device import choose_device
from app.training.features import views_for
from app.training.folds import FOLDS, Scorer, folds
from app.training.frozen import Frozen
from app.training.options import Search
from app.training.outcome import Found
from app.training.report import Facts
from app.training.search import (
    Hunt,
    best_of,
    is_worth_tuning,
    prepared,
    tell_helpers,
)
from app.training.search_lines import sentence
from app.training.search_verdict import against
from app.training.space import bounds_for, changes
from app.training.state import Shelf
from app.training.study import NothingToJoin, name_of, open_study

_STUDY, _SPENT, _FOUND = "study.db", "seconds.txt", "found.json"
_TOP = 5


def search(order: Search, frozen: Frozen, folder: Path, *, resume: bool) -> Found:
    """Search, hold what was found against the defaults, and choose. `frozen`: the photos, the backbone, the defaults.

    `folder` keeps the study and the features, also for those on this machine who help. Without `resume` a search in a
    file starts afresh; one in a shared database always goes on.

    Raises:
        DataError: the study cannot be used, or there is none to join.
    """
    base = frozen.options
    if base.teacher:
        raise DataError("A search cannot learn from a teacher: leave out --teacher, or --search.")
    name = name_of(fingerprint(_training_part(frozen.dataset)), frozen.base.fingerprint, base, FOLDS)
    shelf, study = _opened(order, folder, name, resume=resume)
    known = shelf.folder / _FOUND
    if resume and known.is_file():
        kept = json.loads(known.read_text())
        return Found(base.model_copy(update=kept["options"]), kept["facts"])
    progress = frozen.reader.progress
    views = base.views or views_for(len(frozen.dataset.train))
    scorer = Scorer(
        replace(frozen, reader=replace(frozen.reader, workspace=shelf)),
        choose_device(base.device, base.precision),
        views,
    )
    parts = folds(frozen.dataset.train, share=base.validation_share, seed=base.seed)
    tuned = is_worth_tuning(_seconds_a_photo(frozen), len(frozen.dataset.train), order.minutes, len(parts))
    bounds = prepared(study, base, bounds_for(views, tuned=tuned))
    if not order.join:
        tell_helpers(study, finished=False)
    hunt = Hunt(order, base, scorer, parts, study, bounds, progress, None if order.join else shelf.folder / _SPENT)
    hunt.run()
    found = _facts(hunt) if order.join else _chosen(hunt, scorer)
    if not order.join:
        write_file(known, json.dumps({"options": found.options.model_dump(), "facts": found.facts}))
        tell_helpers(study, finished=True)
    progress.say(found.facts["verdict"]["en"], found.facts["verdict"]["zh"])
    return found


def _opened(order: Search, folder: Path, name: str, *, resume: bool) -> tuple[Shelf, optuna.Study]:
    """The folder of this study, and the study."""
    if order.join and order.study is None and not (folder / name / _STUDY).is_file():
        raise NothingToJoin
    if not resume and not order.join:
        shutil.rmtree(folder, ignore_errors=True)
    shelf = Shelf(folder / name)
    return shelf, open_study(order.study or f"sqlite:///{shelf.folder / _STUDY}", name, join=order.join)


def _chosen(hunt: Hunt, scorer: Scorer) -> Found:
    """The best found where it beats the defaults on fresh folds, else these."""
    found = _facts(hunt)
    best = best_of(hunt.study)
    if best is None:
        return found
    options = hunt.options_of(best)
    if not found.facts["best"]["changes"]:
        return found
    fresh = against(options, hunt.base, scorer, hunt.progress)
    facts = {**found.facts, "against": fresh.facts(), "kept": "best" if fresh.better else "defaults"}
    facts["verdict"] = dict(zip(("en", "zh"), sentence(facts), strict=True))
    return Found(options if fresh.better else hunt.base, facts)


def _facts(hunt: Hunt) -> Found:
    """What the study holds by now; the defaults, until something is shown to beat them."""
    trials = hunt.study.get_trials(deepcopy=False)
    photos = sum(len(fold.judge) for fold in hunt.parts)
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    top, seen = [], set()
    for trial in sorted(done, key=lambda one: (one.values[0], one.number)):
        row = {
            "trial": trial.number + 1,
            "figure": trial.values[0],
            "right": trial.user_attrs["right"] / photos,
            "changes": changes(hunt.options_of(trial), hunt.base, hunt.scorer.views),
        }
        if (words := json.dumps(row["changes"])) not in seen:
            seen.add(words)
            top.append(row)
    facts: Facts = {
        "minutes": hunt.search.minutes,
        "monitor": hunt.base.monitor,
        "folds": len(hunt.parts),
        "photos": photos,
        "recipes": list(hunt.bounds.recipes),
        "trials": {
            "done": len(done),
            "pruned": sum(trial.state == TrialState.PRUNED for trial in trials),
            "repeated_or_stopped": sum(trial.state == TrialState.FAIL for trial in trials),
        },
        "best": top[0] if top else None,
        "defaults": next((row for row in top if not row["changes"]), None),
        "top": top[:_TOP],
        "against": None,
        "kept": None if hunt.search.join else "defaults",
    }
    facts["verdict"] = dict(zip(("en", "zh"), sentence(facts), strict=True))
    return Found(hunt.base, facts)


def _training_part(dataset: Dataset) -> Dataset:
    """The training photos alone: who searches is told nothing of the others, and need not have them."""
    return Dataset(dataset.classes, dataset.train, (), (), dataset.classes_zh)


def _seconds_a_photo(frozen: Frozen) -> float:
    """About what one photo takes to learn from, where the whole backbone does: three passes forward."""
    crop = frozen.base.transform.crop
    batch = torch.zeros(8, 3, crop, crop)
    frozen.reader.forward(batch)
    began = time.perf_counter()
    frozen.reader.forward(batch)
    return 3 * (time.perf_counter() - began) / len(batch)
