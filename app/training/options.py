"""Everything that can be chosen about a training run, with defaults good enough that most people choose nothing."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.registry.manifest import ScoreName

Recipe = Literal["head", "staged", "full", "prototype", "knn", "svm"]
TUNED: tuple[Recipe, ...] = ("staged", "full")
"""The recipes that change the backbone, and so write a whole network."""
CLASSIC: tuple[Recipe, ...] = ("prototype", "knn", "svm")
"""The recipes without epochs."""

_Share = Annotated[float, Field(ge=0, le=1)]


class Options(BaseModel):
    """One run's options; immutable. The command line is made from these fields and their descriptions.

    None means that the recipe's own value is taken; `training.defaults` has them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: Recipe = Field("head", description="What is trained: a new head, layers in stages, all, or a classic.")
    network: str | None = Field(None, description="The backbone, any torchvision name. Default: the served one.")
    seed: Annotated[int, Field(ge=0)] = Field(0, description="The same seed gives the same result.")
    validation_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.15, description="How much of each class is held back where the data brings no val."
    )
    refit: bool = Field(
        True, description="Recipe head: learn from a held-back part too, once everything has been chosen on it."
    )
    keep_leaks: bool = Field(False, description="Keep photos in training that the val or test part has, too.")

    augmentation: Literal["none", "light", "standard", "strong", "industrial"] = Field(
        "light", description="How training photos are varied; industrial leaves colours untouched."
    )
    views: Annotated[int, Field(ge=1, le=64)] | None = Field(
        None, description="Recipe head: varied views of each photo. Default: more where photos are few."
    )
    balance: Literal["none", "adjusted", "weights", "oversample"] = Field(
        "adjusted",
        description="What is done about unequal classes: let the rare win by more, weigh them, draw them more often.",
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="Szegedy et al. 2016.")

    optimizer: Literal["adam", "sgd"] = Field("adam", description="Adam, or SGD with momentum.")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.9, description="Of SGD.")
    learning_rate: Annotated[float, Field(gt=0)] | None = Field(None, description="Of the head; layers take less.")
    layer_decay: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="Recipes staged, full: each layer below learns at this times the rate of the one above."
    )
    weight_decay: Annotated[float, Field(ge=0)] | None = Field(
        None, description="Recipe head: chosen on the validation part where not given."
    )
    schedule: Literal["cosine", "plateau", "step", "constant"] = Field(
        "cosine", description="Cosine annealing; halved after 3 epochs without gain in val accuracy; halved every 5."
    )
    warmup: Annotated[float, Field(ge=0)] = Field(1.0, description="Epochs of linear warm-up.")
    epochs: Annotated[int, Field(ge=1)] | None = Field(None, description="The most, in each stage.")
    batch_size: Annotated[int, Field(ge=1)] | None = Field(None, description="Halved where memory does not fit.")

    prune: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="Recipes staged, full: take out this share of the channels inside blocks, and learn again."
    )
    qat: bool = Field(False, description="Recipes staged, full: learn on as int8 will round; needs torch's quantiser.")

    early_stopping: bool = Field(True, description="Stop when the monitored figure gains no more.")
    patience: Annotated[int, Field(ge=1)] | None = Field(None, description="Epochs without gain before stopping.")
    min_delta: Annotated[float, Field(ge=0)] = Field(0.0, description="A smaller gain is none.")
    monitor: Literal["val_loss", "val_acc"] = Field("val_loss", description="What stopping and the best go by.")

    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="Where the arithmetic is done.")
    precision: Literal["auto", "float32", "float16", "bfloat16"] = Field(
        "auto", description="Mixed precision where it helps: float16 on CUDA, bfloat16 on processors that have it."
    )

    neighbours: Annotated[int, Field(ge=1)] = Field(5, description="Recipe knn: how many neighbours vote.")

    teacher: str | None = Field(
        None, description="Distil from: a torchvision name, efficientnet_lite0, or MODE[@VERSION]."
    )
    temperature: Annotated[float, Field(gt=0)] = Field(4.0, description="Of distillation (Hinton et al. 2015).")
    anneal_temperature: bool = Field(False, description="Let that temperature fall to 1 over the epochs.")
    alpha: _Share = Field(0.7, description="The teacher's share of the loss.")
    unlabelled: str | None = Field(
        None, description="A folder of photos without labels, for which the teacher alone says what they show."
    )

    accepted: Annotated[float, Field(gt=0, le=1)] = Field(
        0.95, description="The share of known photos that the threshold must let through."
    )
    score: ScoreName | None = Field(
        None, description="What tells known photos from unknown ones. Default: what does so best on photos held out."
    )


@dataclass(frozen=True, slots=True)
class Search:
    """A search for better options: `minutes` of it; `study`, a database's address, or None for a file of this run.

    `join`: only help a search that is going on. `trials`: at most so many, whoever makes them.
    """

    minutes: float
    study: str | None = None
    join: bool = False
    trials: int | None = None
