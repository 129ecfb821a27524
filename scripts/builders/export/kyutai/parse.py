"""Kyutai's `config.json`: read, checked, and refused by the key that is wrong.

The keys and their defaults are those of `moshi` (moshi/models/loaders.py and moshi/models/lm.py, 0.2.13): what the
reference reads is read, what it defaults is defaulted the same way, and a key it would not know is refused by name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from builders.export.kyutai.config import Conditioner, Depformer, KyutaiConfig, gated_hidden
from builders.export.kyutai.fields import (
    FILE_KEYS,
    MIMI_NAME,
    OPTIONAL,
    REQUIRED,
    TOKENIZER_NAME,
    WEIGHTS_NAME,
    Fields,
)
from noctule.core.checked_json import read_object
from noctule.core.errors import InputError


def read_config(path: Path) -> KyutaiConfig:
    """Parse and check config.json. InputError names the key that is missing, unknown or unsupported."""
    raw = dict(read_object(path, InputError, "a Kyutai checkpoint has a config.json of settings"))
    if "model_type" in raw and "dim" not in raw and "hidden_size" in raw:
        raise InputError(
            f"{path} is of a {raw['model_type']} model in transformers' form, not of a Kyutai checkpoint",
            "take the checkpoint's original repository, not its -trfs or -hf copy",
        )
    return _Parser(path, raw).config()


class _Parser(Fields):
    """The whole config out of its fields."""

    def config(self) -> KyutaiConfig:
        unknown = sorted(set(self._raw) - FILE_KEYS - set(REQUIRED) - set(OPTIONAL))
        if unknown:
            raise self.fail(", ".join(unknown), "is not a setting of the speech models this exporter knows")
        missing = [key for key in REQUIRED if key not in self._raw]
        if missing:
            raise self.fail(", ".join(missing), "is missing: this is not the config of a Kyutai speech model")
        if not self.flag("causal"):
            raise self.fail("causal", "is false, and a streaming model must be causal")
        if self._raw.get("lora_name") or self.get("lora"):
            raise self.fail("lora", "adapters are not merged here: merge them into the checkpoint first")
        if self.get("positional_scale") != 1.0:
            raise self.fail("positional_scale", f"is {self.get('positional_scale')!r}, and only 1.0 can be exported")
        dim, heads, repeat = self.integer("dim"), self.integer("num_heads"), self.integer("kv_repeat")
        if dim % heads or (dim // heads) % 2:
            raise self.fail("num_heads", f"is {heads}, which does not divide dim {dim} into even heads")
        if heads % repeat:
            raise self.fail("kv_repeat", f"is {repeat}, which does not divide num_heads {heads}")
        n_q, dep_q = self.integer("n_q", 0, 64), self.integer("dep_q", 0, 64)
        if dep_q > n_q:
            raise self.fail("dep_q", f"is {dep_q}, more than n_q {n_q}")
        gating, feed = self.one_of("gating", ("silu", "gelu", "none")), int(self.number("hidden_scale") * dim)
        conditioners, positions = self.conditioners(dim)
        text_card = self.integer("text_card")
        cross = self.flag("cross_attention")
        if cross != any(c.fuse == "cross" for c in conditioners):
            raise self.fail("cross_attention", f"is {str(cross).lower()}, and the fuser says otherwise")
        return KyutaiConfig(
            name=self._path.parent.name,
            dim=dim,
            heads=heads,
            kv_heads=heads // repeat,
            layers=self.integer("num_layers", 1, 512),
            hidden=feed if gating == "none" else gated_hidden(dim, feed),
            gating=gating,
            norm=self.norm("norm"),
            rope_interleaved=self.one_of("positional_embedding", ("rope", "rope_concat")) == "rope",
            max_period=self.number("max_period"),
            context=self.integer("context", 2),
            n_q=n_q,
            dep_q=dep_q,
            card=self.integer("card"),
            text_card=text_card,
            text_card_out=text_card if self.get("text_card_out") is None else self.integer("text_card_out"),
            delays=self.delays(n_q),
            padding=self.integer("existing_text_padding_id", 0, text_card),
            end_padding=self.integer("existing_text_end_padding_id", 0, text_card),
            norm_emb=self.flag("norm_emb"),
            bias_proj=self.flag("bias_proj"),
            layer_scale=self.get("layer_scale") is not None,
            cross_attention=cross,
            demux=self.flag("demux_second_stream") or self.flag("demux_second_text_stream"),
            extra_heads=self.integer("extra_heads_num_heads", 0, 64),
            extra_dim=self.integer("extra_heads_dim"),
            depformer=self.depformer(dep_q, gating, repeat) if dep_q else None,
            conditioners=conditioners,
            cross_positions=positions,
            quantised=self.flag("quantize"),
            model_type=self.one_of("model_type", ("moshi", "stt", "tts", "hibiki"), "moshi")
            if "model_type" in self._raw
            else "moshi",
            weights_name=self.text("moshi_name", WEIGHTS_NAME),
            mimi_name=self.text("mimi_name", MIMI_NAME),
            mimi_config_name=self.text("mimi_config_name", "") if self._raw.get("mimi_config_name") else "",
            tokenizer_name=self.text("tokenizer_name", TOKENIZER_NAME),
            sampling=self.table("lm_gen_config"),
            stt=self.table("stt_config"),
            tts=self.table("tts_config"),
            model_id=self.table("model_id"),
        )

    def delays(self, n_q: int) -> tuple[int, ...]:
        value = self.get("delays")
        if not isinstance(value, list) or not all(isinstance(d, int) and 0 <= d < 1000 for d in value):
            raise self.fail("delays", "must be a list of frame counts")
        if len(value) != n_q + 1:
            raise self.fail("delays", f"has {len(value)} entries, and 1 + n_q is {n_q + 1}")
        return tuple(value)

    def depformer(self, dep_q: int, gating: str, repeat: int) -> Depformer:
        if not self.flag("depformer_weights_per_step"):
            raise self.fail("depformer_weights_per_step", "is false, and the reference cannot stream such a model")
        if self.get("depformer_pos_emb") != "none":
            found = self.get("depformer_pos_emb")
            raise self.fail("depformer_pos_emb", f"is {found!r}, and only 'none' can be exported")
        dim, heads = self.integer("depformer_dim"), self.integer("depformer_num_heads")
        if dim % heads:
            raise self.fail("depformer_num_heads", f"is {heads}, which does not divide depformer_dim {dim}")
        own = self.get("depformer_gating") or gating
        if own not in ("silu", "gelu"):
            raise self.fail("depformer_gating", f"is {own!r}, and only silu and gelu can be exported")
        schedule = self.get("depformer_weights_per_step_schedule")
        schedule = list(range(dep_q)) if schedule is None else schedule
        if not isinstance(schedule, list) or not all(isinstance(i, int) and 0 <= i < dep_q for i in schedule):
            raise self.fail("depformer_weights_per_step_schedule", "must be a list of weight indices")
        if len(schedule) != dep_q:
            raise self.fail(
                "depformer_weights_per_step_schedule", f"has {len(schedule)} entries, and dep_q is {dep_q}"
            )
        sets = max(schedule) + 1
        feed = self.get("depformer_dim_feedforward")
        feed = int(self.number("hidden_scale") * dim) if feed is None else feed
        feeds = feed if isinstance(feed, list) else [feed] * sets
        if len(feeds) != sets or not all(isinstance(n, int) and n > 0 for n in feeds):
            raise self.fail("depformer_dim_feedforward", f"must be one width, or one for each of {sets} weight sets")
        low_rank = self.get("depformer_low_rank_embeddings")
        own_repeat = self.get("depformer_kv_repeat") or repeat
        return Depformer(
            dim=dim,
            heads=heads,
            kv_heads=heads // own_repeat,
            layers=self.integer("depformer_num_layers", 1, 256),
            hidden=tuple(gated_hidden(dim, n) for n in feeds),
            gating=own,
            schedule=tuple(schedule),
            multi_linear=self.flag("depformer_multi_linear"),
            low_rank=None if low_rank is None else self.integer("depformer_low_rank_embeddings"),
            out_norm=None if self.get("depformer_norm") is None else self.norm("depformer_norm"),
            layer_scale=(
                self._raw["depformer_layer_scale"]
                if "depformer_layer_scale" in self._raw
                else self.get("layer_scale")
            )
            is not None,
        )

    def conditioners(self, dim: int) -> tuple[tuple[Conditioner, ...], float]:
        fuser = self.table("fuser")
        known = {"sum", "cross", "prepend", "cross_attention_pos_emb", "cross_attention_pos_emb_scale"}
        if set(fuser) - known:
            raise self.fail(f"fuser.{min(set(fuser) - known)}", "is not a setting of the fuser")
        if fuser.get("prepend"):
            raise self.fail("fuser.prepend", "is not supported by the reference either; only sum and cross are")
        fuse = {name: how for how in ("sum", "cross") for name in fuser.get(how, [])}
        found = []
        for name, entry in self.table("conditioners").items():
            key = f"conditioners.{name}"
            kind = entry.get("type") if isinstance(entry, dict) else None
            if kind not in ("lut", "tensor"):
                raise self.fail(f"{key}.type", f"is {kind!r}, and only lut and tensor conditioners exist")
            if name not in fuse:
                raise self.fail(key, "is not named by the fuser, so it would do nothing")
            found.append(self.conditioner(name, kind, fuse[name], entry.get(kind) or {}, dim))
        if set(fuse) - {c.name for c in found}:
            raise self.fail(
                f"fuser names {min(set(fuse) - {c.name for c in found})}", "but no such conditioner exists"
            )
        scale = (
            float(fuser.get("cross_attention_pos_emb_scale", 1.0)) if fuser.get("cross_attention_pos_emb") else 0.0
        )
        order = [name for how in ("sum", "cross") for name in fuser.get(how, [])]
        return tuple(sorted(found, key=lambda c: order.index(c.name))), scale

    def conditioner(self, name: str, kind: str, fuse: str, entry: dict[str, Any], dim: int) -> Conditioner:
        key = f"conditioners.{name}.{kind}"
        common = {"dim", "force_linear", "pad_empty", "output_bias", "learn_padding"}
        known = common | ({"n_bins", "tokenizer", "possible_values", "init_scale"} if kind == "lut" else set())
        if set(entry) - known:
            raise self.fail(f"{key}.{min(set(entry) - known)}", "is not a setting of this conditioner")
        width = entry.get("dim")
        if not isinstance(width, int) or width < 1:
            raise self.fail(f"{key}.dim", f"must be a width, not {width!r}")
        if entry.get("output_bias"):
            raise self.fail(f"{key}.output_bias", "is true, which the reference refuses as well")
        if kind == "lut" and entry.get("tokenizer") != "noop":
            raise self.fail(f"{key}.tokenizer", f"is {entry.get('tokenizer')!r}, and only noop exists")
        values = entry.get("possible_values")
        if kind == "lut" and fuse == "cross":
            raise self.fail(key, "is fused by cross attention, which is only supported for tensor conditioners")
        if kind == "tensor" and fuse == "sum":
            raise self.fail(key, "is a tensor fused by sum, which is only supported for lut conditioners")
        bins = entry.get("n_bins", 0)
        if kind == "lut" and (not isinstance(bins, int) or bins < len(values or ()) or bins < 1):
            raise self.fail(f"{key}.n_bins", f"is {bins!r}, too few for {len(values or ())} values")
        return Conditioner(
            name=name,
            kind=kind,
            fuse=fuse,
            dim=width,
            bins=int(bins),
            values=None if values is None else tuple(values),
            projected=bool(entry.get("force_linear", True)) or width != dim,
            learnt_padding=bool(entry.get("learn_padding", True)),
        )
