"""A speech-lm package, verified and loaded: graphs, stream layout, tokenizer, conditions. Makes sessions.

Package contract: docs/speech-package.md. A package is refused, in one sentence, unless its files are its own, its
graph is the one the manifest describes, its tokenizer has the model's vocabulary, and its golden frame comes out
right on this machine: text logits and every codebook's audio logits (`canary.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from noctule.core.errors import InputError, ModelError
from noctule.inference.manifest import Manifest, check_signatures, load_manifest
from noctule.inference.runtime import Model
from noctule.lm.sampler import AudioSampling, settings
from noctule.lm.speech.canary import check_speech
from noctule.lm.speech.conditions import Conditions
from noctule.lm.speech.graph import Depformer, Temporal
from noctule.lm.speech.graph_file import open_graph_file
from noctule.lm.speech.session import Hooks, SpeechLM, SpeechSampling, SpeechTextSampling
from noctule.lm.speech.streams import Rows, StreamLayout
from noctule.lm.speech.words import WordAssembler
from noctule.lm.tokenizer import Tokenizer

MODES = ("stt", "tts", "duplex")


class SpeechModel:
    """The weights and everything that does not change from one conversation to the next."""

    def __init__(self, manifest: Manifest, model: Model, tokenizer: Tokenizer) -> None:
        self.manifest, self.model, self.tokenizer = manifest, model, tokenizer
        where = str(manifest.folder / "manifest.json")
        streams = _table(where, manifest.raw, "streams")
        try:
            self.layout = _layout(streams)
            self.rows = _rows(streams, streams.get("depth") or {})
            self.rows.check(self.layout)
            self.sampling = _sampling(streams.get("sampling") or {})
            modes = streams.get("mode") or []
            self.modes: tuple[str, ...] = tuple([modes] if isinstance(modes, str) else modes)
        except (KeyError, TypeError, ValueError) as e:
            raise ModelError(f"{where}: streams: cannot be read ({type(e).__name__}: {e})") from None
        except (InputError, ModelError) as e:
            raise ModelError(f"{where}: {e}", e.hint) from None
        if not self.modes or not set(self.modes) <= set(MODES):
            raise ModelError(f"{where}: streams.mode: expected some of {', '.join(MODES)}, found {self.modes}")
        self.settings: Mapping[str, Any] = streams
        check_signatures(manifest, model.signatures)
        self._check_tokenizer()
        self.conditions = Conditions(model, streams.get("conditions") or {})
        self.depformer = Depformer(model, self.layout.dep_q) if self.layout.dep_q else None
        check_speech(model, streams.get("golden"), self.layout.dep_q)

    @classmethod
    def load(cls, folder: Path | str, *, threads: int = 1, cache_dir: Path | None = None) -> SpeechModel:
        """Verify and load a package; ModelError, one sentence, when it is unfit.

        cache_dir: an existing folder for XNNPACK's unpacked weights, which the many signatures then share.
        """
        manifest = load_manifest(folder, "speech-lm")
        info = manifest.tokenizer
        if info is None:
            raise ModelError(f"{manifest.folder}: the package has no tokenizer")
        tokenizer = Tokenizer.load(manifest.path(info.file), info)
        return open_graph_file(manifest, threads, cache_dir, lambda model: cls(manifest, model, tokenizer))

    def require(self, mode: str) -> None:
        """Raises ModelError unless the model can be used so."""
        if mode not in self.modes:
            raise ModelError(
                f"{self.manifest.folder}: the model {self.manifest.name!r} is made for {' and '.join(self.modes)},"
                f" not {mode}"
            )

    def words(self, lag: float = 0.0) -> WordAssembler:
        """What turns the text stream into words that began `lag` seconds before they were written."""
        layout, tokenizer = self.layout, self.tokenizer
        return WordAssembler(
            tokenizer.decode,
            lambda token: token < tokenizer.vocab_size and tokenizer.token_text(token).startswith(b" "),
            padding=layout.text_padding,
            end_of_padding=layout.end_of_text_padding,
            silent=tokenizer.special | frozenset(range(tokenizer.vocab_size, layout.text_card + 1)),
            frame_rate=layout.frame_rate,
            delay=lag,
        )

    def session(
        self,
        *,
        sampling: SpeechSampling | None = None,
        seed: int = 0,
        uniforms: Callable[[], float] | None = None,
        hooks: Hooks | None = None,
        conditions: Mapping[str, Any] | None = None,
        codebooks: int | None = None,
    ) -> SpeechLM:
        """A new conversation, sharing nothing with any other.

        conditions: by name, see `conditions.py`; codebooks: write only the first so many (text-to-speech only: the
        others are read as "nothing here", which such models are trained for).
        """
        layout = self.layout
        if codebooks is not None and codebooks != layout.dep_q:
            if not 1 <= codebooks < layout.dep_q:
                raise InputError(f"the model writes 1 to {layout.dep_q} codebooks, not {codebooks}")
            self.require("tts")
            layout = replace(layout, dep_q=codebooks)
        temporal = Temporal(self.model, self.conditions.tensors(conditions or {}))
        return SpeechLM(
            layout,
            temporal,
            self.depformer,
            self.rows,
            sampling=sampling or self.sampling,
            seed=seed,
            uniforms=uniforms,
            hooks=hooks,
        )

    def close(self) -> None:
        self.model.close()

    def _check_tokenizer(self) -> None:
        size, wanted = self.tokenizer.vocab_size, self.layout.text_card
        if size != wanted:
            raise ModelError(
                f"{self.manifest.folder}: the tokenizer has {size} pieces, but the model's text vocabulary has"
                f" {wanted}",
                "it belongs to another model: copy or build the package again",
            )


def _table(where: str, raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = raw.get(key)
    if not isinstance(value, dict):
        raise ModelError(f"{where}: {key}: expected an object")
    return value


def _layout(streams: Mapping[str, Any]) -> StreamLayout:
    numbers = {
        key: int(streams[key])
        for key in (
            "n_q",
            "dep_q",
            "text_card",
            "card",
            "initial_text",
            "initial_audio",
            "text_padding",
            "end_of_text_padding",
        )
    }
    return StreamLayout(
        **numbers, delays=tuple(int(d) for d in streams["delays"]), frame_rate=float(streams["frame_rate"])
    )


def _rows(streams: Mapping[str, Any], depth: Mapping[str, Any]) -> Rows:
    return Rows(
        offsets=tuple(int(n) for n in streams["offsets"]),
        demux=int(streams.get("demux", 0)),
        depth_zero=tuple(int(n) for n in depth.get("zero", ())),
        depth_offsets=tuple(int(n) for n in depth.get("offsets") or ((0, 0) if streams.get("demux") else (0,))),
    )


def _sampling(table: Mapping[str, Any]) -> SpeechSampling:
    """From the `streams.sampling`: {"text": {...}, "audio": {...}} over the reference's defaults."""
    return SpeechSampling(
        text=settings(SpeechTextSampling(), dict(table.get("text") or {})),
        audio=settings(AudioSampling(), dict(table.get("audio") or {})),
    )
