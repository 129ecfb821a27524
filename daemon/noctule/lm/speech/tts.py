"""Text to speech: a text in, 80 ms frames of sound out as they are made.

The model predicts at every frame whether the next word begins; `TextFeed` answers with the tokens of the text, and
the audio codebooks follow `audio_delay` behind. A voice is a condition (models trained with speaker embeddings) or a
prefix: sound of the voice that the model is made to continue. Order and counts follow `TTSModel.generate` and
`simple_generate` of kyutai-labs/moshi (`moshi/models/tts.py`).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from noctule.core.errors import InputError, ModelError
from noctule.lm.speech.codec import Codec, Samples
from noctule.lm.speech.model import SpeechModel
from noctule.lm.speech.session import Hooks, SpeechSampling
from noctule.lm.speech.streams import UNGENERATED, ZERO, Tokens, delayed
from noctule.lm.speech.text_feed import FeedRules, TextFeed
from noctule.lm.speech.text_normalisation import ENGLISH, spoken
from noctule.lm.speech.words import Entry, script_entries

#: frames sampled beyond the last word (`final_padding`), and decoded frames left out at the start, where the codec
#: clicks; both as in the reference.
_FINAL_PADDING = 4
_CLICK_FRAMES = 2
#: most frames of padding after a word, and before the first (`from_checkpoint_info`).
_MAX_PADDING, _INITIAL_PADDING = 8, 2
#: frames cut off a voice prefix: the codec's last two have not heard what follows.
_PREFIX_CUT = 2
_SPEAKER = "speaker_wavs"


@dataclass(frozen=True)
class TtsSettings:
    """delay: frames by which the sound follows the text; speakers: tokens that announce a speaker, for models that
    know speakers; the rest as in `FeedRules`."""

    rules: FeedRules
    delay: int = 0
    speakers: tuple[int, ...] = ()
    #: the model reads words alone (`noctule.lm.speech.text_normalisation`): digits and signs are written out for it
    spells: bool = False

    @classmethod
    def of(cls, model: SpeechModel) -> TtsSettings:
        """From the manifest's `streams.tts`. A duplex model speaks by the marks of its own text stream."""
        layout, table = model.layout, model.settings.get("tts") or {}
        if table.get("multistream"):
            raise ModelError(
                f"{model.manifest.folder}: the model speaks with two voices at once, which is not supported"
            )
        tokens = table.get("tokens") or {}
        try:
            return cls(
                FeedRules(
                    new_word=int(tokens.get("new_word", layout.end_of_text_padding)),
                    padding=int(tokens.get("pad", layout.text_padding)),
                    text_rows=model.rows.demux or layout.text_card + 1,
                    ahead=int(table.get("second_stream_ahead") or 0),
                    max_padding=_MAX_PADDING,
                    initial_padding=_INITIAL_PADDING,
                ),
                delay=int(float(table.get("audio_delay") or 0.0) * layout.frame_rate),
                speakers=(int(tokens["main"]), int(tokens["other"])) if _SPEAKER in model.conditions.inputs else (),
                spells=table.get("text") == ENGLISH,
            )
        except (KeyError, TypeError, ValueError) as e:
            raise ModelError(
                f"{model.manifest.folder}: streams.tts cannot be read ({type(e).__name__}: {e})"
            ) from None


