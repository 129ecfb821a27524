"""The language engine: finds the model named in the configuration, loads it, and answers with it. L4.

A package that was built for actions answers through the `Brain`: requests become action calls. Any other text model
simply talks: its reply to what was said, by its chat template if it has one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from noctule.app import Needs
from noctule.config import Config
from noctule.errors import ModelError
from noctule.events import Bus
from noctule.lm.chat import Message
from noctule.lm.sampler import Sampling
from noctule.lm.text_lm import Chunk, TextLM
from noctule.workers import NAME, Ask, Engine


def find_model(name: str, folders: list[Path]) -> Path:
    """The package's folder: `name` as a path, or below the first of `folders` that has it. Raises ModelError."""
    places = [Path(name)] if Path(name).is_absolute() else [folder / name for folder in folders]
    for place in places:
        if (place / "manifest.json").exists():
            return place
    where = ", ".join(str(place.parent) for place in places)
    raise ModelError(f"There is no model {Path(name).name} in {where}.", "see lm.model and service.models")


def cache_folder(config: Config, bus: Bus) -> Path | None:
    """Where the runtime keeps unpacked weights, or None when that is switched off or impossible (which is said)."""
    if not config.lm.weight_cache:
        return None
    folder = config.service.state_dir / "cache"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        bus.publish(
            "lm.loaded", NAME, f"No weight cache: {folder} cannot be made ({error.strerror}); more memory is used", 4
        )
        return None
    return folder


def load_lm(config: Config, bus: Bus) -> TextLM:
    """Load, verify and warm up the configured model. Raises ModelError."""
    lm = config.lm
    model = TextLM.load(
        find_model(lm.model, config.service.models),
        threads=lm.threads,
        cache_dir=cache_folder(config, bus),
        context=lm.context or None,
    )
    model.warm_up()
    return model


def sampling(model: Sampling, config: Config) -> Sampling:
    """The model's own sampling, with what the configuration sets instead."""
    lm = config.lm
    own: dict[str, Any] = {}
    if lm.temperature >= 0:
        own["temperature"] = lm.temperature
    if lm.top_k >= 0:
        own["top_k"] = lm.top_k
    return replace(model, **own)


def facts(lm: TextLM, config: Config) -> Mapping[str, Any]:
    """What `status` shows of a loaded model."""
    manifest = lm.manifest
    graph = manifest.files[manifest.graph.file] if manifest.graph is not None else None
    return {
        "model": manifest.name,
        "version": manifest.version,
        "folder": str(manifest.folder),
        "sha256": graph.sha256 if graph is not None else None,
        "bytes": graph.bytes if graph is not None else None,
        "threads": config.lm.threads,
        "context": lm.context,
        "runtime": lm.runtime,
    }


class Talker:
    """An engine that lets the model talk."""

    def __init__(self, lm: TextLM, config: Callable[[], Config]) -> None:
        self._lm = lm
        self._config = config
        self._about = facts(lm, config())

    def answer(self, ask: Ask) -> Mapping[str, Any]:
        """The model's reply, streamed."""
        config = self._config()
        self._lm.overflow = "slide" if config.lm.when_full == "slide" else "refuse"
        reply = []
        last = Chunk("")
        for last in self._chunks(ask, config):
            reply.append(last.text)
            ask.emit(last.text)
        finish = "timeout" if last.finish == "cancelled" and ask.timed_out else last.finish
        stats = vars(last.stats) if last.stats is not None else {}
        return {"reply": "".join(reply), "finish": finish, **{k: _rounded(v) for k, v in stats.items()}}

    def _chunks(self, ask: Ask, config: Config) -> Iterator[Chunk]:
        options: dict[str, Any] = {
            "max_tokens": config.lm.max_tokens,
            "sampling": sampling(self._lm.sampling, config),
            "seed": config.lm.seed,
            "cancel": lambda: not ask.going_on(),
        }
        if self._lm.manifest.chat is None:
            return self._lm.complete(ask.text, **options)
        return self._lm.chat([Message("user", ask.text)], **options)

    def canary(self) -> None:
        """One real step of the model."""
        self._lm.canary()

    def about(self) -> Mapping[str, Any]:
        """See `facts`."""
        return self._about

    def close(self) -> None:
        """Free the model."""
        self._lm.close()


def build_engine(needs: Needs) -> Engine:
    """Load what the configuration names. Runs in the language worker's thread; raises ModelError."""
    config = needs.config()
    lm = load_lm(config, needs.bus)
    engine = Talker(lm, needs.config)
    about = engine.about()
    needs.bus.publish(
        "lm.loaded", NAME, f"Loaded {about['model']} {about['version']} with {about['runtime']}",
        model=about["model"], sha256=about["sha256"], threads=about["threads"], context=about["context"],
    )  # fmt: skip
    return engine


def _rounded(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value
