"""Who listens and who speaks: builds recogniser, voice and loudspeaker from [speech] and [audio].

A package that is named but absent, or unfit, is told in one sentence and done without: commands are then heard but
not understood, answers written but not spoken. Nothing else is put in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from noctule.audio.speaker import Loudspeaker, PortAudioSpeaker, WavSpeaker
from noctule.config import Config
from noctule.config.agree import FILE
from noctule.config.speech import Speech
from noctule.core.errors import ConfigError, ModelError, NoctuleError
from noctule.core.events import Bus
from noctule.inference.find import cache_folder, find_model
from noctule.inference.manifest import load_manifest, package_kind
from noctule.lm.speech.moonshine.model import KIND as SPEECH_TO_TEXT
from noctule.lm.speech.moonshine.shared import SharedModel
from noctule.lm.speech.pair import SpeechPair, find_codec, load_pair, sampling
from noctule.lm.speech.piper.settings import KIND as VOICE
from noctule.lm.speech.piper.voice import PiperVoice
from noctule.lm.speech.pocket.settings import KIND as POCKET
from noctule.lm.speech.realtime import Verdict
from noctule.voice.speech_handle import Synthesizer
from noctule.voice.stt.base import Recogniser
from noctule.voice.stt.guided import Askable, GuidedReader
from noctule.voice.stt.local import ModelRecogniser
from noctule.voice.stt.moonshine import MoonshineRecogniser, free_text
from noctule.voice.stt.wyoming import WyomingRecogniser
from noctule.voice.tts.local import ModelSynthesizer, open_speaker
from noctule.voice.tts.piper import PiperSynthesizer
from noctule.voice.tts.pocket import open_pocket
from noctule.voice.tts.wyoming import WyomingSynthesizer

T = TypeVar("T")

WYOMING, MODEL, OFF = "wyoming", "model", "off"
#: other words for "off"
_OFF = frozenset({OFF, "none", ""})


def package_of(speech: Speech, side: str) -> str:
    """The package behind speech.stt or speech.tts, a name or a path; "" where it is none. Raises ConfigError."""
    wanted = str(getattr(speech, side))
    if wanted in _OFF or wanted == WYOMING:
        return ""
    if wanted != MODEL:
        return wanted
    if not speech.model:
        raise ConfigError([f'speech.model: is needed when speech.{side} is "model"'])
    return speech.model


def loudspeaker(config: Config) -> Loudspeaker | None:
    """What [audio] names, None for none."""
    output = config.audio.output
    if output == OFF:
        return None
    if output.startswith(FILE):
        return WavSpeaker(Path(output[len(FILE) :]))
    return PortAudioSpeaker(config.audio.speaker)


def voice_folder(config: Config) -> Path | None:
    """The package behind speech.tts where it is a voice of its own, None where it is something else or nothing.
    Raises NoctuleError."""
    name = package_of(config.speech, "tts")
    if not name or name == config.speech.model:
        return None
    folder = find_model(name, config.service.models, "speech.tts")
    return folder if package_kind(folder) == VOICE else None


def pocket_folder(config: Config, name: str = "") -> Path | None:
    """The package behind speech.tts, or of a name, where it is a pocket-tts model; None where it is something else.
    Raises NoctuleError."""
    name = name or package_of(config.speech, "tts")
    if not name:
        return None
    folder = find_model(name, config.service.models, "speech.tts")
    return folder if package_kind(folder) == POCKET else None


def _cache(config: Config, bus: Bus, side: str) -> Path | None:
    def say(sentence: str) -> None:
        bus.publish("speech.loaded", side, sentence, 4)

    return cache_folder(config.service.state_dir, config.lm.weight_cache, say)


def load_package(config: Config, bus: Bus, side: str) -> SpeechPair:
    """The model behind speech.stt or speech.tts, with its codec. Raises NoctuleError."""
    speech, folders = config.speech, config.service.models
    name = package_of(speech, side)
    codec = speech.codec if getattr(speech, side) == MODEL else ""

    pair = load_pair(
        find_model(name, folders, f"speech.{side}"),
        find_model(codec, folders, "speech.codec") if codec else None,
        threads=speech.threads,
        cache_dir=_cache(config, bus, side),
        policy=speech.realtime,
        readings=speech.readings,
    )
    if side not in pair.model.modes and not (side == "tts" and "duplex" in pair.model.modes):
        modes = " and ".join(pair.model.modes)
        pair.close()
        raise ModelError(f"{name} is made for {modes}, not for {side}.", f"see speech.{side}")
    return pair


def examine(config: Config, side: str) -> str:
    """One sentence about speech.stt or speech.tts without loading it, "" when it is off. Raises NoctuleError."""
    speech, folders = config.speech, config.service.models
    wanted = str(getattr(speech, side))
    if wanted == WYOMING:
        return f"{side}: the engine at {speech.wyoming if side == 'stt' else speech.wyoming_tts}"
    name = package_of(speech, side)
    if not name:
        return ""
    folder = find_model(name, folders, f"speech.{side}")
    own_kinds = {"stt": (SPEECH_TO_TEXT,), "tts": (POCKET, VOICE)}[side]
    kind = package_kind(folder)
    if kind in own_kinds:
        model = load_manifest(folder, kind)
        return f"{model.name} {model.version}: every file has its size and sha256"
    model = load_manifest(folder, "speech-lm")
    own = speech.codec if wanted == MODEL else ""
    codec = load_manifest(find_model(own, folders, "speech.codec") if own else find_codec(folder), "codec")
    return f"{model.name} {model.version} and {codec.name}: every file has its size and sha256"


def open_speech_to_text(config: Config, bus: Bus) -> SharedModel | None:
    """The model behind speech.stt where it is a speech-to-text package, the same for everyone in this process; None
    where it is something else. Raises NoctuleError."""
    name = package_of(config.speech, "stt")
    if not name:
        return None
    folder = find_model(name, config.service.models, "speech.stt")
    if package_kind(folder) != SPEECH_TO_TEXT:
        return None
    return SharedModel.open(folder, threads=config.speech.threads, cache_dir=_cache(config, bus, "stt"))


class SpeechEngines:
    """Makes both sides, each in the thread that uses it, and remembers why one is missing. asking: what can be asked,
    which guides a recogniser that can be guided."""

    def __init__(self, config: Callable[[], Config], bus: Bus, asking: Callable[[], Askable] | None = None) -> None:
        self._config, self._bus, self._asking = config, bus, asking
        #: "stt" and "tts" -> one sentence: why it is not there; missing when it is, or is switched off.
        self.troubles: dict[str, str] = {}
        #: the board is in distress: no words before the end of a command
        self.strained = False

    def recogniser(self) -> Recogniser | None:
        """What speech.stt names; None when it is off or cannot be had, which is said."""
        return self._made("stt", self._recogniser, "commands are heard but not understood")

    def synthesizer(self) -> Synthesizer | None:
        """What speech.tts names; None when it is off or cannot be had, which is said."""
        return self._made("tts", self._synthesizer, "answers are not spoken")

    def partials(self) -> float:
        """Processor seconds that words may cost while they are being spoken, for each second of sound."""
        return 0.0 if self.strained else self._config().speech.partials

    def threshold(self) -> float | None:
        """The confidence below which is asked again; None for the package's own."""
        own = self._config().speech.confidence
        return own if own >= 0 else None

    def _made(self, side: str, make: Callable[[Config], T | None], without: str) -> T | None:
        try:
            made = make(self._config())
        except NoctuleError as error:
            sentence = f"{error.message.rstrip('.')}: {without}"
            again = self.troubles.get(side) == sentence
            self.troubles[side] = sentence
            self._bus.publish("speech.missing", side, sentence, 6 if again else 4, code=error.code, hint=error.hint)
            return None
        self.troubles.pop(side, None)
        return made

    def _recogniser(self, config: Config) -> Recogniser | None:
        speech = config.speech
        if speech.stt == WYOMING:
            return WyomingRecogniser(speech.wyoming, speech.language, speech.timeout)
        if not package_of(speech, "stt"):
            return None
        shared = open_speech_to_text(config, self._bus)
        if shared is not None:
            self._bus.publish("speech.loaded", "speech", f"Loaded {shared.name}", 5, model=shared.name)
            if self._asking is None:
                return MoonshineRecogniser(shared, free_text, share=self.partials)
            reader = GuidedReader(self._asking)
            with shared as model:
                reader.prepare(model)
            return MoonshineRecogniser(shared, reader, share=self.partials)
        pair = load_package(config, self._bus, "stt")
        return self._built(pair, lambda: ModelRecogniser(pair, sampling(pair, speech), speech.seed, pair.readings))

    def _synthesizer(self, config: Config) -> Synthesizer | None:
        speech = config.speech
        if speech.tts == WYOMING:
            return WyomingSynthesizer(speech.wyoming_tts, speech.voice, speech.timeout)
        if not package_of(speech, "tts"):
            return None
        folder = voice_folder(config)
        if folder is not None:
            cache = _cache(config, self._bus, "tts")
            voice = PiperVoice.open(folder, threads=speech.threads, cache_dir=cache)
            name = voice.model.name
            self._bus.publish("speech.loaded", "speech", f"Loaded the voice {name}", 5, model=name)
            return PiperSynthesizer(voice, lambda: self._config().speech)
        folder = pocket_folder(config)
        if folder is not None:
            return self._pocket(config, folder)
        pair = load_package(config, self._bus, "tts")

        def make() -> Synthesizer:
            speaker, warnings = open_speaker(pair, speech)
            for sentence in warnings:
                self._bus.publish("speech.loaded", "tts", sentence, 4)
            return ModelSynthesizer(pair, speaker)

        return self._built(pair, make)

    def _pocket(self, config: Config, folder: Path) -> Synthesizer:
        made = open_pocket(folder, config.speech, cache_dir=_cache(config, self._bus, "tts"))
        self._tell(made.name, made.verdict)
        return made

    def _built(self, pair: SpeechPair, make: Callable[[], T]) -> T:
        try:
            made = make()
        except BaseException:
            pair.close()
            raise
        self._tell(pair.model.manifest.name, pair.verdict)
        return made

    def _tell(self, name: str, verdict: Verdict) -> None:
        slow = "" if verdict.keeps_up else "; it lags"
        self._bus.publish("speech.loaded", "speech", f"Loaded {name}: {verdict.sentence}{slow}", 5, model=name)
