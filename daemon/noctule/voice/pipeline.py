"""The organ of hearing: builds microphone, wake words, session and turns from the configuration."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import Any

from noctule.audio.chunk import RATE, SoundSource
from noctule.audio.endpointing import EndpointSettings
from noctule.audio.microphone import Microphone
from noctule.audio.portaudio import CardWatch
from noctule.audio.ring import SoundRing
from noctule.audio.sources import PcmSource, WavSource
from noctule.config import Config
from noctule.config.agree import check_agreement
from noctule.core.errors import CancelledError, ConfigError, NoctuleError, UnavailableError
from noctule.core.events import Event
from noctule.service.component import Host
from noctule.service.request import Ask
from noctule.service.supervisor import Job
from noctule.voice.engines import SpeechEngines, loudspeaker
from noctule.voice.listener import Listener
from noctule.voice.session import SPEAKING, SessionSettings
from noctule.voice.speech_worker import SpeechWorker
from noctule.voice.stt.guided import Askable
from noctule.voice.transcript import Spoken
from noctule.voice.turn_worker import TurnWorker
from noctule.voice.utterance import Utterance
from noctule.voice.wakewords.clip_folder import WakeClips
from noctule.voice.wakewords.clip_writer import ClipKeeper, Detected
from noctule.voice.wakewords.in_service import WakeWords, find_wake_word
from noctule.voice.wakewords.memory import EarMemory

#: seconds of sound before and after a detection that a saved clip holds.
CLIP_BEFORE, CLIP_SECONDS = 2.0, 2.0
#: seconds beyond a request's own time that an answer is waited for.
GRACE = 5.0


def sound_source(config: Config) -> SoundSource:
    """What [audio] names. Raises ConfigError when its path is missing."""
    audio = config.audio
    if audio.source == "microphone":
        return Microphone(audio.device, audio.rate, audio.channel)
    if audio.path == Path():
        raise ConfigError(["audio.path: is needed when audio.source is path"])
    return WavSource(audio.path) if audio.path.suffix.lower() == ".wav" else PcmSource(audio.path)


def stop_words(config: Config) -> frozenset[str]:
    """The ids of those wake words that only end a turn."""
    ids = set()
    for word in config.wake.stop_words:
        ids.add(Path(word).name.removesuffix(".json"))
        with contextlib.suppress(NoctuleError):  # what is not there is told where the words are loaded
            ids.add(find_wake_word(word, config.service.models).id)
    return frozenset(ids)


class VoicePipeline:
    """The component that hears and speaks."""

    name = "ears"

    def __init__(
        self, host: Host, source: SoundSource | None = None, asking: Callable[[], Askable] | None = None
    ) -> None:
        config = host.config()
        wake = config.wake
        check_agreement(config)
        self._host = host
        self._ring = SoundRing(max(wake.longest + wake.pre_roll + 2, 2 * CLIP_SECONDS + CLIP_BEFORE))
        self.voices = SpeechEngines(host.config, host.bus, asking)
        self.loudspeaker = speaker = loudspeaker(config)
        self.voice = (
            SpeechWorker(host.bus, host.clock, speaker, self.voices.synthesizer) if speaker is not None else None
        )
        endpoint = EndpointSettings(silence=wake.silence, patience=wake.patience, longest=wake.longest)
        limit = config.lm.timeout + config.speech.timeout + GRACE
        self.turns = TurnWorker(
            host.bus,
            host.clock,
            self._ring,
            self._answer,
            self.voices.recogniser,
            self.voice,
            self.voices.threshold,
            SessionSettings(wake.pre_roll, limit, stop_words(config), endpoint),
        )
        self.session = self.turns.session
        self.clips = WakeClips(config.service.state_dir / "clips", wake.save_quota, wake.save_days)
        self._keeper = ClipKeeper(self.clips, host.bus)
        self._saving = wake.save
        #: what was muted and tuned by hand; it wins over the configuration, also after a restart.
        self.memory = EarMemory(config.service.state_dir, host.bus)
        self.words = WakeWords(host.config, host.bus, self.memory, lambda words: self.ears.exchange(words))
        self._cards = CardWatch() if config.audio.source == "microphone" else None
        self.ears = Listener(
            source or sound_source(config),
            self.words.load,
            self.session,
            self._ring,
            host.bus,
            host.clock,
            muted=config.audio.muted or self.memory.muted,
        )
        host.bus.add_sink(self._on_event)

    # -- turns ---------------------------------------------------------------------------------------------------

    def _answer(
        self, spoken: Spoken, emit: Callable[[str], None], cancelled: Callable[[], bool], beat: Callable[[], None]
    ) -> Mapping[str, Any]:
        limit = self._host.config().lm.timeout
        clock = self._host.clock
        texts = [(w.text and self._host.clean(w.text), w.share) for w in spoken.wordings]
        options = {"wordings": texts, "settle": spoken.settle} if len(texts) > 1 else {}
        ask = Ask(texts[0][0], emit, clock.monotonic() + limit, clock, options)
        self._host.submit(ask)
        while True:
            beat()
            try:
                return ask.result.result(timeout=0.05)
            except FutureTimeout:
                if cancelled():
                    ask.cancel("a later wake word interrupted it")
                    raise CancelledError("a later wake word interrupted it") from None
                if clock.monotonic() > ask.deadline + GRACE:
                    raise UnavailableError("The language model did not answer in time.") from None

    def _on_event(self, event: Event) -> None:
        """Rings for timers and alarms, and saves a clip of what woke it where wanted; in the publisher's thread."""
        if event.kind in ("timer.fired", "alarm.fired") and self.voice is not None:
            # the sentence is for the voice; without one the chime rings
            with contextlib.suppress(NoctuleError):
                self.turns.announce(str(event.fields["reply"]) if self.voice.speaks else "")
        if event.kind != "wake.heard" or not self._saving:
            return
        samples, _ = self._ring.read(self._ring.end - int(CLIP_BEFORE * RATE))
        self._keeper.put(Detected(str(event.fields["word"]), float(event.fields["score"]), samples, event.time))

    # -- component -----------------------------------------------------------------------------------------------

    def jobs(self) -> Sequence[Job]:
        ears = dataclasses.replace(self.ears.job, again=self._worth_another_try)
        return [self.turns.job, *([self.voice.job] if self.voice is not None else []), self._keeper.job, ears]

    def _worth_another_try(self) -> bool:
        """A microphone was plugged in again, or other wake words were chosen."""
        return self.words.again() or (self._cards is not None and self._cards.changed())

    def status(self) -> Mapping[str, Any]:
        return {
            **self.ears.report(),
            "words": self.words.in_force(),
            "chosen": list(self.words.by_hand),
            "saving": self._saving,
            "clips_dropped": self._keeper.dropped,
            **self.turns.report(),
            "voice": self.voice.report() if self.voice is not None else None,
            "missing": dict(self.voices.troubles),
        }

    def apply(self, config: Config) -> None:
        self.clips.quota_mb, self.clips.days = config.wake.save_quota, config.wake.save_days
        self._saving = config.wake.save
        self.words.retune()
        self.session.settings = dataclasses.replace(self.session.settings, stop_words=stop_words(config))
        self.turns.retry()
        if self.voice is not None:
            self.voice.retry()

    def follow(self, old: Config, new: Config) -> Mapping[str, str]:
        """Other wake words, where the configuration names others. See component.Follower."""
        return self.words.follow(old, new)

    def troubles(self) -> Sequence[str]:
        """Why the configured wake words are not those that are listened for."""
        return [self.words.refusal] if self.words.refusal else []

    def close(self) -> None:
        self.turns.interrupted(self.session.turn)

    @property
    def muted(self) -> bool:
        """Whether the microphone is closed."""
        return self.ears.muted

    def mute(self, muted: bool) -> None:
        """For the assistant's own action."""
        self.mute_by_hand(muted, "asked by voice or text")

    def mute_by_hand(self, on: bool, why: str) -> bool:
        """Close or reopen the microphone, and remember it for the next start; False when it already was so."""
        changed = self.ears.mute(on, why)
        self.memory.mute(on)
        return changed

    def say(self, text: str) -> Future[bool]:
        """Speak a text in the room; whether to its end. Raises InputError, BusyError, UnavailableError."""
        return self.turns.announce(self._host.clean(text))

    def hush(self) -> None:
        """For the assistant's "stop": silence an answer that is being spoken. The turn that asks goes on."""
        if self.session.state == SPEAKING:
            self.turns.interrupted(self.session.turn)

    def save_clips(self, on: bool) -> None:
        """Start or stop keeping clips, until the next start or reload."""
        self._saving = on

    def last_utterance(self) -> Utterance:
        """The last command, from memory. Raises UnavailableError."""
        if self.turns.last is None:
            raise UnavailableError("No command has been heard yet.")
        return self.turns.last
