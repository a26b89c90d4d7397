"""What a run is to teach, and the command that repeats it."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from app.photos.dataset import Dataset
from app.training.options import Options, Search

DEFAULTS = Options()


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be taught: photos, the mode's key and titles, options; `resume` goes on with a run that was killed.

    `source`: where labelled photos lie, or, for `retrain`, the photos themselves. Those that lie in `private` are
    people's own: the report shows none of them, for it would keep what they may take back. `by`: who gives the order,
    for the history. `unknown`: pictures, or folders of them, that show none of the classes. `search`: look for better
    options first.
    """

    source: Path | Dataset
    mode: str
    options: Options = DEFAULTS
    title_en: str | None = None
    title_zh: str | None = None
    resume: bool = False
    private: Path | None = None
    by: str = "training"
    unknown: tuple[Path, ...] = ()
    search: Search | None = None

    def strangers(self) -> list[str]:
        """Where `unknown` lies, for whoever trains the mode again; not what is `private`, which may be taken back."""
        places = [place.absolute() for place in self.unknown]
        own = self.private and self.private.absolute()
        return [str(place) for place in places if own is None or not place.is_relative_to(own)]


def command_of(order: Order) -> str:
    """The command that repeats the run: all that differs from the defaults, and the seed."""
    if isinstance(order.source, Dataset):
        return shlex.join(["python", "-m", "app", "retrain", order.mode])
    words = ["python", "-m", "app", "train", str(order.source), "--mode", order.mode]
    for name, title in (("--title-en", order.title_en), ("--title-zh", order.title_zh)):
        words += [name, title] if title else []
    for folder in order.unknown:
        words += ["--unknown", str(folder)]
    for name, value in order.options.model_dump(exclude_defaults=True, exclude={"seed"}).items():
        flag = name.replace("_", "-")
        words += [f"--{'' if value else 'no-'}{flag}"] if isinstance(value, bool) else [f"--{flag}", str(value)]
    return shlex.join([*words, "--seed", str(order.options.seed)])
