"""The locks: every dependency, for each Python on both machines, with the wheels' hashes, and nothing else.

The lock is written by pip's resolver (`scripts/tools/deb/requirements.py lock`); this walks the requirements itself.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from tools.deb.lockfile import (
    MACHINES,
    TARGETS,
    Pin,
    Target,
    closure,
    fits,
    project_requirements,
    read_lock,
    write_lock,
)

TARGET_IDS = [target.python for target in TARGETS]


@pytest.mark.parametrize("target", TARGETS, ids=TARGET_IDS)
@pytest.mark.parametrize("machine", MACHINES)
def test_the_lock_is_the_whole_closure_and_nothing_else(target: Target, machine: str) -> None:
    pins = read_lock(target.lock)
    reached, unmet = closure(project_requirements(), pins, target.environment(machine))
    assert not unmet
    assert reached == set(pins)


@pytest.mark.parametrize("target", TARGETS, ids=TARGET_IDS)
def test_every_package_has_a_wheel_for_each_machine_and_a_hash_for_each_wheel(target: Target) -> None:
    for pin in read_lock(target.lock).values():
        wheels = [name for name in pin.wheels if name.endswith(".whl")]
        hashes = [digest for digest in pin.wheels.values() if digest]
        assert len(wheels) == len(hashes) == len(set(hashes)), pin.name
        for machine in MACHINES:
            fitting = [wheel for wheel in wheels if fits(wheel, target, machine)]
            assert len(fitting) == 1, (pin.name, machine, wheels)
        for wheel in wheels:
            name, version, _, _ = parse_wheel_filename(wheel)
            assert (name, str(version)) == (pin.name, pin.version)


@pytest.mark.parametrize("machine", MACHINES)
def test_a_missing_pin_and_a_wrong_release_are_found(machine: str) -> None:
    target = TARGETS[0]
    pins = read_lock(target.lock)
    environment = target.environment(machine)
    without = {name: pin for name, pin in pins.items() if name != "tomli"}
    assert closure(project_requirements(), without, environment)[1] == ["tomli>=2"]
    older = {**pins, "multidict": Pin("multidict", "8.0", requires=pins["multidict"].requires)}
    assert "multidict<8.0,>=4.5" in closure(project_requirements(), older, environment)[1]


def test_markers_are_those_of_the_target() -> None:
    """async-timeout and tomli are for Python 3.10 alone, whichever Python runs this."""
    for target in TARGETS:
        pins = read_lock(target.lock)
        assert ("async-timeout" in pins) == ("tomli" in pins) == (target.python == "3.10")


def test_extras_of_a_requirement_count() -> None:
    pins = {"a": Pin("a", "1", requires=('b; extra == "more"', "c")), "b": Pin("b", "1"), "c": Pin("c", "1")}
    environment = TARGETS[0].environment("x86_64")
    assert closure(["a"], pins, environment) == ({"a", "c"}, [])
    assert closure(["a[more]"], pins, environment) == ({"a", "b", "c"}, [])


@pytest.mark.parametrize(
    ("wheel", "fitting"),
    [
        ("a-1-py3-none-any.whl", True),
        ("a-1-py2.py3-none-any.whl", True),
        ("a-1-cp311-cp311-manylinux_2_17_aarch64.manylinux2014_aarch64.whl", True),
        ("a-1-cp39-abi3-manylinux_2_28_aarch64.whl", True),
        ("a-1-cp312-abi3-manylinux_2_28_aarch64.whl", False),
        ("a-1-cp310-cp310-manylinux_2_17_aarch64.whl", False),
        ("a-1-cp311-cp311-manylinux_2_39_aarch64.whl", False),
        ("a-1-cp311-cp311-manylinux_2_17_x86_64.whl", False),
        ("a-1-cp311-cp311-musllinux_1_2_aarch64.whl", False),
        ("a-1-cp311-cp311t-manylinux_2_17_aarch64.whl", False),
    ],
)
def test_which_wheels_fit_a_board_with_debian_12(wheel: str, fitting: bool) -> None:
    assert fits(wheel, next(t for t in TARGETS if t.python == "3.11"), "aarch64") is fitting


def test_written_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.deb.lockfile.ROOT", tmp_path)
    target = Target("3.11", 36, "a test")
    pin = Pin("a-b", "1.2", {"a_b-1.2-py3-none-any.whl": "0" * 64}, ('c>=1; python_version < "3.11"',))
    write_lock(target, [pin])
    again = read_lock(target.lock)
    assert again["a-b"].version == "1.2"
    assert again["a-b"].requires == pin.requires
    assert set(again["a-b"].wheels) == {"?0", "a_b-1.2-py3-none-any.whl"}
    target.lock.write_text("a==1\n    nonsense\n")
    with pytest.raises(ValueError, match=r"python3\.11\.txt:2: not understood: nonsense"):
        read_lock(target.lock)
    target.lock.write_text("    --hash=sha256:" + "0" * 64 + "\n")
    with pytest.raises(ValueError, match="before the first package"):
        read_lock(target.lock)


def test_the_board_gets_what_pyproject_names() -> None:
    """A dependency added to pyproject.toml without a new lock is noticed here, with the command that mends it."""
    wanted = {canonicalize_name(Requirement(text).name) for text in project_requirements()}
    for target in TARGETS:
        missing = wanted - set(read_lock(target.lock)) - {"tomli"}
        assert not missing, f"scripts/tools/deb/requirements.py lock ({', '.join(sorted(missing))})"
