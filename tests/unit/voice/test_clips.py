"""Kept clips: bounded, labelled by moving, never outside their folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from noctule.audio.chunk import RATE
from noctule.audio.wavefile import WavReader
from noctule.core.errors import InputError
from noctule.voice.wakewords.clip_folder import WakeClips

SECOND = np.full(RATE, 1234, np.int16)
NOON = 1_700_000_000.0


def test_a_clip_is_a_wav_whose_name_says_when_what_and_how_sure(tmp_path: Path) -> None:
    clips = WakeClips(tmp_path / "clips", 10, 30)
    path = clips.save("hey/../noctule", 0.9756, SECOND, NOON + 0.25)
    assert path.parent == tmp_path / "clips"
    (clip,) = clips.list()
    assert (clip.score, clip.label) == (0.976, "")
    assert clip.word.startswith("hey_.._noctule_")
    with WavReader(path) as reader:
        samples = np.concatenate(list(reader.blocks()))
    assert samples == pytest.approx(np.full(RATE, 1234 / 32768), abs=1e-4)


def test_labels_move_clips_where_the_builder_takes_them(tmp_path: Path) -> None:
    clips = WakeClips(tmp_path, 10, 30)
    names = [clips.save("w", 0.9, SECOND, NOON + i).name for i in range(3)]
    clips.label(names[0], "yes")
    clips.label(names[1], "no")
    clips.label(names[2], "delete")
    assert (tmp_path / "positives" / names[0]).exists()
    assert (tmp_path / "negatives" / names[1]).exists()
    assert [c.label for c in clips.list()] == ["yes", "no"]
    clips.label(names[0], "no")
    assert [c.label for c in clips.list()] == ["no", "no"]
    for name, label in [(names[0], "maybe"), ("../../etc/passwd", "yes"), ("absent.wav", "no")]:
        with pytest.raises(InputError):
            clips.label(name, label)


def test_the_quota_takes_the_oldest_unlabelled_first_and_age_takes_all(tmp_path: Path) -> None:
    clips = WakeClips(tmp_path, 1, 30)
    names = []
    for i in range(40):  # 32 kB each: 1 MB holds 31
        names.append(clips.save("w", 0.9, SECOND, NOON + i).name)
        if i == 0:
            clips.label(names[0], "yes")
    kept = [c.name for c in clips.list()]
    assert len(kept) == 31
    assert kept[0] == names[0], "labelled clips go last"
    assert kept[-1] == names[-1]
    assert names[1] not in kept
    clips.save("w", 0.9, SECOND, NOON + 31 * 86400)
    assert len(clips.list()) == 1


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be made"):
        WakeClips(tmp_path / "file" / "clips", 1, 1).save("w", 1, SECOND, NOON)
