"""All sources of this service: made from the configuration, found by name, started and stopped together."""

from __future__ import annotations

import difflib
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from noctule.capture.feed.feed import Feed, Publish
from noctule.capture.feed.watch import Watch
from noctule.capture.files.clip import Clip, record
from noctule.capture.files.store import Store, StoreLimits
from noctule.capture.needs import need_capture
from noctule.capture.picture.frame import Frame
from noctule.capture.process.door import HelperDoor
from noctule.capture.process.life import Patience
from noctule.capture.spec import SourceSpec, parse_address, parse_masks
from noctule.capture.states import LIVE, OPENING
from noctule.config.schema import Capture, Config, SourceConfig
from noctule.core.errors import ConfigError, InputError, NoctuleError, UnavailableError
from noctule.core.secrets import ENCODE_HINT, misplaced

#: the sources of a configuration without any.
DEFAULT_SOURCES = {"display": SourceConfig(kind="display"), "camera": SourceConfig(kind="camera")}
_DISPLAYS = ("display", "x11", "wayland", "kms")
#: a clip's size is not known before: make room for this many bytes a second.
_CLIP_RATE = 500_000


def specs_of(config: Config) -> dict[str, tuple[SourceSpec, SourceConfig]]:
    """name -> what to capture. Raises ConfigError with every mistake."""
    found, problems = {}, []
    for name, source in (config.sources or DEFAULT_SOURCES).items():
        try:
            found[name] = (spec_of(name, source), source)
        except NoctuleError as error:
            problems.append(f"sources.{name}: {error.explain()}")
    if problems:
        raise ConfigError(problems)
    return found


def spec_of(name: str, source: SourceConfig) -> SourceSpec:
    """One section [sources.NAME] as a SourceSpec. InputError for a value that means nothing."""
    if source.rotate not in (0, 90, 180, 270):
        raise InputError(f"rotate must be 0, 90, 180 or 270, not {source.rotate}")
    if source.kind in ("network", "file") and not source.address:
        raise InputError(f"a source of the kind {source.kind} needs an address")
    if source.kind == "network" and (character := misplaced(source.address)):
        raise InputError(f'its address has a "{character}" in user or password', ENCODE_HINT)
    controls: dict[str, Any] = {}
    for text in source.controls:
        control, equals, value = text.partition("=")
        if not equals:
            raise InputError(f'the control "{text}" is not NAME=VALUE')
        controls[control.strip()] = _number(value.strip())
    return SourceSpec(
        name,
        source.kind,
        source.address,
        source.width,
        source.height,
        source.fps,
        source.format,
        source.rotate,
        parse_masks(source.masks, name),
        source.cursor,
        source.preroll,
        controls,
    )


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)


