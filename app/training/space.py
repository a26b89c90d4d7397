"""What a search may choose: every option that was not given, within bounds that make sense."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, get_args

from optuna.trial import Trial

from app.training.head import RATE
from app.training.options import CLASSIC, TUNED, Options
from app.training.tuning import RATE as TUNED_RATE

_AUGMENTATIONS = get_args(Options.model_fields["augmentation"].annotation)
_BALANCES = get_args(Options.model_fields["balance"].annotation)
_RATES = (RATE / 10, RATE * 4)
_TUNED_RATES = (TUNED_RATE / 10, TUNED_RATE * 10)
_DECAYS = (1e-6, 1e-2)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What all who search together must agree on: the recipes, and how many varied views there may be."""

    recipes: tuple[str, ...]
    views: tuple[int, ...]

    def as_json(self) -> dict[str, Any]:
        """For the study."""
        return {name: list(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Bounds":
        """The inverse of `as_json`."""
        return cls(tuple(values["recipes"]), tuple(values["views"]))


def bounds_for(views: int, *, tuned: bool) -> Bounds:
    """Half of the usual `views`, and as many; `tuned`: there is time for the recipes that change the backbone."""
    return Bounds(("head", *CLASSIC, *(TUNED if tuned else ())), tuple(sorted({max(views // 2, 1), views})))


def suggest(trial: Trial, base: Options, bounds: Bounds) -> Options:
    """One choice of all that `base` leaves open: what the command line gave stays as it is."""
    chosen: dict[str, Any] = {}

    def choose(name: str, draw: Callable[[], Any]) -> Any:  # noqa: ANN401 - the value of any option
        if name in base.model_fields_set:
            return getattr(base, name)
        chosen[name] = draw()
        return chosen[name]

    def among(name: str, values: tuple[Any, ...]) -> Any:  # noqa: ANN401 - as above
        return choose(name, lambda: trial.suggest_categorical(name, values))

    recipe = among("recipe", bounds.recipes)
    augmentation = among("augmentation", _AUGMENTATIONS)
    if recipe not in TUNED and augmentation != "none":
        among("views", bounds.views)
    if recipe == "knn":
        choose("neighbours", lambda: trial.suggest_int("neighbours", 1, 15, step=2))
    if recipe == "svm":
        choose("balance", lambda: trial.suggest_categorical("svm_balance", ("none", "weights")))
    if recipe not in CLASSIC:
        tuned = "tuned_" if recipe in TUNED else ""
        rates = _TUNED_RATES if tuned else _RATES
        among("balance", _BALANCES)
        choose("label_smoothing", lambda: trial.suggest_float("label_smoothing", 0.0, 0.2, step=0.02))
        choose("learning_rate", lambda: trial.suggest_float(f"{tuned}learning_rate", *rates, log=True))
        if trial.suggest_categorical("decay", ("usual", "searched")) == "searched":
            choose("weight_decay", lambda: trial.suggest_float(f"{tuned}weight_decay", *_DECAYS, log=True))
        if tuned:
            choose("layer_decay", lambda: trial.suggest_float("layer_decay", 0.3, 1.0))
    return base.model_copy(update=chosen)


def starts(base: Options, bounds: Bounds) -> list[dict[str, Any]]:
    """What is tried first: the defaults, and each other recipe with them."""
    usual = {
        "augmentation": base.augmentation,
        "views": bounds.views[-1],
        "balance": base.balance,
        "svm_balance": "none" if base.balance == "none" else "weights",
        "label_smoothing": base.label_smoothing,
        "learning_rate": RATE,
        "tuned_learning_rate": TUNED_RATE,
        "layer_decay": base.layer_decay,
        "neighbours": base.neighbours,
        "decay": "usual",
    }
    recipes = [base.recipe, *(one for one in bounds.recipes if one != base.recipe)]
    if "recipe" in base.model_fields_set:
        recipes = [base.recipe]
    return [{"recipe": recipe, **usual} for recipe in recipes]


def changes(options: Options, base: Options, views: int) -> dict[str, Any]:
    """What `options` have otherwise than `base`, by name; a number as the short one that it is nearest to.

    What only says what the recipe would have taken anyway is left out. `views`: the usual number.
    """
    rate = TUNED_RATE if options.recipe in TUNED else RATE
    usual = {"views": views, "learning_rate": rate}
    return {
        name: float(f"{value:.3g}") if isinstance(value, float) else value
        for name, value in options.model_dump().items()
        if value != getattr(base, name) and not (getattr(base, name) is None and value == usual.get(name))
    }