class SpokenText:
    """One text being spoken. `step` until `done`; `more` and `close` for a text that arrives while it is spoken."""

    def __init__(
        self,
        model: SpeechModel,
        codec: Codec,
        settings: TtsSettings,
        entries: Sequence[Entry],
        *,
        complete: bool = True,
        sampling: SpeechSampling | None = None,
        seed: int = 0,
        conditions: Mapping[str, Any] | None = None,
        prefix: Tokens | None = None,
        codebooks: int | None = None,
        on_frame: Callable[[Tokens], None] | None = None,
    ) -> None:
        """prefix: codes int32 [n_q, T] of the voice to continue; codebooks: how many to write; on_frame: told each
        aligned frame of tokens."""
        self._settings = settings
        self.feed = TextFeed(settings.rules, entries, complete=complete)
        # A cycle would keep the caches of every answer until the collector looks for cycles: hours, in a daemon.
        me = weakref.proxy(self)
        hooks = Hooks(text=lambda token: me._text(token), audio=lambda tokens: me._audio(tokens), frame=on_frame)
        self._lm = model.session(
            sampling=sampling, seed=seed, hooks=hooks, conditions=conditions, codebooks=codebooks
        )
        layout = self._lm.layout
        if codec.shape.n_q > model.layout.dep_q:
            raise ModelError(
                f"the codec wants {codec.shape.n_q} codebooks, but the model writes {model.layout.dep_q}"
            )
        if codec.shape.card != layout.card:
            raise ModelError(f"the codec has {codec.shape.card} codes, but the model's codebooks {layout.card}")
        self._codes = np.full(codec.shape.n_q, codec.shape.card, np.int32)  # what is not written is not given
        self._decoder = codec.decoder()
        self._listener = codec.encoder() if "duplex" in model.modes and layout.outside else None
        self._silence = np.zeros(codec.shape.frame_samples, np.float32)
        self._audio_delays = np.asarray(layout.delays[1 : layout.written]) + settings.delay
        self._prefix = self._lay_out(prefix)
        self._prefix_frames = 0 if prefix is None else prefix.shape[1]
        self._step = 0
        self._frames = 0

    def _lay_out(self, prefix: Tokens | None) -> Tokens:
        """The prefix as the model meets it, [dep_q, T + delays], UNGENERATED where the model decides."""
        count = self._lm.layout.dep_q
        if prefix is None:
            return np.zeros((count, 0), np.int32)
        if prefix.shape[0] < count:
            raise InputError(f"the voice has {prefix.shape[0]} codebooks, but the model writes {count}")
        return delayed(prefix[:count], self._audio_delays.tolist())

    @property
    def done(self) -> bool:
        """The text is spoken to its end."""
        end = self.feed.end_step
        return end is not None and self._step >= end + self._settings.delay + _FINAL_PADDING

    def step(self) -> Samples | None:
        """One frame of the model; float32 [frame_samples] in [-1, 1], or None while there is no sound yet."""
        outside = None
        if self._listener is not None:
            outside = self._listener.step(self._silence)[: self._lm.layout.outside]
        force = None
        if self._step < self._settings.delay:  # no sound is due: the depformer is left out
            force = np.full(self._lm.layout.written, ZERO, np.int32)
            force[0] = UNGENERATED
        frame = self._lm.step(outside, force)
        self._step += 1
        if frame is None:
            return None
        at = self._frames - self._settings.delay
        self._frames += 1
        if at < 0:
            return None
        written = frame[1 : 1 + self._decoder.n_q]
        self._codes[: len(written)] = written
        pcm: Samples = np.clip(self._decoder.step(self._codes), -1.0, 1.0)
        at -= _CLICK_FRAMES
        end = self.feed.end_step
        if at < self._prefix_frames or (end is not None and at >= end):
            return None
        return pcm

    def _text(self, predicted: int) -> int:
        if self._step < self._prefix_frames:
            return ZERO
        return self.feed.next(self._step, predicted)

    def _audio(self, tokens: Tokens) -> Tokens:
        out: Tokens = np.where(self._step < self._audio_delays, ZERO, tokens).astype(np.int32)
        if self._step < self._prefix.shape[1]:
            given = self._prefix[:, self._step]
            out = np.where(given == UNGENERATED, out, given)
        return out


class Speaker:
    """Says texts with one model, codec and voice."""

    def __init__(
        self,
        model: SpeechModel,
        codec: Codec,
        *,
        sampling: SpeechSampling | None = None,
        seed: int = 0,
        conditions: Mapping[str, Any] | None = None,
        prefix: Tokens | None = None,
        codebooks: int | None = None,
        on_frame: Callable[[Tokens], None] | None = None,
    ) -> None:
        if "tts" not in model.modes and "duplex" not in model.modes:
            model.require("tts")
        self.model, self.codec = model, codec
        self.settings = TtsSettings.of(model)
        self._options: dict[str, Any] = {
            "sampling": sampling,
            "seed": seed,
            "conditions": conditions,
            "prefix": prefix,
            "codebooks": codebooks,
            "on_frame": on_frame,
        }

    def entries(self, turns: Sequence[str], *, continued: bool = False, ends: bool = True) -> list[Entry]:
        """What a script makes the model say; InputError when that is nothing. continued: the same speaker goes on;
        ends: the text ends here, so that no pause follows."""
        return script_entries(
            [spoken(turn, ends=ends) for turn in turns] if self.settings.spells else turns,
            self.model.tokenizer.encode,
            frame_rate=self.model.layout.frame_rate,
            speaker_tokens=() if continued else self.settings.speakers,
        )

    def begin(self, entries: Sequence[Entry] = (), *, complete: bool = True) -> SpokenText:
        """An utterance to step through; several may be under way, each with its own state."""
        return SpokenText(self.model, self.codec, self.settings, entries, complete=complete, **self._options)

    def say(self, *turns: str) -> Iterator[Samples]:
        """Sound of a whole text, frame by frame, as it is made."""
        utterance = self.begin(self.entries(turns))
        while not utterance.done:
            pcm = utterance.step()
            if pcm is not None:
                yield pcm


def prefix_codes(codec: Codec, frames: Iterator[Samples]) -> Tokens:
    """Codes int32 [n_q, T] of a voice, for a model whose voice is a prefix."""
    encoder = codec.encoder()
    codes = [encoder.step(frame) for frame in frames][:-_PREFIX_CUT]
    if not codes:
        raise InputError("the voice is too short: a second of clear speech is the least")
    return np.stack(codes, axis=1)
