"""Ids out of people's names: readable where it can be, and never two names the same."""

from __future__ import annotations

import random
import re
import unicodedata

import pytest

from noctule.core.names import id_of


@pytest.mark.parametrize("name", ["kitchen", "pi-2", "noctule_1", "a", "x" * 60])
def test_a_name_that_can_be_an_id_is_one(name: str) -> None:
    assert id_of(name) == name


@pytest.mark.parametrize(
    ("name", "readable"),
    [("Küche", "kuche-"), ("Living Room", "living-room-"), ("客厅", "x"), ("кухня", "x"), ("🦉", "x"), ("", "x")],
)
def test_what_is_readable_stays(name: str, readable: str) -> None:
    assert re.fullmatch(readable + r"[0-9a-f]{8}", id_of(name))


def test_ten_thousand_names_have_ten_thousand_ids() -> None:
    rng = random.Random(5)
    letters = "abcXYZ019 _-./#+äöüéß客厅卧室кухня\u0301🦉\0\n"
    names = {"".join(rng.choice(letters) for _ in range(rng.randrange(0, 80))) for _ in range(10_000)}
    names |= {id_of(name) for name in list(names)[:2000]}  # an id as somebody's name
    apart = {unicodedata.normalize("NFC", name.lower()) for name in names}
    ids = {id_of(name) for name in apart}
    assert len(ids) == len(apart)
    assert all(re.fullmatch(r"[a-z0-9_-]{1,60}", found) for found in ids)
    cased = {id_of(name, also="_.-", most=80, plain=False) for name in names}
    assert len(cased) == len({unicodedata.normalize("NFC", name) for name in names})
    assert not any(found.startswith(".") for found in cased)


def test_the_same_name_written_in_two_ways_is_one() -> None:
    assert id_of("K\u00fcche") == id_of("Ku\u0308che")
