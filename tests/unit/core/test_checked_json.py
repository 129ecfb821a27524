"""JSON of unknown origin: every wrong value is named with its file and its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from noctule.core.checked_json import JsonNode, read_node, read_object
from noctule.core.errors import InputError, ModelError


def says(look: Callable[[JsonNode], Any], value: Any) -> str:
    with pytest.raises(ModelError) as error:
        look(JsonNode("a.json", "", value))
    return error.value.message


@pytest.mark.parametrize(
    ("look", "value", "sentence"),
    [
        (JsonNode.table, [1], "a.json: top level: expected an object, found [1]"),
        (lambda n: n.get("a"), 3, "a.json: top level: expected an object, found 3"),
        (lambda n: n.get("a").text(), {}, "a.json: a: expected a string, found nothing"),
        (lambda n: n.get("a").get("b").items(), {"a": {"b": {}}}, "a.json: a.b: expected a list, found {}"),
        (lambda n: n.items()[1].integer(0), [1, -2], "a.json: [1]: expected a whole number from 0, found -2"),
        (lambda n: n.integer(1, 5), 6, "a.json: top level: expected a whole number from 1 to 5, found 6"),
        (lambda n: n.integer(1, 5), True, "a.json: top level: expected a whole number from 1 to 5, found True"),
        (lambda n: n.integer(1, 5), 2.0, "a.json: top level: expected a whole number from 1 to 5, found 2.0"),
        (lambda n: n.number(0, 1), "1", "a.json: top level: expected a number, found '1'"),
        (lambda n: n.number(0, 1), 1.5, "a.json: top level: expected a number from 0 to 1, found 1.5"),
        (lambda n: n.number(), float("nan"), "a.json: top level: expected a finite number, found nan"),
        (lambda n: n.positive(), 0, "a.json: top level: expected a positive number, found 0"),
        (lambda n: n.positive(), float("inf"), "a.json: top level: expected a finite number, found inf"),
        (JsonNode.flag, 1, "a.json: top level: expected true or false, found 1"),
        (lambda n: n.one_of(("a", "b")), "c", "a.json: top level: expected 'a' or 'b', found 'c'"),
        (lambda n: n.one_of(("a",)), ["a"], "a.json: top level: expected 'a', found ['a']"),
        (lambda n: n.only(("a", "b")), {"c": 1}, "a.json: top level: unknown key 'c' (known: a, b)"),
        (JsonNode.text, ["x" * 100], f"a.json: top level: expected a string, found ['{'x' * 55}…"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(look: Callable[[JsonNode], Any], value: Any, sentence: str) -> None:
    assert says(look, value) == sentence


def test_right_values_are_passed_on_as_they_are() -> None:
    node = JsonNode("a.json", "", {"n": 3, "x": 0.5, "t": "", "f": False, "l": [1, 2], "x_own": 1, "none": None})
    node.only(("n", "x", "t", "f", "l", "none"))
    assert node.get("n").integer(3, 3) == 3
    assert node.get("n").positive() == 3.0
    assert (node.get("x").number(0.5, 0.5), node.get("t").text(), node.get("f").flag()) == (0.5, "", False)
    assert [item.value for item in node.get("l").items()] == [1, 2]
    assert node.get("missing", 7).integer(0) == 7
    assert bool(node.get("f")), "false is a value"
    assert not node.get("none")


def test_a_file_that_is_no_object_is_told_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.json"

    def refused(data: bytes, limit: int = 1 << 20) -> str:
        path.write_bytes(data)
        with pytest.raises(InputError) as error:
            read_object(path, InputError, "there should be one", limit)
        assert "\n" not in error.value.message
        return error.value.message.replace(str(path), "FILE")

    assert refused(b"[1]") == "FILE holds a list, expected an object"
    assert refused(b"{").startswith("FILE is not valid JSON: ")
    assert refused(b"\xff{}").startswith("FILE is not valid JSON: ")
    assert refused(b"[" * 200_000).startswith("FILE is not valid JSON: ")
    assert refused(b"{}" + b" " * 10, limit=8) == "FILE is larger than 8 bytes, so no settings"
    path.unlink()
    with pytest.raises(InputError) as error:
        read_node(path, InputError, "there should be one")
    assert error.value.explain() == f"{path}: no such file (there should be one)"
    path.mkdir()
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_object(path, InputError)


def test_what_is_read_complains_with_the_error_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"limits": {"context": 1}}')
    with pytest.raises(InputError, match=r"a.json: limits.context: expected a whole number from 2, found 1"):
        read_node(path, InputError).get("limits").get("context").integer(2)
