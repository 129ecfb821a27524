"""A published Piper voice as it lies on disk: the ONNX file's weights by name, and its configuration checked.

Architecture: VITS (Kim, Kong & Son 2021, arXiv 2106.06103) with a stochastic duration predictor, as Piper exports it.
Exporting folds the weight normalisation and loses names of weights ("onnx::Conv_8168"); every convolution keeps the
name of its bias, from which the weight's is told. Reads with `onnx` alone: nothing is run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from noctule.core.errors import ModelError

Floats = npt.NDArray[np.float32]
PHONEME_TYPES = ("espeak", "text")
_NEEDED = ("enc_p.proj.weight", "flow.flows.0.pre.weight", "dec.conv_pre.weight", "dp.flows.3.proj.weight")


@dataclass(frozen=True)
class Convolution:
    """One convolution: kernel [out, in / groups, width] (transposed: [in, out, width]), bias [out] or None."""

    kernel: Floats
    bias: Floats | None
    dilation: int = 1
    stride: int = 1
    padding: int = 0


@dataclass(frozen=True)
class Voice:
    """A voice as read: convolutions and other arrays by the names of Piper's own training code."""

    path: Path
    config: dict[str, Any]
    convolutions: dict[str, Convolution]
    arrays: dict[str, Floats]

    @property
    def hidden(self) -> int:
        """Channels of the text encoder and of the flow."""
        return self.conv("enc_p.proj").kernel.shape[1]

    @property
    def channels(self) -> int:
        """Channels of a latent frame."""
        return self.conv("enc_p.proj").kernel.shape[0] // 2

    @property
    def speakers(self) -> int:
        """How many speakers the file holds; 1 has no table of them."""
        return self.arrays["emb_g.weight"].shape[0] if "emb_g.weight" in self.arrays else 1

    @property
    def hop(self) -> int:
        """Samples of a latent frame."""
        return int(np.prod([self.conv(name).stride for name in self.numbered("dec.ups.{}")]))

    def conv(self, name: str) -> Convolution:
        """A convolution by name; ModelError when the voice has none."""
        if name not in self.convolutions:
            raise ModelError(f"{self.path}: holds no {name}, so it is no Piper voice this version knows.")
        return self.convolutions[name]

    def array(self, name: str) -> Floats:
        """An array by name; ModelError when the voice has none."""
        if name not in self.arrays:
            raise ModelError(f"{self.path}: holds no {name}, so it is no Piper voice this version knows.")
        return self.arrays[name]

    def numbered(self, pattern: str) -> list[str]:
        """The names of a row of convolutions: pattern with 0, 1, 2 … for as long as there are any."""
        names = []
        while (name := pattern.format(len(names))) in self.convolutions:
            names.append(name)
        return names


def read_voice(path: Path, config: Path | None = None) -> Voice:
    """Read a voice; ModelError, one sentence, for anything that is not one."""
    settings = _read_config(config or path.with_name(path.name + ".json"))
    model = _read_onnx(path)
    arrays: dict[str, Floats] = {}
    convolutions: dict[str, Convolution] = {}
    from onnx import numpy_helper

    raw = {entry.name: entry for entry in model.graph.initializer}
    for name, entry in raw.items():
        if entry.data_type == 1:
            array = np.array(numpy_helper.to_array(entry), np.float32)
            if not np.isfinite(array).all():
                raise ModelError(f"{path}: {name} holds numbers that are not finite, so the file is damaged.")
            arrays[name] = array
    for node in model.graph.node:
        if node.op_type in ("Conv", "ConvTranspose") and node.input[1] in arrays:
            bias = node.input[2] if len(node.input) > 2 else ""
            name = bias.removesuffix(".bias") if bias else node.input[1].removesuffix(".weight")
            options = {entry.name: list(entry.ints) for entry in node.attribute if entry.ints}
            convolutions[name] = Convolution(
                arrays[node.input[1]],
                arrays.get(bias),
                options.get("dilations", [1])[0],
                options.get("strides", [1])[0],
                options.get("pads", [0])[0],
            )
        if node.op_type == "Gather" and node.input[0] in arrays and node.input[1] in ("input", "sid"):
            # torch names a table after an input of the graph when it likes to
            arrays["enc_p.emb.weight" if node.input[1] == "input" else "emb_g.weight"] = arrays[node.input[0]]
    _affine(model, arrays)
    for name in _NEEDED:
        if name.removesuffix(".weight") not in convolutions:
            raise ModelError(f"{path}: holds no {name}, so it is no Piper voice this version knows.")
    voice = Voice(path, settings, convolutions, arrays)
    _agree(voice)
    return voice


