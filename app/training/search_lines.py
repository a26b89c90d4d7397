"""A search in words: its verdict for people, and its lines for a terminal."""

from typing import Any

from app.training.report import Facts


def sentence(facts: Facts) -> tuple[str, str]:
    """The verdict on a search in English and Chinese; `facts` are what `searching` wrote."""
    trials = facts["trials"]
    tried = f"{trials['done']} trials of options done and {trials['pruned']} given up early"
    tried_zh = f"完成 {trials['done']} 次尝试，提前放弃 {trials['pruned']} 次"
    fresh = facts["against"]
    if facts["kept"] is None:
        return f"Search: {tried}, by all who search.", f"搜索：所有进程共{tried_zh}。"
    if fresh is None:
        reason = "none finished" if facts["best"] is None else "none beat the defaults"
        zh = "没有一次完成" if facts["best"] is None else "没有优于默认选项的"
        return f"Search: {tried}; {reason}, and the defaults were kept.", f"搜索：{tried_zh}；{zh}，保留默认选项。"
    right, gain = fresh["right"], fresh["figure"]["gain"]
    figures = (
        f"on fresh folds of the same photos {right['best']:.1%} right against {right['defaults']:.1%} "
        f"(p = {right['p']:.2g}), the figure smaller by {gain['value']:.4f} ({gain['low']:.4f} to {gain['high']:.4f})"
    )
    figures_zh = (
        f"在重新划分的折上答对 {right['best']:.1%}，默认选项 {right['defaults']:.1%}（p = {right['p']:.2g}），"
        f"指标降低 {gain['value']:.4f}（{gain['low']:.4f} 至 {gain['high']:.4f}）"
    )
    if facts["kept"] == "best":
        return (
            f"Search: {tried}. The best beat the defaults and was taken: {figures}.",
            f"搜索：{tried_zh}。最佳选项优于默认选项，已采用：{figures_zh}。",
        )
    return (
        f"Search: {tried}. The best did not beat the defaults beyond chance, and they were kept: {figures}.",
        f"搜索：{tried_zh}。最佳选项未明显优于默认选项，保留默认选项：{figures_zh}。",
    )


def lines(facts: Facts | None) -> list[str]:
    """The search for a terminal, if there was one."""
    if facts is None:
        return []
    rows = [f"  {abs(one['figure']):.4f}  {one['right']:>6.1%}  {_words(one['changes'])}" for one in facts["top"]]
    head = f"  {'figure':>6}  {'right':>6}  options, over {facts['folds']} folds of {facts['photos']} training photos"
    return [facts["verdict"]["en"], *([head, *rows] if rows else [])]


def _words(changes: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in changes.items()) or "the defaults"
