"""Facts about the board, from made-up and real /proc and /sys."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from noctule.service.board import resident_bytes, temperature_c


def zones(root: Path, *values: str) -> Path:
    for number, value in enumerate(values):
        zone = root / f"class/thermal/thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "temp").write_text(value)
    return root


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("48312\n",), 48.312),
        (("41000", "63500", "52000"), 63.5),
        (("-127000", "50000"), 50.0),
        (("garbage", "50000"), 50.0),
        (("65535000",), None),
        ((), None),
    ],
)
def test_the_hottest_sane_sensor_counts(tmp_path: Path, values: tuple[str, ...], expected: float | None) -> None:
    assert temperature_c(zones(tmp_path, *values)) == expected


def test_resident_memory_is_that_of_this_process(tmp_path: Path) -> None:
    real = resident_bytes()
    assert real is not None
    assert 1 << 20 < real < 1 << 40
    (tmp_path / "self").mkdir()
    (tmp_path / "self/statm").write_text("9999 300 20 1 0 99 0\n")
    assert resident_bytes(tmp_path) == 300 * os.sysconf("SC_PAGE_SIZE")
    (tmp_path / "self/statm").write_text("")
    assert resident_bytes(tmp_path) is None
