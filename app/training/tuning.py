"""The recipes `staged` and `full`: after the head, layers of the backbone learn too, each at its own rate.

The head is fitted first, so that the first gradients do not spoil what the backbone knows (Kumar et al. 2022).
BatchNorm stays as it is in evaluation: statistics of a few photos are worse than ImageNet's.
"""

import copy
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from app.photos.dataset import Sample
from app.serving.head import LinearHead
from app.training.device import Device
from app.training.features import FeatureReader, Forward
from app.training.frozen import Frozen
from app.training.head import Examples
from app.training.layers import layers, set_trainable
from app.training.loop import INTERRUPTED, Stage, Work
from app.training.loss import balanced_weights, calibrated_loss
from app.training.outcome import EpochRecord
from app.training.progress import SILENT, Progress
from app.training.pruning import prune
from app.training.rounding import rounded
from app.training.schedule import Schedule
from app.training.smaller import PRUNED, ROUNDED, TAUGHT, Smaller
from app.training.state import Workspace
from app.training.steps import Photos, Steps
from app.training.trained import Trained
from app.vision.networks import SplitNetwork, join

EPOCHS = {"staged": 10, "full": 30}
PATIENCE = {"staged": 4, "full": 10}
BATCH = 16
RATE, SGD_RATE = 3e-4, 1e-2
"""Of the head; a layer's is `layer_decay` times that of the layer above it."""
WEIGHT_DECAY = 1e-4
ROUNDED_RATE = 0.2
"""Of the usual rate, where a network that has learned goes on as int8 rounds it: it has little left to learn."""


def tune(frozen: Frozen, device: Device, workspace: Workspace, progress: Progress) -> Trained:
    """Fit the head, then the layers that the recipe names; the best network on the validation part is returned."""
    head = frozen.fit_head(progress)
    tuning = _Tuning(frozen, device, workspace, progress, head.weight, head.bias, list(head.history))
    workspace.log(head.history, afresh=True)
    reason = head.stopped_because
    for name, trained in stages(frozen.options.recipe, [name for name, _ in tuning.layers]):
        reason = tuning.stage(name, trained)
        if reason == INTERRUPTED:
            break
    networks, reason = tuning.smaller(reason)
    network = tuning.split()
    reader = replace(tuning.reader(), forward=_features_of(network.backbone))

    def features(name: str, samples: tuple[Sample, ...]) -> Tensor:
        return reader.read(name, samples, frozen.plain())[0]

    classes = LinearHead(network.weight, network.bias)
    labels = torch.tensor([sample.label for sample in frozen.dataset.train])
    learned = Examples(features("train", frozen.dataset.train).unsqueeze(0), labels)
    validation = features("validation", frozen.dataset.validation)
    return Trained(
        tensors=join(network),
        features=features,
        head=classes.logits,
        train=learned,
        validation_features=validation,
        validation=classes.logits(validation),
        learned=learned,
        fit=None,
        history=tuple(tuning.history),
        stopped_because=reason,
        tuned=True,
        chosen={"head": asdict(head.manner), "pictures_at_once": tuning.at_once},
        smaller=Smaller(networks, frozen.base.transform, frozen.options.qat) if networks else None,
    )


def stages(recipe: str, names: list[str]) -> list[tuple[str, list[str]]]:
    """What is trained besides the head, in order: a name for each stage, and the layers that learn in it.

    `staged` unfreezes from the top, and never the bottom layer; `full` trains all at once.
    """
    _, second, third, top = names
    if recipe == "full":
        return [("all", names)]
    return [(top, [top]), (f"{second} to {top}", [second, third, top])]


def _features_of(backbone: nn.Module) -> Forward:
    def forward(batch: Tensor) -> Tensor:
        with torch.inference_mode():
            features: Tensor = backbone(batch)
            return features.clone()

    return forward


