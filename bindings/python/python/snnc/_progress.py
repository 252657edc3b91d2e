"""How far long work has come, for whoever wants to know."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snnc._kinds import Progress


@contextmanager
def shown(progress: Progress) -> Iterator[Callable[[str, int, int], object] | None]:
    """A function that receives progress: the user's, or one that shows a bar of tqdm."""
    if callable(progress):
        yield progress
        return
    if not progress:
        yield None
        return
    try:
        from tqdm.auto import tqdm
    except ImportError:
        yield None
        return
    bars: list[Any] = []

    def tell(what: str, done: int, total: int) -> None:
        if not bars or bars[-1].desc != f"{what}: " or bars[-1].total != total:
            bars.append(tqdm(total=total, desc=what))
        bars[-1].update(done - bars[-1].n)

    try:
        yield tell
    finally:
        for bar in bars:
            bar.close()
