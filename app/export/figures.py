"""What a format saves: size and time beside float32, in plain figures."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from app.export.check import Agreement
from app.export.formats import Format
from app.export.network import WholeNetwork


@dataclass(frozen=True, slots=True)
class Row:
    """One file: its size in megabytes (10^6 bytes), its milliseconds a picture, and what it says."""

    format: Format
    megabytes: float
    milliseconds: float
    agreement: Agreement


def table(rows: Sequence[Row]) -> str:
    """The rows side by side, with the number of threads that they were measured with."""
    threads = torch.get_num_threads()
    timed = "ms, 1 thread" if threads == 1 else f"ms, {threads} threads"
    lines = [f"{'format':<12} {'MB':>7} {timed:>13} {'same best answer':>17} {'probability elsewhere':>22}"]
    for row in rows:
        name = "float32" if row.format == "torchscript" else row.format
        lines.append(
            f"{name:<12} {row.megabytes:>7.2f} {row.milliseconds:>13.1f} {row.agreement.same_top_1:>17.0%} "
            f"{row.agreement.moved_mean:>22.2%}"
        )
    return "\n".join(lines)


def dynamic_sentence(rows: Sequence[Row], network: WholeNetwork) -> str:
    """How little dynamic quantisation does for a network of convolutions, beside what int8 does."""
    linear = sum(weights(module) for module in network.modules() if isinstance(module, nn.Linear))
    by_format = {row.format: row for row in rows}
    words = [f"Dynamic quantisation changes linear layers only, {linear / weights(network):.1%} of these weights."]
    for format_ in ("dynamic", "int8"):
        if format_ in by_format:
            words.append(_beside(by_format[format_], by_format["torchscript"]))
    return " ".join(words)


def weights(module: nn.Module) -> int:
    """How many numbers a module holds."""
    return sum(tensor.numel() for tensor in module.state_dict().values())


def _beside(row: Row, plain: Row) -> str:
    return (
        f"{row.format} is {row.megabytes / plain.megabytes:.1%} of float32's size "
        f"and takes {row.milliseconds / plain.milliseconds:.0%} of its time."
    )