@dataclass(slots=True)
class _Tuning:
    """The network under training, and all that its stages share."""

    frozen: Frozen
    device: Device
    workspace: Workspace
    progress: Progress
    weight: Tensor
    bias: Tensor
    history: list[EpochRecord]
    at_once: int = BATCH
    photos: Photos = field(init=False)
    module: nn.Sequential = field(init=False)
    head: nn.Linear = field(init=False)
    layers: list[tuple[str, list[nn.Module]]] = field(init=False)
    _slower: float = 1.0
    _ranges: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        self.head = nn.Linear(self.weight.shape[1], len(self.bias))
        self.head.load_state_dict({"weight": self.weight, "bias": self.bias})
        backbone = self.frozen.base.network.backbone
        self.layers = layers(backbone)
        self.module = nn.Sequential(OrderedDict(backbone=backbone, head=self.head)).eval()
        self.module.to(self.device.kind, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.at_once = self.frozen.options.batch_size or BATCH
        reader = self.frozen.reader
        self.photos = Photos(
            (*self.frozen.dataset.train, *self.frozen.unlabelled), reader.max_pixels, reader.shortest_side
        )

    def stage(self, name: str, trained: list[str]) -> str:
        """Train the head and the layers named; why it stopped."""
        options = self.frozen.options
        for layer, modules in self.layers:
            set_trainable(modules, layer in trained)
        optimizer = self._optimizer(trained)
        recipe = options.recipe
        epochs = options.epochs or EPOCHS[recipe]
        stage = Stage(name, self.module, optimizer, epochs, options.patience or PATIENCE[recipe], options)
        before = list(self.history)
        step = Steps(
            self.frozen,
            self.module,
            self.device,
            optimizer,
            epochs,
            self.photos,
            batch_size=options.batch_size or BATCH,
            at_once=self.at_once,
            say=self.progress.say,
        )

        def on_epoch(record: EpochRecord, state: dict[str, Any]) -> None:
            self.workspace.save(f"{name}.stage", state)
            self.workspace.log([record])
            self.progress.advance(1, record)

        state = self.workspace.load(f"{name}.stage")
        self.progress.start(f"{name}: epochs", epochs)
        if state is not None:
            again = [EpochRecord(**record) for record in state["history"]]
            for record in again:
                self.progress.advance(1, record)
            self.workspace.log([*before, *again], afresh=True)
        stage.run(Work(partial(self._learn, step), self.validate), on_epoch, state)
        self.progress.finish()
        self.history = before + stage.history
        self.at_once = step.at_once
        return stage.stopped_because

    def _learn(self, step: Steps, epoch: int, schedule: Schedule) -> float:
        loss = step.epoch(epoch, schedule)
        if self._ranges is not None:
            self._ranges()
        return loss

    def smaller(self, reason: str) -> tuple[tuple[tuple[str, SplitNetwork], ...], str]:
        """Prune, and learn on for int8, where that was asked for: the networks before and after, and why it stopped."""
        options = self.frozen.options
        names = [name for name, _ in self.layers]
        if not options.prune and not options.qat:
            return (), reason
        networks = [(TAUGHT, self.copied())]
        if options.prune and reason != INTERRUPTED:
            before, left = prune(self.frozen.base.network.backbone, options.prune)
            self.progress.say(
                f"Pruned: {left} of {before} channels are left.", f"剪枝：{before} 个通道保留 {left} 个。"
            )
            reason = self.stage(PRUNED, names)
            networks.append((PRUNED, self.copied()))
        if options.qat and reason != INTERRUPTED:
            reason = self._rounded(names)
            networks.append((ROUNDED, self.copied()))
        return (tuple(networks) if len(networks) > 1 else ()), reason

    def _rounded(self, names: list[str]) -> str:
        """Learn on in a copy that is rounded as int8 is, and take over what it has learned; why it stopped."""
        backbone, plain, layers_, device = self.frozen.base.network.backbone, self.module, self.layers, self.device
        self.device = Device(device.kind, torch.float32)  # torch rounds nothing but float32
        copy_ = rounded(backbone.cpu(), self.frozen.base.transform)
        self.layers = [(ROUNDED, [copy_.network])]
        self.module = nn.Sequential(OrderedDict(backbone=copy_.network, head=self.head))
        self.module.to(self.device.kind)
        self._slower, self._ranges = ROUNDED_RATE, copy_.set_ranges
        reason = self.stage(ROUNDED, [ROUNDED])
        copy_.network.cpu()
        copy_.write_back(backbone)
        self.module, self.layers, self.device, self._slower, self._ranges = plain, layers_, device, 1.0, None
        return reason

    def validate(self) -> tuple[float, float]:
        """Calibrated loss, by class weights, and accuracy."""
        samples = self.frozen.dataset.validation
        logits = self.reader().read("validation", samples, self.frozen.plain())[0]
        labels = torch.tensor([sample.label for sample in samples])
        accuracy = float((logits.argmax(1) == labels).float().mean())
        return calibrated_loss(logits, labels, self.class_weights()), accuracy

    def reader(self) -> FeatureReader:
        """Reads photos to logits, through the network as it is now: nothing of it may be kept."""
        reader = self.frozen.reader
        return FeatureReader(self._forward, reader.shortest_side, reader.max_pixels, reader.seed, None, SILENT)

    def split(self) -> SplitNetwork:
        """The network as it is now, on the CPU, for `networks.join`."""
        self.module.cpu()
        self.device = Device("cpu", torch.float32)
        return self._split(self.frozen.base.network.backbone)

    def copied(self) -> SplitNetwork:
        """A copy of the network as it is now, on the CPU, which goes on learning no more."""
        return self._split(copy.deepcopy(self.frozen.base.network.backbone).cpu().requires_grad_(False))

    def _split(self, backbone: nn.Module) -> SplitNetwork:
        weight, bias = (one.detach().cpu().clone() for one in (self.head.weight, self.head.bias))
        return SplitNetwork(self.frozen.base.network.name, backbone, weight, bias)

    def class_weights(self) -> Tensor | None:
        """By which validation is judged, where unequal classes are to count the same."""
        dataset = self.frozen.dataset
        if self.frozen.options.balance == "none":
            return None
        return balanced_weights([sample.label for sample in dataset.train], len(dataset.classes))

    def _forward(self, batch: Tensor) -> Tensor:
        with torch.inference_mode(), self.device.mixed():
            logits: Tensor = self.module(self.device.put(batch))
            return logits.float().cpu()

    def _optimizer(self, trained: list[str]) -> torch.optim.Optimizer:
        """A rate for each layer: the head's, times `layer_decay` for each layer further down."""
        options = self.frozen.options
        rate = self._slower * (options.learning_rate or (RATE if options.optimizer == "adam" else SGD_RATE))
        groups: list[dict[str, Any]] = [{"params": list(self.head.parameters()), "lr": rate}]
        for depth, (name, modules) in enumerate(reversed(self.layers), start=1):
            parameters = [parameter for module in modules for parameter in module.parameters()]
            if name in trained:
                groups.append({"params": parameters, "lr": rate * options.layer_decay**depth})
        decay = WEIGHT_DECAY if options.weight_decay is None else options.weight_decay
        if options.optimizer == "adam":
            return torch.optim.AdamW(groups, weight_decay=decay)
        return torch.optim.SGD(groups, momentum=options.momentum, weight_decay=decay)
