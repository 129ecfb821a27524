"""A disk that is really full (a small file system in memory): one sentence, nothing half, and on it goes after."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from capture_world import file_feed, plain_video, running
from noctule.capture.all_sources import Sources
from noctule.capture.files.clip import record
from noctule.capture.files.files import DiskFullError
from noctule.capture.files.store import Store, StoreLimits
from noctule.cli import run_command
from noctule.config.schema import Config, SourceConfig
from waiting import WAIT, until

#: bytes; a page of it is left free where something small must still fit
SIZE = 256 << 10


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of SIZE bytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, leave: int = 0) -> Path:
    """Leave only `leave` bytes free."""
    ballast = folder / "ballast"
    free = os.statvfs(folder)
    ballast.write_bytes(bytes(free.f_bavail * free.f_frsize - leave))
    return ballast


def everything(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.name != "ballast")


def test_the_store(disk: Path) -> None:
    store = Store(disk, lambda: StoreLimits(min_free=0))
    kept = store.put("cam", ".jpg", b"first" * 100)
    # The store sees a disk with room, as when another program fills it at this very moment.
    racing = Store(disk, lambda: StoreLimits(min_free=0), free=lambda path: 1 << 30)
    ballast = fill(disk)
    with pytest.raises(DiskFullError, match=r"has no room for \S+: the disk is full") as full:
        racing.put("cam", ".jpg", bytes(64 << 10))
    assert "\n" not in full.value.message
    assert everything(disk) == [f"cam/{kept.name}"]
    with pytest.raises(DiskFullError, match="would be free on the disk"):
        Store(disk, lambda: StoreLimits(min_free=1 << 20)).put("other", ".jpg", bytes(64 << 10))
    ballast.unlink()
    assert racing.put("cam", ".jpg", bytes(64 << 10)).stat().st_size == 64 << 10


def test_eyes_go_on(disk: Path) -> None:
    """A picture and a clip cannot be kept: each is an error in words, and the source does not notice."""
    config = Config()
    config.capture.folder = disk
    config.capture.min_free_mb = 0
    config.sources = {"film": SourceConfig(kind="file", address=str(plain_video()))}
    eyes = Sources(config)
    eyes.store = Store(disk, eyes._limits, free=lambda path: 1 << 30)
    (disk / "film").mkdir()
    eyes.start()
    try:
        with eyes.feed("film").subscribe():
            until(lambda: eyes.feed("film").frames > 0, "a picture")
            ballast = fill(disk)
            with pytest.raises(DiskFullError, match="the disk is full"):
                eyes.keep(eyes.snapshot("film", timeout=WAIT))
            with pytest.raises(DiskFullError, match="the disk is full"):
                eyes.clip("film", 0.0, 0.5)
            assert everything(disk) == []
            assert eyes.feed("film").state == "live"
            ballast.unlink()
            assert eyes.keep(eyes.snapshot("film", timeout=WAIT)).exists()
    finally:
        eyes.stop()


def test_a_disk_that_fills_while_a_clip_is_written(disk: Path) -> None:
    fill(disk, leave=8 << 10)
    with running(file_feed(plain_video())) as feed, pytest.raises(DiskFullError, match="the disk is full"):
        record(feed, disk / "clip.mp4", before=0.0, after=3.0, timeout=WAIT)
    assert everything(disk) == []


def test_extract_keeps_what_was_whole(
    disk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOCTULE_CAPTURE__MIN_FREE_MB", "0")
    out = disk / "out"
    status = run_command(["extract", str(plain_video()), "--nth", "1", "--format", "png", "-o", str(out)])
    said = capsys.readouterr().err
    assert status == 69
    assert "the disk is full" in said
    assert said.count("noctule:") == 1
    names = everything(disk)
    assert not [name for name in names if "/." in name]
    for name in names:
        if name.endswith(".png"):
            assert (disk / name).read_bytes().endswith(b"IEND\xaeB`\x82")
        else:
            assert json.loads((disk / name).read_text())["ended"]
