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

from noctule.core.checked_json import JsonNode
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
        root = JsonNode(where, "", manifest.raw)
        streams = root.get("streams")
        layout, self.rows, self.modes = _layout(streams), _rows(streams), _modes(streams.get("mode"))
        sampling = streams.get("sampling", {})
        text, audio = sampling.get("text", {}).values(), sampling.get("audio", {}).values()
        try:
            self.layout = StreamLayout(**layout)
            self.rows.check(self.layout)
            self.sampling = SpeechSampling(
                text=settings(SpeechTextSampling(), text), audio=settings(AudioSampling(), audio)
            )
        except (InputError, ModelError) as e:
            raise ModelError(f"{where}: streams: {e}", e.hint) from None
        self.settings: Mapping[str, Any] = streams.value
        check_signatures(manifest, model.signatures)
        self._check_tokenizer()
        self.conditions = Conditions(model, streams.get("conditions", {}))
        self.depformer = Depformer(model, self.layout.dep_q) if self.layout.dep_q else None
        check_speech(model, streams.get("golden").value, self.layout.dep_q)

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


def _layout(streams: JsonNode) -> dict[str, Any]:
    """The fields of a StreamLayout."""
    numbers = {
        key: streams.get(key).integer(-(2**31), 2**31 - 1)
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
    rate = streams.get("frame_rate").positive()
    return {**numbers, "delays": _integers(streams.get("delays")), "frame_rate": rate}


def _rows(streams: JsonNode) -> Rows:
    depth, demux = streams.get("depth", {}), streams.get("demux", 0).integer(0)
    return Rows(
        offsets=_integers(streams.get("offsets")),
        demux=demux,
        depth_zero=_integers(depth.get("zero", [])),
        depth_offsets=_integers(depth.get("offsets", [])) or ((0, 0) if demux else (0,)),
    )


def _modes(node: JsonNode) -> tuple[str, ...]:
    """One of MODES, or a list of them, none left out."""
    modes = (node.text(),) if isinstance(node.value, str) else tuple(mode.text() for mode in node.items())
    if not modes or not set(modes) <= set(MODES):
        node.fail(f"some of {', '.join(MODES)}")
    return modes


def _integers(node: JsonNode) -> tuple[int, ...]:
    return tuple(item.integer(-(2**31), 2**31 - 1) for item in node.items())
