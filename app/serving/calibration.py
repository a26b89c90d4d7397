"""What `imagenet`'s percentages are worth, measured: `python -m bench.calibration ../shared/photos` (docs/ACCURACY.md).

Both networks are too modest: of 120 labelled photos they name more rightly than their plain softmax promises.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Calibration:
    """The `temperature` that the logits are divided by, the `threshold` at which 95 % of known photos keep their name,
    and the shares, in thousandths, that keep it at 0, 0.01, … 1, none of them judged by a temperature fitted on it."""

    temperature: float
    threshold: float
    kept: tuple[int, ...] | None = None

    @property
    def accepted(self) -> tuple[float, ...] | None:
        """The same as shares of 1; None where nothing was measured."""
        return tuple(share / 1000 for share in self.kept) if self.kept else None


CALIBRATIONS: Mapping[str, Calibration] = {
    "resnet18": Calibration(0.69, 0.40, (
        1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 996, 995, 992, 991,
        987, 985, 984, 984, 983, 983, 983, 981, 977, 973, 966, 961, 959, 958, 958, 958, 958, 958, 958, 955, 951,
        950, 950, 948, 943, 937, 932, 923, 915, 908, 900, 894, 886, 870, 865, 862, 862, 860, 860, 859, 859, 858,
        847, 840, 839, 836, 835, 835, 831, 828, 824, 819, 810, 805, 798, 794, 789, 785, 782, 772, 762, 744, 733,
        723, 716, 710, 704, 695, 686, 680, 668, 654, 643, 635, 617, 596, 584, 574, 562, 519, 458, 385, 0,
    )),
    "efficientnet_lite0": Calibration(0.69, 0.64, (
        1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000,
        1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 998, 994, 992, 992, 992, 991, 988, 986, 985, 985, 984,
        983, 983, 983, 983, 983, 983, 983, 983, 983, 982, 978, 976, 976, 975, 975, 975, 975, 975, 973, 971, 970,
        970, 968, 968, 967, 967, 966, 963, 953, 947, 939, 932, 928, 923, 919, 919, 918, 917, 913, 905, 897, 892,
        882, 876, 869, 865, 860, 852, 848, 843, 832, 818, 811, 802, 790, 776, 750, 714, 684, 658, 603, 545, 500,
        387, 0,
    )),
    "resnet18+efficientnet_lite0": Calibration(0.65, 0.56, (
        1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000,
        1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 999, 996, 994, 994, 993, 993, 992, 992, 992,
        991, 988, 985, 985, 985, 985, 985, 985, 984, 983, 983, 983, 979, 977, 977, 976, 966, 961, 952, 951,
        951, 951, 949, 945, 936, 928, 918, 915, 913, 912, 911, 910, 903, 895, 891, 880, 875, 871, 869, 868,
        864, 860, 854, 846, 840, 837, 832, 824, 821, 819, 812, 807, 798, 787, 783, 773, 767, 762, 750, 743,
        732, 717, 683, 642, 581, 0,
    )),
}  # fmt: skip
"""By the network's name, `imagenet-ensemble`'s by both of its (`--mode imagenet-ensemble`). One not measured is served
as it is, without a curve."""
