"""Memory that only loading needed goes back, and what was there can still be read."""

from __future__ import annotations

import mmap
import re
from pathlib import Path

import pytest

from noctule.inference.page_cache import give_back, mappings


def resident(path: Path) -> int:
    """Bytes of the file that this process holds through mappings."""
    total, inside = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            inside = line.endswith(str(path))
        elif inside and line.startswith("Rss:"):
            total += 1024 * int(line.split()[1])
    return total


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a model with spaces.tflite"
    path.write_bytes(bytes(range(256)) * 4096)
    return path


def test_pages_of_the_file_go_and_come_back(file: Path) -> None:
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        whole = bytes(data)
        assert resident(file) == len(whole)
        give_back(file)
        assert resident(file) == 0
        assert bytes(data) == whole == file.read_bytes()


def test_a_written_mapping_is_left_alone(file: Path) -> None:
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY) as data:
        data[0:4] = b"mine"
        assert mappings(file) == []
        give_back(file)
        assert data[0:4] == b"mine"


def test_other_files_and_none_are_no_matter(file: Path, tmp_path: Path) -> None:
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        sum(data[::4096])
        give_back(tmp_path / "absent")
        assert resident(file) > 0
        assert len(mappings(file)) == 1
    assert mappings(file) == []
