"""The networks on a Ray cluster: a deployment of Ray Serve, whose replicas run whichever mode they are asked for."""

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.serve import Application
from torch import Tensor

from app.config import Settings, read_settings
from app.errors import ModelError
from app.registry.catalog import BASE_MODE, ENSEMBLE_MODE, Entry, scan
from app.registry.sharing import StoreAway
from app.registry.site import open_site
from app.serving.backbone import Backbone
from app.serving.batching import MAX_BATCH
from app.serving.loading import Loader
from app.serving.mode import Mode
from app.vision.transform import Pixels

NAME = "wanwu"
"""Of the application and its one deployment, on the cluster."""
MODES_A_REPLICA = 256
"""How many modes a replica keeps; those on one backbone share it, and have a head of a few kilobytes each."""

Sent = list[Pixels] | np.ndarray
"""A picture on its way: as `Transform.joined` takes it; or float32 `[3, crop, crop]`, normalised."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture's float32 features `[width]`, and the seconds that it waited for its batch and that this took."""

    features: np.ndarray
    queue_s: float
    infer_s: float


@dataclass(frozen=True, slots=True)
class _Waiting:
    backbone: Backbone
    sent: Sent
    came_s: float

    def tensor(self) -> Tensor:
        """Float32 `[3, crop, crop]`."""
        return (
            torch.from_numpy(self.sent)
            if isinstance(self.sent, np.ndarray)
            else self.backbone.transform.joined(self.sent)
        )


def model_id(mode: Mode) -> str:
    """What tells a mode in one version from every other: by it Ray Serve finds a replica that has it already."""
    return f"{mode.key}@{mode.model.version}@{mode.model.sha256}"


class Replica:
    """Runs backbones for whoever asks: pictures in, features out. Heads, labels and thresholds stay with the asker."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or read_settings()
        torch.set_num_threads(self._settings.torch_threads)
        self._loader = Loader(self._settings)
        self._site = open_site(self._settings)
        self._base = self._loader.base()
        self._loading = threading.Lock()

    async def __call__(self, sent: Sent) -> Seen:
        """The features of one picture, for the mode that the request names.

        Raises:
            ModelError: the mode is not here, or not as the asker has it.
        """
        mode = await self.mode(serve.get_multiplexed_model_id())
        seen: Seen = await self.batched(_Waiting(mode.backbone, sent, time.perf_counter()))
        return seen

    @serve.multiplexed(max_num_models_per_replica=MODES_A_REPLICA)  # type: ignore[untyped-decorator]
    async def mode(self, which: str) -> Mode:
        """The mode of that `model_id`. Raises ModelError."""
        return await asyncio.to_thread(self._load, which)

    @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=0.0)
    async def batched(self, waiting: list[_Waiting]) -> list[Seen]:
        """What came together, in one pass for each backbone."""
        return await asyncio.to_thread(_run, waiting)

    def _load(self, which: str) -> Mode:
        key, version, sha256 = which.split("@")
        with self._loading:
            torch.set_num_threads(self._settings.torch_threads)  # a thread's own; what is loaded here is shared
            mode = self._mode(key, version)
        if mode.model.sha256 != sha256:
            raise ModelError(f"{key} {version} is another here than where it was asked for")
        return mode

    def _mode(self, key: str, version: str) -> Mode:
        if key == BASE_MODE:
            return self._base
        if key == ENSEMBLE_MODE:
            ensemble = self._loader.base_ensemble(self._base)
            if ensemble is None:
                raise ModelError("its networks are not here")
            return ensemble
        folder = self._settings.models_dir / key / version
        if self._site is not None and not folder.is_dir():  # a node's `models/` is a cache of the store's
            try:
                self._site.bring(key)
            except StoreAway:  # which does not travel
                raise ModelError(f"{key} {version} is not here yet, and the store does not answer") from None
        if folder.is_dir():
            return self._loader.version(Entry(key, folder))
        entry = scan(self._settings.models_dir).get(key)
        if entry is None:
            raise ModelError(f"there is no mode {key}")
        return self._loader.custom(entry, self._base)


def _run(waiting: Sequence[_Waiting]) -> list[Seen]:
    """In a thread, so that others are taken in meanwhile."""
    started = time.perf_counter()
    features: dict[int, np.ndarray] = {}
    for backbone in dict.fromkeys(one.backbone for one in waiting):
        places = [place for place, one in enumerate(waiting) if one.backbone is backbone]
        batch = torch.stack([waiting[place].tensor() for place in places])
        features |= dict(zip(places, backbone.features(batch).numpy(), strict=True))
    infer_s = time.perf_counter() - started
    return [Seen(features[place], started - one.came_s, infer_s) for place, one in enumerate(waiting)]


class Size(BaseModel):
    """How large the deployment is. `cpus`: what a replica takes of its node, and the threads it computes with."""

    model_config = ConfigDict(extra="forbid")

    min_replicas: Annotated[int, Field(ge=1)] = 1
    max_replicas: Annotated[int, Field(ge=1)] = 1
    cpus: Annotated[int, Field(ge=1)] = 1
    max_queued: Annotated[int, Field(ge=1)] = 256
    """The pictures that wait in each web process for a replica; past that the answer is `busy`."""


def application(size: Size) -> Application:
    """What `serve run app.cluster.replica:application` deploys, with the fields of `Size` behind it."""
    deployed = serve.deployment(
        name=NAME,
        autoscaling_config={
            "min_replicas": size.min_replicas,
            "max_replicas": max(size.min_replicas, size.max_replicas),
            "target_ongoing_requests": MAX_BATCH,
        },
        max_ongoing_requests=2 * MAX_BATCH,  # one batch runs, and the next is there as it ends
        max_queued_requests=size.max_queued,
        logging_config={"enable_access_log": False},  # the web processes log each request
        ray_actor_options={"num_cpus": size.cpus, "runtime_env": {"env_vars": {"TORCH_THREADS": str(size.cpus)}}},
    )(Replica)
    return deployed.bind()
