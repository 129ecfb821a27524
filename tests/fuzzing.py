"""What the fuzz tests share: damaged copies of good inputs, and the property that every parser must have.

A parser given anything at all either takes it or raises an error of the family, with a sentence; never another
exception, never memory or time beyond a bound. `NOCTULE_FUZZ=large` runs a hundred times as many examples, and new
ones each time; `NOCTULE_FUZZ=10` ten times as many. Otherwise they are few and always the same. What was found once
stays as an `@example` beside its test.
"""

from __future__ import annotations

import json
import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from noctule.core.errors import NoctuleError

_WANTED = os.environ.get("NOCTULE_FUZZ", "1")
#: how many times as many examples as usual
TIMES = 100 if _WANTED == "large" else int(_WANTED)
#: bytes and CPU seconds that one input of a few kilobytes may cost
MEMORY, CPU = 48 << 20, 5.0
F = TypeVar("F", bound=Callable[..., Any])


def fuzz(examples: int) -> Callable[[F], F]:
    """Settings of a fuzz test: `examples` inputs, more of them where that is wanted."""
    return settings(
        max_examples=examples * TIMES,
        derandomize=TIMES == 1,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
    )


@contextmanager
def refuses_or_takes() -> Iterator[None]:
    """The property. Wrap the call of the parser."""
    before = time.process_time()
    tracemalloc.start()
    try:
        yield
    except NoctuleError as error:
        assert error.message.strip(), "an error says something"
        assert "Traceback" not in error.message
        assert len(error.message) < 20_000, "and not a novel"
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < MEMORY, f"{peak} bytes for a small input"
    spent = time.process_time() - before
    assert spent < CPU, f"{spent:.1f} s for a small input"


_EXTREMES = [
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    0x7FFFFFFFFFFFFFFF,
    2**64 - 1,
]


@st.composite
def damaged(draw: st.DrawFn, good: bytes, most: int = 6) -> bytes:
    """A good input with a few wounds: bytes changed, numbers made extreme, pieces cut out, doubled or put in."""
    data = bytearray(good)
    for _ in range(draw(st.integers(0, most))):
        at = draw(st.integers(0, len(data)))
        how = draw(st.sampled_from(["byte", "number", "cut", "remove", "double", "insert"]))
        if how == "byte" and at < len(data):
            data[at] = draw(st.integers(0, 255))
        elif how == "number":
            width = draw(st.sampled_from([2, 4, 8]))
            value = draw(st.sampled_from(_EXTREMES)) % (1 << 8 * width)
            data[at : at + width] = value.to_bytes(width, "little")
        elif how == "cut":
            del data[at:]
        elif how == "remove":
            del data[at : at + draw(st.integers(1, 64))]
        elif how == "double":
            piece = bytes(data[at : at + draw(st.integers(1, 64))])
            data[at:at] = piece
        else:
            data[at:at] = draw(st.binary(max_size=32))
    return bytes(data)


def leaves() -> st.SearchStrategy[Any]:
    """Values that JSON can hold and that programs forget."""
    numbers = st.one_of(st.integers(), st.floats(allow_nan=True, allow_infinity=True), st.sampled_from(_EXTREMES))
    odd = ["", "\0", "../../etc/passwd", "a" * 5000, "\ud7ff\ue000", "1e999", "ünïcödé", "-0", "%s%n", "💣"]
    return st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=20), st.sampled_from(odd))


def values() -> st.SearchStrategy[Any]:
    """Any small JSON value."""
    return st.recursive(
        leaves(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=8,
    )


@st.composite
def twisted(draw: st.DrawFn, good: Any, most: int = 3) -> Any:
    """A good JSON value in which a few places hold something else, are missing, or are one too many."""
    value = json.loads(json.dumps(good))
    for _ in range(draw(st.integers(0, most))):
        value = _twist(draw, value, draw(st.integers(0, 6)))
    return value


def _twist(draw: st.DrawFn, value: Any, depth: int) -> Any:
    if depth > 0 and isinstance(value, dict) and value:
        key = draw(st.sampled_from(sorted(value)))
        if draw(st.integers(0, 9)) == 0:
            del value[key]
        elif draw(st.integers(0, 9)) == 0:
            value[draw(st.text(max_size=12))] = draw(values())
        else:
            value[key] = _twist(draw, value[key], depth - 1)
        return value
    if depth > 0 and isinstance(value, list) and value:
        at = draw(st.integers(0, len(value) - 1))
        value[at] = _twist(draw, value[at], depth - 1)
        return value
    return draw(values())


def encoded(value: Any) -> bytes:
    """JSON as a hostile peer writes it, with NaN and lone surrogates."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
