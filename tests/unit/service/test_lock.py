"""One instance at a time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from noctule.core.errors import BusyError, DeviceError
from noctule.service.instance_lock import InstanceLock


def test_a_second_instance_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    with (
        InstanceLock(tmp_path / "noctule.lock"),
        pytest.raises(BusyError, match=f"process {os.getpid()}"),
    ):
        InstanceLock(tmp_path / "noctule.lock")


def test_the_lock_is_free_again_after_release(tmp_path: Path) -> None:
    path = tmp_path / "run" / "noctule.lock"
    with InstanceLock(path) as first:
        assert path.read_text() == f"{os.getpid()}\n"
    assert not path.exists(), "a clean end leaves nothing"
    first.release()  # twice does no harm
    InstanceLock(path).release()


def test_a_symlink_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "noctule.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(DeviceError, match="cannot be opened"):
        InstanceLock(tmp_path / "noctule.lock")
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_pipe_is_not_a_lock_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "noctule.lock")
    with pytest.raises(DeviceError, match="not a regular file"):
        InstanceLock(tmp_path / "noctule.lock")


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DeviceError) as error:
        InstanceLock(tmp_path / "file" / "noctule.lock")
    assert "api.socket" in error.value.hint


def test_one_that_opened_the_file_before_its_holder_removed_it_locks_the_next(tmp_path: Path) -> None:
    path = tmp_path / "noctule.lock"
    first = InstanceLock(path)
    old = path.stat().st_ino
    path.unlink()  # as the holder does at its end; the name is free for somebody else's file now
    second = InstanceLock(path)
    first.release()
    assert path.stat().st_ino != old or path.exists(), "the first took only its own file away"
    with pytest.raises(BusyError):
        InstanceLock(path)
    second.release()
    assert not path.exists()