class Sources:
    """The sources. `capture` is asked each time, so that live settings apply at once."""

    def __init__(
        self,
        config: Config,
        publish: Publish | None = None,
        capture: Callable[[], Capture] | None = None,
        door: HelperDoor | None = None,
    ) -> None:
        self.capture = capture or (lambda: config.capture)
        self.publish = publish or (lambda *_: None)
        self.feeds: dict[str, Feed] = {}
        self.watches: list[Watch] = []
        self._eased = False
        settings = self.capture()
        self.store = Store(settings.folder, self._limits)
        if settings.enabled:
            for name, (spec, source) in specs_of(config).items():
                feed = Feed(spec, self.publish, Patience.of(spec, settings.stall, settings.linger), door=door)
                self.feeds[name] = feed
                if source.motion or source.scenes:
                    self.watches.append(Watch(feed, source.motion, source.scenes, self.publish, self._thumbnail))
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def feed(self, name: str) -> Feed:
        """The feed of a source, by its name; `display` and `camera` also find the first of that sort. InputError
        with a suggestion, or UnavailableError when there are no eyes at all."""
        if not self.capture().enabled:
            raise UnavailableError("pictures are switched off", "set capture.enabled = true and restart")
        need_capture()
        if name in self.feeds:
            return self.feeds[name]
        for feed in self.feeds.values():
            if name in ("display", "camera") and (feed.spec.kind in _DISPLAYS) == (name == "display"):
                return feed
        if Path(name).suffix:
            raise InputError(f"there is no file {name}, and no source of that name")
        close = difflib.get_close_matches(name, self.feeds, n=1)
        hint = f"did you mean {close[0]}?" if close else f"sources: {', '.join(self.feeds) or 'none'}"
        raise InputError(f'there is no source named "{name}"', hint)

    def add(self, spec: SourceSpec) -> Feed:
        """A source that is not in the configuration, for a command that works alone."""
        settings = self.capture()
        self.feeds[spec.name] = Feed(spec, self.publish, Patience.of(spec, settings.stall, settings.linger))
        return self.feeds[spec.name]

    def find(self, text: str) -> Feed:
        """As `feed`, for a name or an address such as x11::0."""
        spec = None if text in self.feeds else parse_address(text)
        return self.feed(text) if spec is None else self.add(spec)

    # --- what they are for

    def snapshot(self, name: str, max_age: float | None = None, timeout: float | None = None) -> Frame:
        """A picture of the present. Raises the reason why there is none."""
        settings = self.capture()
        return self.feed(name).fresh(
            settings.max_age if max_age is None else max_age, settings.timeout if timeout is None else timeout
        )

    def keep(self, frame: Frame, suffix: str = ".jpg") -> Path:
        """Store a picture; says where."""
        from noctule.capture.picture.encode import encode

        path = self.store.put(frame.source, suffix, encode(frame, suffix, self.capture().quality))
        self.publish("capture.stored", f"Stored a picture of {frame.source}", 6, {"file": str(path)})
        return path

    def clip(self, name: str, before: float, after: float, path: Path | None = None) -> Clip:
        """Record a clip into the store, or to `path`."""
        settings = self.capture()
        if not 0 <= before <= settings.max_clip or not 0 < after <= settings.max_clip:
            raise InputError(
                f"a clip has up to {settings.max_clip:g} s before and more than 0 s after", "see capture.max_clip"
            )
        feed = self.feed(name)
        if path is None:
            path = self.store.new_path(feed.spec.name, ".mp4", round((before + after) * _CLIP_RATE))
        clip = record(feed, path, before, after, settings.timeout)
        self.publish("capture.stored", f"Stored a clip of {feed.spec.name}", 6, {"file": str(path)})
        return clip

    def pause(self, name: str | None = None) -> list[str]:
        """Close one source, or all; returns their names."""
        feeds = [self.feed(name)] if name else list(self.feeds.values())
        for feed in feeds:
            feed.pause()
        return [feed.spec.name for feed in feeds]

    def resume(self, name: str | None = None) -> list[str]:
        feeds = [self.feed(name)] if name else list(self.feeds.values())
        for feed in feeds:
            feed.resume()
            self.publish("capture.resumed", f"{feed.spec.name} may be opened again", 5, {"source": feed.spec.name})
        return [feed.spec.name for feed in feeds]

    def slow(self, fps: float) -> int:
        """Lower every source's rate to `fps`, 0 for its own again; how many are open now."""
        for feed in self.feeds.values():
            feed.slow(fps)
        return sum(feed.state in (OPENING, LIVE) for feed in self.feeds.values())

    def ease(self, on: bool) -> bool:
        """Stop what nobody asked for just now (watching, pre-roll, thumbnails), or go on; False: there is none."""
        self._eased = on
        for watch in self.watches:
            watch.held = on
        for feed in self.feeds.values():
            feed.ease(on)
        return bool(self.watches) or any(feed.spec.preroll > 0 for feed in self.feeds.values())

    def status(self) -> list[Mapping[str, Any]]:
        return [feed.status() for feed in self.feeds.values()]

    # --- life, when there is no supervisor (commands that work alone, tests)

    def start(self) -> None:
        """A thread for each feed and watch."""
        runs = [feed.run for feed in self.feeds.values()] + [watch.run for watch in self.watches]
        for run in runs:
            thread = threading.Thread(target=run, args=(self._stop, lambda: None), daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self, timeout: float = 3.0) -> None:
        """End them and their processes."""
        self._stop.set()
        for feed in self.feeds.values():
            feed.wake()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _limits(self) -> StoreLimits:
        settings = self.capture()
        return StoreLimits(settings.quota_mb << 20, settings.max_days * 86400, settings.min_free_mb << 20)

    def _thumbnail(self, frame: Frame) -> str:
        """Store a small picture where the configuration wants it; its path or ""."""
        if not self.capture().thumbnails or self._eased:
            return ""
        from noctule.capture.picture.encode import jpeg

        try:
            return str(self.store.put(frame.source, ".jpg", jpeg(frame, self.capture().quality, (320, 320))))
        except NoctuleError as error:
            self.publish("capture.full", error.message, 4, {"source": frame.source, "hint": error.hint})
            return ""


class Pictures:
    """What the assistant may do with the sources: take a picture or a clip of `camera` or `display`, and keep it.
    (The CaptureProvider of noctule.assistant.actions.)"""

    def __init__(self, eyes: Sources) -> None:
        self._eyes = eyes

    def snapshot(self, source: str) -> Path:
        """Store a picture of the present; where it is. UnavailableError, a sentence to speak, if there is none."""
        return self._eyes.keep(self._eyes.snapshot(self._name(source)))

    def clip(self, source: str, seconds: float) -> tuple[Path, float]:
        """Store a clip that begins now; where it is and how many seconds it has. UnavailableError as above."""
        made = self._eyes.clip(self._name(source), 0.0, min(seconds, self._eyes.capture().max_clip))
        return made.path, made.seconds

    def _name(self, source: str) -> str:
        """The source's own name. Who asks for a picture says "camera" and may never have seen the configuration."""
        try:
            return self._eyes.feed(source).spec.name
        except InputError as error:
            if source not in ("camera", "display"):
                raise
            where = f"{error.hint}; add a section [sources.{source}] (docs/eyes.md)"
            raise UnavailableError(f"I have no {source} here.", where) from error
