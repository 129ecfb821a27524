"""The picture folder: whole files only, within its limits; masks, addresses and configured sources."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from noctule.capture.all_sources import Pictures, Sources, specs_of
from noctule.capture.files.files import DiskFullError, atomic_file, write_file
from noctule.capture.files.store import Store, StoreLimits, safe_name
from noctule.capture.picture.layout import FORMATS, plane_shapes
from noctule.capture.picture.masks import paint, stored_rectangle
from noctule.capture.spec import SourceSpec, parse_address, parse_masks
from noctule.config.schema import Config, SourceConfig
from noctule.core.errors import ConfigError, DeviceError, InputError, UnavailableError
from noctule.core.secrets import hide_address

PLENTY = 10 << 30


def make(folder: Path, free: int = PLENTY, **limits: float) -> Store:
    wanted = StoreLimits(**{"quota": 1000, "max_age": 0.0, "min_free": 0, **limits})  # type: ignore[arg-type]
    return Store(folder, lambda: wanted, lambda path: free)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


def test_a_picture_is_stored_whole_under_its_source(tmp_path: Path) -> None:
    path = make(tmp_path).put("front door", ".jpg", b"x" * 10)
    assert path.parent.parent == tmp_path
    assert path.parent.name.startswith("front-door-")
    assert path.read_bytes() == b"x" * 10
    assert path.suffix == ".jpg"


def test_the_oldest_go_first_and_only_as_many_as_needed(tmp_path: Path) -> None:
    store = make(tmp_path, quota=100)
    paths = [store.put("cam", ".jpg", b"x" * 30) for _ in range(3)]
    for age, path in enumerate(reversed(paths)):
        os.utime(path, (1000 - age, 1000 - age))
    newest = store.put("cam", ".jpg", b"x" * 30)
    assert [p.exists() for p in (*paths, newest)] == [False, True, True, True]
    other = store.put("other", ".jpg", b"x" * 90)  # the quota is each source's own
    assert other.exists()
    assert newest.exists()


def test_what_can_never_fit_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match="a file of 101 bytes is larger than the quota of cam"):
        make(tmp_path, quota=100).put("cam", ".jpg", b"x" * 101)
    with pytest.raises(DiskFullError, match="less than 0 MB would be free on the disk"):
        make(tmp_path, free=50, min_free=60).put("cam", ".jpg", b"x")


def test_age(tmp_path: Path) -> None:
    store = make(tmp_path, max_age=3600)
    old, new = store.put("cam", ".jpg", b"old"), store.put("cam", ".jpg", b"new")
    os.utime(old, (1000, 1000))
    assert store.sweep() == 1
    assert (old.exists(), new.exists()) == (False, True)
    assert Store(tmp_path / "none", StoreLimits).sweep() == 0


def test_a_crash_leaves_no_half_file(tmp_path: Path) -> None:
    store = make(tmp_path)
    kept = store.put("cam", ".jpg", b"whole")
    target = tmp_path / "cam" / "half.jpg"

    def interrupted() -> None:
        with atomic_file(target) as hidden:
            hidden.write_bytes(b"hal")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        interrupted()
    assert not target.exists()
    assert names(tmp_path) == [kept.name]
    (tmp_path / "cam" / ".new-1-half.jpg").write_bytes(b"hal")  # as a real power cut leaves it
    assert store.clean() == 1
    assert names(tmp_path) == [kept.name]
    assert Store(tmp_path / "none", StoreLimits).clean() == 0


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DiskFullError, match=r"has no room for a\.jpg: the disk is full"):
        write_file(tmp_path / "a.jpg", b"x")
    monkeypatch.undo()
    assert names(tmp_path) == []
    (tmp_path / "file").touch()
    with pytest.raises(DeviceError, match=r"a\.jpg cannot be written"):
        write_file(tmp_path / "file" / "a.jpg", b"x")
    with pytest.raises(DeviceError, match="cannot be written"):
        make(tmp_path / "file").put("cam", ".jpg", b"x")


def test_a_truly_full_disk(tmp_path: Path) -> None:
    """/dev/full refuses every byte, as a full disk does."""
    with pytest.raises(OSError, match="No space left"), open("/dev/full", "wb", buffering=0) as full:
        full.write(b"x")
    assert DiskFullError.http_status == 503


def test_names_cannot_leave_the_folder() -> None:
    assert safe_name("front-door.2") == "front-door.2"
    assert safe_name("../../etc/passwd").startswith("etc-passwd-") or "/" not in safe_name("../../etc/passwd")
    assert safe_name("客厅") != safe_name("卧室")


# --- masks


@pytest.mark.parametrize(
    ("rotation", "want"),
    [(0, (0, 0, 50, 20)), (90, (0, 50, 20, 100)), (180, (50, 80, 100, 100)), (270, (80, 0, 100, 50))],
)
def test_a_mask_follows_the_upright_picture(rotation: int, want: tuple[int, int, int, int]) -> None:
    """Left half of the top fifth of what people see, in a stored picture of 100 x 100."""
    mask = (0.0, 0.0, 0.5, 0.2)
    got = stored_rectangle(mask, 100, 100, rotation)
    shown = np.zeros((100, 100), np.uint8)
    shown[got[1] : got[3], got[0] : got[2]] = 1
    upright = np.rot90(shown, -(rotation // 90))
    assert upright[:20, :50].all()
    assert upright.sum() == 1000
    assert got == want


@pytest.mark.parametrize("pix_fmt", list(FORMATS))
def test_masks_cover_every_plane_of_odd_pictures(pix_fmt: str) -> None:
    shapes = plane_shapes(FORMATS[pix_fmt], 33, 17)
    planes = [np.full(shape, 7, np.uint8) for shape in shapes]
    paint(planes, pix_fmt, 33, 17, 0, [(0.0, 0.0, 1.0, 1.0)])
    assert all((plane == 128).all() for plane in planes)
    planes = [np.full(shape, 7, np.uint8) for shape in shapes]
    paint(planes, pix_fmt, 33, 17, 0, [(0.5, 0.5, 0.1, 0.1)])
    assert all((plane == 7).any() and (plane == 128).any() for plane in planes)


def test_masks_are_read_from_text() -> None:
    assert parse_masks(["0,0,0.5,0.25"], "cam") == ((0.0, 0.0, 0.5, 0.25),)
    for bad in ("", "1,2", "0,0,2,1", "a,b,c,d", "-0.1,0,1,1"):
        with pytest.raises(InputError, match="cam: the mask"):
            parse_masks([bad], "cam")


# --- addresses and configuration


@pytest.mark.parametrize(
    ("text", "kind", "address"),
    [
        ("x11::0", "x11", ":0"),
        ("v4l2:/dev/video2", "v4l2", "/dev/video2"),
        ("/dev/video0", "v4l2", "/dev/video0"),
        ("rtsp://u:p@h/s", "network", "rtsp://u:p@h/s"),
        ("./a.mp4", "file", "./a.mp4"),
        ("camera:", "camera", ""),
    ],
)
def test_addresses(text: str, kind: str, address: str) -> None:
    spec = parse_address(text)
    assert spec is not None
    assert (spec.kind, spec.address) == (kind, address)
    assert SourceSpec.from_json(spec.to_json()) == spec


def test_a_plain_word_is_a_name_and_secrets_are_never_shown() -> None:
    assert parse_address("garden") is None
    assert hide_address("rtsp://joe:secret@cam/live?pw=x") == "rtsp://cam/live"
    spec = parse_address("http://joe:secret@cam:8080/live")
    assert spec is not None
    assert "secret" not in spec.label + spec.name


def config(**sources: SourceConfig) -> Config:
    return Config(sources=dict(sources))


def test_sources_from_the_configuration() -> None:
    made = specs_of(
        config(
            cam=SourceConfig(
                kind="v4l2", address="/dev/video0", masks=["0,0,0.5,0.5"], controls=["A=1", "B=0.5", "C=true", "D=x"]
            )
        )
    )
    spec = made["cam"][0]
    assert spec.masks == ((0.0, 0.0, 0.5, 0.5),)
    assert spec.controls == {"A": 1, "B": 0.5, "C": True, "D": "x"}
    assert set(specs_of(Config())) == {"display", "camera"}
    with pytest.raises(ConfigError) as refused:
        specs_of(
            config(
                a=SourceConfig(rotate=45),
                b=SourceConfig(kind="file"),
                c=SourceConfig(controls=["x"]),
                d=SourceConfig(masks=["y"]),
            )
        )
    assert len(refused.value.problems) == 4
    assert refused.value.problems[0] == "sources.a: rotate must be 0, 90, 180 or 270, not 45"


def test_names_are_found_and_mistakes_get_a_suggestion(tmp_path: Path) -> None:
    eyes = Sources(
        config(garden=SourceConfig(kind="v4l2", address="/dev/video9"), screen=SourceConfig(kind="x11", address=":9"))
    )
    assert eyes.feed("camera").spec.name == "garden"
    assert eyes.feed("display").spec.name == "screen"
    with pytest.raises(InputError) as wrong:
        eyes.feed("gardn")
    assert wrong.value.hint == "did you mean garden?"
    assert eyes.find("file:x.mp4").spec.kind == "file"
    off = Config()
    off.capture.enabled = False
    with pytest.raises(UnavailableError, match="pictures are switched off"):
        Sources(off).feed("camera")


def test_a_missing_camera_or_display_is_a_sentence_to_speak_with_the_key_to_set() -> None:
    pictures = Pictures(Sources(config(screen=SourceConfig(kind="x11", address=":9"))))
    with pytest.raises(UnavailableError, match=r"^I have no camera here\.$") as missing:
        pictures.snapshot("camera")
    assert missing.value.hint == "sources: screen; add a section [sources.camera] (docs/eyes.md)"
    with pytest.raises(UnavailableError, match=r"^I have no camera here\.$"):
        pictures.clip("camera", 1.0)
    pictures = Pictures(Sources(config(garden=SourceConfig(kind="v4l2", address="/dev/video9"))))
    with pytest.raises(UnavailableError, match=r"^I have no display here\.$"):
        pictures.snapshot("display")
    with pytest.raises(InputError, match="no source named"):  # somebody's own name, misspelled
        pictures.snapshot("gardn")


def test_pictures_and_clips_of_a_file_as_the_assistant_takes_them(tmp_path: Path) -> None:
    from capture_world import plain_video

    wanted = config(camera=SourceConfig(kind="file", address=str(plain_video())))
    wanted.capture.folder, wanted.capture.min_free_mb = tmp_path, 0
    said: list[str] = []
    eyes = Sources(wanted, lambda kind, message, level, fields: said.append(kind))
    eyes.start()
    try:
        pictures = Pictures(eyes)
        assert pictures.snapshot("camera").read_bytes().startswith(b"\xff\xd8")
        path, seconds = pictures.clip("camera", 1.0)
        assert path.suffix == ".mp4"
        assert 0.8 <= seconds <= 1.3
        with pytest.raises(InputError, match="a clip has up to 120 s before"):
            eyes.clip("camera", 0.0, 1e6)
        assert eyes.pause() == ["camera"]
        with pytest.raises(UnavailableError, match="camera is paused"):
            pictures.snapshot("camera")
        assert eyes.resume("camera") == ["camera"]
        assert eyes.status()[0]["name"] == "camera"
    finally:
        eyes.stop()
    assert said.count("capture.stored") == 2


def test_libraries_that_are_missing_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    from noctule.capture.needs import need_capture

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match="pictures need av and pillow, which are not installed"):
        need_capture()
