"""What may answer for a mode: its active version, and the one that is tried beside it."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from app.registry.state import Trial
from app.serving.mode import Mode

Role = Literal["active", "split", "shadow"]
_HASH_BYTES = 8


@dataclass(frozen=True, slots=True, eq=False)
class Contender:
    """The version that is tried; `plan`: how, as the mode's state has it."""

    mode: Mode
    plan: Trial


@dataclass(frozen=True, slots=True, eq=False)
class Arms:
    """Immutable: a request takes both versions in one step. `refused`: why the trial that should run does not."""

    active: Mode
    contender: Contender | None = None
    refused: str | None = None

    @property
    def splits(self) -> bool:
        """Whether the callers are shared out between two versions."""
        return self.contender is not None and self.contender.plan.kind == "split"

    @property
    def shadow(self) -> Contender | None:
        """The version that sees every picture and answers nobody."""
        return self.contender if self.contender and self.contender.plan.kind == "shadow" else None

    @property
    def role(self) -> Role:
        """As what the version that answers is counted: while callers are shared out, both are of the split."""
        return "split" if self.splits else "active"

    def contender_for(self, caller: str) -> Contender | None:
        """The version on trial where it is its turn to answer `caller`, always the same for the same caller."""
        if self.contender is None or not self.splits:
            return None
        return self.contender if place_of(caller, self.active.key) < self.contender.plan.share else None


def place_of(caller: str, mode: str) -> float:
    """Where a caller stands among all that ask `mode`: 0 to 1, evenly spread; a larger share keeps those it had."""
    digest = blake2b(f"{mode}\0{caller}".encode("utf-8", "replace"), digest_size=_HASH_BYTES).digest()
    return int.from_bytes(digest) / float(1 << 8 * _HASH_BYTES)
