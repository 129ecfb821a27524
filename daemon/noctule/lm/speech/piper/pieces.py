"""Into which pieces a clause is cut for the decoder: pure arithmetic."""

from __future__ import annotations

import functools

#: frames of work that a piece costs beyond its own: what its margins take, of a medium voice
_EXTRA = 4


@functools.lru_cache(maxsize=256)
def cut(total: int, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Sizes of the pieces, which together hold `total` frames or a few more, for the least work.

    A short piece comes first, so that something is heard soon; the rest is cut for the least work.
    """
    if total <= 0:
        return ()
    begin = next((size for size in sizes if size * 4 >= sizes[-1]), sizes[-1])
    if total <= begin:
        begin = next(size for size in sizes if size >= min(total, sizes[-1]))
    best: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    # a clause of minutes needs no perfect end: whole large pieces, then the best of what is left
    rest = max(0, total - begin)
    large = max(0, rest // sizes[-1] - 2)
    for frames in range(1, rest - large * sizes[-1] + 1):
        before = [(best[max(0, frames - size)], size) for size in sizes]
        best.append(min(((cost + size + _EXTRA, (*pieces, size)) for (cost, pieces), size in before), key=_cost))
    tail = sorted(best[-1][1], reverse=True)
    return (begin, *[sizes[-1]] * large, *tail)


def _cost(option: tuple[float, tuple[int, ...]]) -> float:
    return option[0]
