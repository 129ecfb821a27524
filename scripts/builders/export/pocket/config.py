"""A pocket-tts model's configuration: the YAML that the package `pocket_tts` reads (pocket_tts/utils/config.py).

Only what decides tensors, or how a text is spoken, is kept. What this exporter cannot build is refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noctule.core.errors import InputError

#: how many times a sampler head of each kind is conditioned on, and its steps where nothing else is asked for
FLOW_TYPES = {"lsd": (2, 1), "flow_matching": (1, 16), "drifting": (0, 1), "pointwise": (0, 1)}


@dataclass(frozen=True)
class Stack:
    """A transformer. head: width of a head; context: steps it looks back on, 0 for all; inputs: width before its
    input projection."""

    dim: int
    heads: int
    kv: int
    head: int
    layers: int
    hidden: int
    max_period: float
    context: int = 0
    scaled: bool = False
    inputs: int = 0


@dataclass(frozen=True)
class SeaNet:
    """The convolutional half of Mimi; see builders.export.mimi.config.MimiConfig."""

    dim: int
    filters: int
    ratios: tuple[int, ...]
    residual_layers: int
    compress: int
    dilation_base: int
    kernel: int
    residual_kernel: int
    last_kernel: int


@dataclass(frozen=True)
class Mimi:
    """inner: width of what the encoder gives; outer: of what the decoder's upsampling takes; latent: of a frame."""

    sample_rate: int
    frame_rate: float
    inner: int
    outer: int
    latent: int
    encoder: SeaNet
    decoder: SeaNet
    encoder_stack: Stack
    decoder_stack: Stack

    @property
    def frame_samples(self) -> int:
        return round(self.sample_rate / self.frame_rate)

    @property
    def steps(self) -> int:
        """Transformer steps of one frame."""
        return self.frame_samples // math.prod(self.encoder.ratios)


@dataclass(frozen=True)
class PocketConfig:
    """bins, rank: of the text table, rank 0 for a full one; z: width of the conditioning; voice_start: whether a
    learnt row stands before a voice; text: how a text is prepared; weights, tokenizer: file names."""

    name: str
    flow: str
    flow_dim: int
    flow_depth: int
    stack: Stack
    z: int
    projects: bool
    bins: int
    rank: int
    voice_start: bool
    mimi: Mimi
    temperature: float
    eos_threshold: float
    text: Mapping[str, Any]
    weights: str
    tokenizer: str


def find_config(folder: Path) -> Path | None:
    """The folder's configuration of a pocket-tts model; None where there is none."""
    found = sorted(path for path in folder.glob("*.y*ml") if path.suffix in (".yaml", ".yml"))
    return found[0] if found else None


def read_config(path: Path) -> PocketConfig:
    """Parse a configuration. InputError, one sentence, names what is wrong."""
    import yaml

    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    if not isinstance(raw, dict) or not isinstance(raw.get("flow_lm"), dict) or not isinstance(raw.get("mimi"), dict):
        raise InputError(f"{path} is not the configuration of a pocket-tts model: it has no flow_lm and mimi")
    try:
        return _config(path, raw)
    except KeyError as error:
        raise InputError(f"{path}: {error.args[0]} is missing") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} cannot be read as a pocket-tts configuration: {error}") from None


def _config(path: Path, raw: dict[str, Any]) -> PocketConfig:
    lm, table = raw["flow_lm"], raw["flow_lm"]["lookup_table"]
    flow = str(lm["flow"].get("type") or "lsd")
    if flow not in FLOW_TYPES:
        raise InputError(f"{path}: flow.type is {flow!r}, and only {', '.join(FLOW_TYPES)} can be exported")
    stack = _flow_stack(lm["transformer"])
    if int(table["dim"]) != stack.dim:
        raise InputError(f"{path}: lookup_table.dim is {table['dim']}, and the transformer's width {stack.dim}")
    if not raw.get("weights_path"):
        raise InputError(f"{path} names no weights_path", "give the configuration of a released model")
    for key in ("weights_path",):
        if lm.get(key) or raw["mimi"].get(key):
            raise InputError(f"{path}: weights in two files cannot be exported", "give the one of weights_path")
    after = raw.get("model_recommended_frames_after_eos")
    return PocketConfig(
        name=path.stem,
        flow=flow,
        flow_dim=int(lm["flow"]["dim"]),
        flow_depth=int(lm["flow"]["depth"]),
        stack=stack,
        z=int(lm.get("z_dim") or stack.dim),
        projects=lm.get("z_dim") is not None,
        bins=int(table["n_bins"]),
        rank=int(table.get("rank") or 0),
        voice_start=bool(lm.get("insert_bos_before_voice", False)),
        mimi=_mimi(path, raw["mimi"]),
        temperature=float(raw.get("default_temperature", 0.3)),
        eos_threshold=float(raw.get("default_eos_threshold", -4.0)),
        text={
            "pad_short": bool(raw.get("pad_with_spaces_for_short_inputs", False)),
            "no_semicolons": bool(raw.get("remove_semicolons", False)),
            "full_stop": bool(raw.get("append_terminal_punctuation", True)),
            "capital": bool(raw.get("capitalize_first_letter", True)),
            "replace": {str(a): str(b) for a, b in (raw.get("replace_characters") or {}).items()},
            "frames_after_end": None if after is None else int(after),
        },
        weights=_file(raw["weights_path"]),
        tokenizer=_file(table["tokenizer_path"]),
    )


