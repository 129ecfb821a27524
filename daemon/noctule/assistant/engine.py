"""The language engine: finds the model named in the configuration, loads it, and answers with it.

What an answer is belongs to the `Brain`; here it gets its model, its actions and the configuration in force.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from noctule.assistant.actions.bind import Parts, build_registry
from noctule.assistant.actions.commands import UserCommands
from noctule.assistant.actions.devices import CaptureProvider, MicrophoneSwitch, NoCapture, NoMicrophone, Quiet
from noctule.assistant.actions.status import BoardStatus
from noctule.assistant.actions.volume import Mixer
from noctule.assistant.alarms import Alarms
from noctule.assistant.brain import Brain, Settings
from noctule.assistant.engine_protocol import Engine
from noctule.assistant.engine_slot import NAME
from noctule.assistant.grammar.in_force import GrammarInForce
from noctule.assistant.model_manager import Needs
from noctule.config import Config
from noctule.config.schema import Lm
from noctule.core.errors import CancelledError, TooLargeError, UnavailableError
from noctule.core.events import Bus
from noctule.inference.find import cache_folder, find_model
from noctule.inference.manifest import load_manifest
from noctule.lm.sampler import Sampling, settings
from noctule.lm.text.chat import Message
from noctule.lm.text.model import TextLM
from noctule.lm.text.request import Options
from noctule.service.board import Board
from noctule.service.request import Ask

#: bytes that must stay free when two models are in memory at once.
_SPARE = 48_000_000


def check_room(folder: Path, board: Board | None = None) -> None:
    """TooLargeError unless a second model fits into memory beside the present one.

    A model takes about twice its files: the unpacked weights, and while they are made the packed ones; then its
    caches. What it really takes is known only when it is too late to ask.
    """
    files = load_manifest(folder, "text-lm").files
    needed = 2 * sum(entry.bytes for entry in files.values()) + _SPARE
    free = (board or Board()).available_bytes()
    if free is not None and free < needed:
        raise TooLargeError(
            f"{folder.name} needs about {needed / 1e6:.0f} MB beside the model in service, and {free / 1e6:.0f} MB"
            " can be had.",
            "set lm.model and restart, which loads it alone",
        )


def load_lm(config: Config, bus: Bus, wanted: Lm | None = None) -> TextLM:
    """Load, verify and warm up the wanted model, by default the configured one. Raises ModelError."""
    lm = wanted or config.lm

    def say(sentence: str) -> None:
        bus.publish("lm.loaded", NAME, sentence, 4)

    cache_dir = cache_folder(config.service.state_dir, config.lm.weight_cache, say)
    model = TextLM.load(
        find_model(lm.model, config.service.models),
        threads=lm.threads,
        cache_dir=cache_dir,
        context=lm.context or None,
    )
    if cache_dir is not None and model.weight_cache is None:
        say(f"No weight cache: {cache_dir} is full or read-only; more memory is used")
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


def facts(lm: TextLM, threads: int) -> Mapping[str, Any]:
    """What `status` shows of a loaded model."""
    manifest = lm.manifest
    graph = manifest.files[manifest.graph.file] if manifest.graph is not None else None
    return {
        "model": manifest.name,
        "version": manifest.version,
        "folder": str(manifest.folder),
        "sha256": graph.sha256 if graph is not None else None,
        "bytes": graph.bytes if graph is not None else None,
        "threads": threads,
        "context": lm.context,
        "smallest_context": lm.smallest_context,
        "runtime": lm.runtime,
    }


def _to_journal(bus: Bus) -> Callable[[str], None]:
    """Where the text of another program goes, which nobody is answered with."""

    def tell(text: str) -> None:
        bus.publish("audio.trouble", "sound", f"amixer says: {text}", 5)

    return tell


class BrainEngine:
    """The engine of the language worker: a `Brain`, held to the request's time and to the configuration in force."""

    def __init__(self, lm: TextLM, needs: Needs) -> None:
        self._lm = lm
        self._config = needs.config
        self._about = facts(lm, (needs.lm or needs.config().lm).threads)
        commands = UserCommands(lambda: self._config().commands)
        components = needs.components
        quiet = next((part for part in components if isinstance(part, Quiet)), None)
        parts = Parts(
            clock=needs.clock,
            timers=needs.timers,
            board=BoardStatus(needs.config().service.state_dir),
            mixer=Mixer(lambda: self._config().actions.mixer, tell=_to_journal(needs.bus)),
            commands=commands,
            capture=next((part for part in components if isinstance(part, CaptureProvider)), NoCapture()),
            microphone=next((part for part in components if isinstance(part, MicrophoneSwitch)), NoMicrophone()),
            alarms=next((part for part in components if isinstance(part, Alarms)), None),
            stop=quiet.hush if quiet is not None else lambda: None,
        )
        self._registry = build_registry(parts, needs.config().actions.allow)
        grammar = GrammarInForce(needs.config)
        grammar()  # compiled now, not in the first request
        self._brain = Brain(
            lm, self._registry, commands, needs.bus,
            settings=self._settings, clock=needs.clock, grammar=grammar,
        )  # fmt: skip

    def _settings(self) -> Settings:
        lm = self._config().lm
        return Settings(Options(lm.max_tokens, sampling(self._lm.sampling, self._config()), lm.seed))

    def _wanted(self, ask: Ask) -> Options:
        """The settings in force, with what this request sets instead; the configuration bounds its length."""
        options, own = self._settings().options, ask.options
        return replace(
            options,
            max_tokens=min(options.max_tokens, own.get("max_tokens", options.max_tokens)),
            sampling=settings(options.sampling or self._lm.sampling, own.get("sampling", {})),
            seed=own.get("seed", options.seed),
            stop=(*options.stop, *own.get("stop", ())),
        )

    def answer(self, ask: Ask) -> Mapping[str, Any]:
        """The brain's turn. A free answer that its time cuts off is still an answer: finish is then "timeout"."""
        config = self._config()
        self._registry.allow(config.actions.allow)
        self._lm.overflow = "slide" if config.lm.when_full == "slide" else "refuse"
        said: list[str] = []

        def on_delta(piece: str) -> None:
            said.append(piece)
            ask.emit(piece)

        def gone() -> bool:
            return not ask.going_on()

        try:
            text = ask.text
            wordings: Sequence[tuple[str, float]] = ask.options.get("wordings", ())
            if wordings:
                taken = self._brain.weigh(wordings, gone)
                if not ask.options["settle"](taken.index, taken.sure):
                    return {"reply": "", "ok": False, "finish": "unsure"}
                text = wordings[taken.index][0]
            turn = self._brain.ask(
                text,
                cancel=gone,
                on_delta=on_delta,
                conversation=[Message(role, text) for role, text in ask.options.get("messages", ())],
                options=self._wanted(ask),
            )
        except CancelledError:
            if not ask.timed_out:
                raise
            if not said:
                raise UnavailableError("There was no time left for an answer.", "see lm.timeout") from None
            return {"reply": "".join(said), "ok": False, "finish": "timeout"}
        return turn.as_dict()

    def canary(self) -> None:
        """One real step of the model."""
        self._lm.canary()

    def lean(self, on: bool) -> int:
        """See TextLM."""
        return self._lm.lean(on)

    def about(self) -> Mapping[str, Any]:
        """See `facts`."""
        return self._about

    def close(self) -> None:
        """Free the model."""
        self._lm.close()


def build_engine(needs: Needs) -> Engine:
    """Load what is wanted. Runs in the language worker's thread or its loader's; raises ModelError, TooLargeError."""
    config = needs.config()
    wanted = needs.lm or config.lm
    if needs.beside:
        check_room(find_model(wanted.model, config.service.models))
    lm = load_lm(config, needs.bus, wanted)
    engine = BrainEngine(lm, needs)
    about = engine.about()
    needs.bus.publish(
        "lm.loaded", NAME, f"Loaded {about['model']} {about['version']} with {about['runtime']}",
        model=about["model"], sha256=about["sha256"], threads=about["threads"], context=about["context"],
    )  # fmt: skip
    return engine
