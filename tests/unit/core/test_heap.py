"""What lives long is set aside; what is garbage in a cycle goes at the next tidying, not some time."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from noctule.core.memory import set_aside, tidy


class Node:
    """In a cycle with itself."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.unfreeze()
    gc.enable()


def test_tidying_frees_cycles_that_came_since() -> None:
    set_aside()
    assert gc.get_freeze_count() > 1000
    gone = weakref.ref(Node())
    assert gone() is not None
    tidy()
    assert gone() is None


def test_what_was_set_aside_goes_when_all_is_looked_at_again() -> None:
    node = Node()
    set_aside()
    gone = weakref.ref(node)
    del node
    tidy()
    assert gone() is not None, "set aside: not looked at"
    set_aside()
    assert gone() is None


def test_setting_aside_makes_tidying_short() -> None:
    set_aside()
    young = sum(gc.get_count()) + len(gc.get_objects())
    assert young < gc.get_freeze_count() / 4