def _file(address: Any) -> str:
    """The file name of an address such as hf://owner/repository/folder/name@revision."""
    return str(address).partition("@")[0].rpartition("/")[2]


def _flow_stack(t: dict[str, Any]) -> Stack:
    dim, heads = int(t["d_model"]), int(t["num_heads"])
    width = int(t.get("attn_dim") or dim)
    kv = int(t.get("num_kv_heads") or heads)
    if width % heads or heads % kv:
        raise ValueError(f"{heads} heads do not divide {width} and {kv} key-value heads")
    hidden = int(t.get("dim_feedforward") or dim * int(t["hidden_scale"]))
    return Stack(dim, heads, kv, width // heads, int(t["num_layers"]), hidden, float(t["max_period"]))


def _mimi(path: Path, m: dict[str, Any]) -> Mimi:
    seanet, transformer = m["seanet"], m["transformer"]
    encoder, decoder = _seanet(seanet), _seanet(m.get("decoder_seanet") or seanet)
    for part in (seanet, m.get("decoder_seanet") or seanet):
        if part["pad_mode"] != "constant" or part["channels"] != 1:
            raise InputError(f"{path}: only SEANet with one channel and constant padding can be exported")
    mimi = Mimi(
        sample_rate=int(m["sample_rate"]),
        frame_rate=float(m["frame_rate"]),
        inner=int(m.get("inner_dim") or encoder.dim),
        outer=int(m.get("outer_dim") or decoder.dim),
        latent=int(m["quantizer"]["dimension"]),
        encoder=encoder,
        decoder=decoder,
        encoder_stack=_mimi_stack(transformer),
        decoder_stack=_mimi_stack(m.get("decoder_transformer") or transformer),
    )
    hop = math.prod(encoder.ratios)
    if mimi.steps < 2 or mimi.frame_samples != mimi.steps * hop or math.prod(decoder.ratios) != hop:
        raise InputError(f"{path}: frames of {mimi.frame_samples} samples do not divide by the ratios")
    if int(m["quantizer"]["output_dimension"]) != mimi.outer or mimi.outer != decoder.dim:
        raise InputError(f"{path}: quantizer, outer_dim and decoder must have one width")
    for stack, width in ((mimi.encoder_stack, encoder.dim), (mimi.decoder_stack, decoder.dim)):
        if stack.inputs != width:
            raise InputError(f"{path}: a transformer of inputs of {stack.inputs} does not fit a SEANet of {width}")
    return mimi


def _seanet(s: dict[str, Any]) -> SeaNet:
    return SeaNet(
        dim=int(s["dimension"]),
        filters=int(s["n_filters"]),
        ratios=tuple(int(r) for r in s["ratios"]),
        residual_layers=int(s["n_residual_layers"]),
        compress=int(s["compress"]),
        dilation_base=int(s["dilation_base"]),
        kernel=int(s["kernel_size"]),
        residual_kernel=int(s["residual_kernel_size"]),
        last_kernel=int(s["last_kernel_size"]),
    )


def _mimi_stack(t: dict[str, Any]) -> Stack:
    dim, heads, inputs = int(t["d_model"]), int(t["num_heads"]), int(t["input_dimension"])
    if dim % heads or [int(n) for n in t["output_dimensions"]] != [inputs]:
        raise ValueError(f"{heads} heads do not divide {dim}, or the output is not as wide as the input")
    return Stack(
        dim,
        heads,
        heads,
        dim // heads,
        int(t["num_layers"]),
        int(t["dim_feedforward"]),
        float(t.get("max_period", 10000.0)),
        int(t["context"]),
        t.get("layer_scale") is not None,
        inputs,
    )