def _affine(model: Any, arrays: dict[str, Floats]) -> None:
    """The last step of the durations, (x - m) * exp(-logs): torch may have folded the exponent."""
    for node in model.graph.node:
        if node.op_type == "Mul" and node.name == "/dp/flows.0/Mul" and node.input[1] in arrays:
            arrays["dp.flows.0.scale"] = arrays[node.input[1]]
    if "dp.flows.0.scale" not in arrays and "dp.flows.0.logs" in arrays:
        arrays["dp.flows.0.scale"] = np.exp(-arrays["dp.flows.0.logs"])


def _read_onnx(path: Path) -> Any:
    try:
        import onnx
    except ImportError:
        raise ModelError(
            "Reading a voice needs the package onnx, which is not installed here.", "pip install onnx (on a PC)"
        ) from None
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path), load_external_data=False)
    except FileNotFoundError:
        raise ModelError(f"{path}: there is no such voice.") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}.") from None
    except (DecodeError, ValueError):
        raise ModelError(
            f"{path}: is no ONNX file, or only part of one.", "fetch the voice again and compare its size"
        ) from None
    inputs = {entry.name for entry in model.graph.input}
    if not {"input", "input_lengths", "scales"} <= inputs:
        raise ModelError(f"{path}: is an ONNX file but no Piper voice: its inputs are {', '.join(sorted(inputs))}.")
    return model


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(
            f"{path}: the voice's configuration is missing.",
            "a Piper voice is two files, NAME.onnx and NAME.onnx.json",
        ) from None
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise ModelError(f"{path}: is no JSON, so it is no voice's configuration.") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}.") from None
    kind = config.get("phoneme_type", "espeak") if isinstance(config, dict) else None
    try:
        rate, voice = int(config["audio"]["sample_rate"]), str(config["espeak"]["voice"])
        ids = {str(key): [int(n) for n in value] for key, value in config["phoneme_id_map"].items()}
        symbols, speakers = int(config["num_symbols"]), int(config["num_speakers"])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ModelError(f"{path}: is no configuration of a Piper voice.") from None
    if kind not in PHONEME_TYPES:
        raise ModelError(f"{path}: phoneme_type is {kind!r}; only {' and '.join(PHONEME_TYPES)} voices can be used.")
    if not {"_", "^", "$"} <= ids.keys() or not 8000 <= rate <= 48000 or not voice:
        raise ModelError(f"{path}: is no configuration of a Piper voice.")
    return config | {"phoneme_type": kind, "phoneme_id_map": ids, "num_symbols": symbols, "num_speakers": speakers}


def _agree(voice: Voice) -> None:
    """The configuration must be this voice's own."""
    table = voice.array("enc_p.emb.weight")
    symbols, speakers = voice.config["num_symbols"], max(1, voice.config["num_speakers"])
    highest = max(max(ids, default=0) for ids in voice.config["phoneme_id_map"].values())
    if symbols != table.shape[0] or highest >= table.shape[0]:
        raise ModelError(
            f"{voice.path}: knows {table.shape[0]} phonemes, its configuration {max(symbols, highest + 1)}: "
            "the configuration is another voice's."
        )
    if speakers != voice.speakers:
        raise ModelError(
            f"{voice.path}: holds {voice.speakers} speakers, its configuration {speakers}: "
            "the configuration is another voice's."
        )
