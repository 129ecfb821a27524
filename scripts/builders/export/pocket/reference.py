"""pocket-tts as its authors' package `pocket_tts` runs it, for comparison; and checkpoints of random weights for it.

Nothing here is needed to export. torch and pocket_tts come from scripts/requirements-host.txt.
"""

from __future__ import annotations

import contextlib
import copy
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from builders.export.pocket.config import read_config
from builders.export.pocket.tokenizer import sentencepiece_file

Floats = npt.NDArray[np.float32]
_LETTERS = "etaoinshrdlucmfwypvbgkjqxzETAOINSHRDLUCMFWYPVBGKJQXZ0123456789.,;:!?'\"()-"


@dataclass
class Run:
    """Frames one by one: conditioning [n, z], logits of the end [n], latents [n, latent], sound [n, samples]."""

    hidden: Floats
    end: Floats
    latent: Floats
    pcm: Floats


def random_tokenizer(count: int, seed: int = 1) -> bytes:
    """A SentencePiece model of `count` pieces: the letters, and seeded syllables."""
    rng = np.random.default_rng(seed)
    pieces = ["<unk>", "\u2581", *_LETTERS][:count]
    known = set(pieces)
    while len(pieces) < count:
        word = "".join(rng.choice(list(_LETTERS[:26]), rng.integers(2, 6)))
        piece = f"\u2581{word}" if rng.random() < 0.4 else word
        if piece not in known:
            known.add(piece)
            pieces.append(piece)
    return sentencepiece_file([(p, -2.0 - 0.001 * i) for i, p in enumerate(pieces)])


def random_checkpoint(
    raw: dict[str, Any], folder: Path, name: str = "random", seed: int = 0, *, half: bool = False
) -> Path:
    """Write NAME.yaml, model.safetensors and tokenizer.model of seeded random weights; returns the YAML's path.

    raw: a configuration of pocket_tts; its paths are replaced. The weights are drawn so that every part matters:
    norms and layer scales away from their resting values. half: stored as bfloat16.
    """
    import safetensors.torch
    import torch
    import yaml
    from pocket_tts.models.mimi import build_mimi
    from pocket_tts.models.tts_model import TTSModel
    from pocket_tts.utils.config import Config

    raw = copy.deepcopy(raw)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer, weights, path = folder / "tokenizer.model", folder / "model.safetensors", folder / f"{name}.yaml"
    tokenizer.write_bytes(random_tokenizer(int(raw["flow_lm"]["lookup_table"]["n_bins"])))
    raw["flow_lm"]["lookup_table"].update(tokenizer="sentencepiece", tokenizer_path=str(tokenizer))
    raw["weights_path"] = str(weights)
    raw.pop("weights_path_without_voice_cloning", None)
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    config = Config(**raw)
    torch.manual_seed(seed)
    model = TTSModel._from_pydantic_config(config, 0.3, 1, None, -4.0, None)
    inner = config.mimi.inner_dim or config.mimi.seanet.dimension
    model.flow_lm.speaker_proj_weight = torch.nn.Parameter(
        torch.randn(config.flow_lm.transformer.d_model, inner) * 0.1
    )
    model.mimi = build_mimi(config.mimi)
    tensors = {key: _drawn(key, value) for key, value in model.state_dict().items()}
    if half:
        tensors = {key: value.to(torch.bfloat16) for key, value in tensors.items()}
    safetensors.torch.save_file(tensors, weights)
    return path


def _drawn(name: str, value: Any) -> Any:
    import torch

    if name.endswith("freqs"):
        return value.contiguous()
    if name.endswith(("emb_std", "alpha", "norm1.weight", "norm2.weight", "in_ln.weight", "out_norm.weight")):
        return 1 + 0.2 * torch.randn_like(value)
    if name.endswith((".scale", "layer_scale_1.scale", "layer_scale_2.scale")):
        return 0.3 + 0.1 * torch.randn_like(value)
    if name.endswith(("emb_mean", "norm1.bias", "norm2.bias", "in_ln.bias", "out_norm.bias")):
        return 0.2 * torch.randn_like(value)
    if name.endswith("conditioner.embed.weight"):
        return 0.7 * value
    return value.contiguous()


def local_config(path: Path, folder: Path) -> Path:
    """The configuration with its files beside it, in `folder`: pocket_tts would fetch the published ones."""
    import yaml

    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    config = read_config(path)
    raw["weights_path"] = str((path.parent / config.weights).absolute())
    raw["flow_lm"]["lookup_table"]["tokenizer_path"] = str((path.parent / config.tokenizer).absolute())
    target = folder / path.name
    target.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return target


class Reference:
    """A checkpoint opened by pocket_tts."""

    def __init__(self, config: Path, steps: int = 1) -> None:
        from pocket_tts.models.tts_model import TTSModel

        with tempfile.TemporaryDirectory() as scratch:
            local = local_config(config, Path(scratch))
            self.model = TTSModel.load_model(config=local, sampler_decode_steps=steps)
        self.model.eval()

    def saved(self, path: Path) -> Any:
        """The state of a saved voice."""
        return self.model.get_state_for_audio_prompt(path)

    def state(self, pcm: Floats | None) -> Any:
        """The state after a voice of [samples], or of nothing."""
        import torch
        from pocket_tts.modules.stateful_module import init_states

        if pcm is None:
            return init_states(self.model.flow_lm, batch_size=1, sequence_length=0)
        return self.model.get_state_for_audio_prompt(torch.from_numpy(pcm)[None])

    def run(self, state: Any, tokens: list[int], noise: Floats) -> Run:
        """Frames after a prompt of tokens, one for each row of noise [n, latent], whatever the end says."""
        import torch
        from pocket_tts.modules.stateful_module import increment_steps, init_states

        model, state = self.model, copy.deepcopy(state)
        steps = round(model.mimi.encoder_frame_rate / model.mimi.frame_rate)
        hidden: list[Any] = []
        ends: list[Any] = []
        latents: list[Floats] = []
        sounds: list[Floats] = []
        hooks = [
            model.flow_lm.flow_net.register_forward_pre_hook(lambda _, args: hidden.append(args[0])),
            model.flow_lm.out_eos.register_forward_hook(lambda _, __, out: ends.append(out)),
        ]
        try:
            with torch.no_grad():
                text = torch.tensor([tokens])
                needed = model._flow_lm_current_end(state) + text.shape[1] + len(noise)
                model._expand_kv_cache(state, sequence_length=needed)
                with given_noise(noise[:1]):
                    model._run_flow_lm_and_increment_step(model_state=state, text_tokens=text)
                mimi = init_states(model.mimi, batch_size=1, sequence_length=len(noise) * steps)
                latent = torch.full((1, 1, model.flow_lm.ldim), float("nan"))
                kept: list[tuple[Any, Any]] = []
                for row in noise:
                    hidden.clear(), ends.clear()
                    with given_noise(row[None]):
                        latent, _ = model._run_flow_lm_and_increment_step(
                            model_state=state, backbone_input_latents=latent
                        )
                    kept.append((hidden[0][0].numpy().copy(), float(ends[0].reshape(-1)[0])))
                    latents.append(latent.reshape(-1).numpy().copy())
                    scaled = latent * model.flow_lm.emb_std + model.flow_lm.emb_mean
                    sounds.append(model.mimi.decode_from_latent(scaled, mimi).reshape(-1).numpy().copy())
                    increment_steps(model.mimi, mimi, increment=steps)
        finally:
            for hook in hooks:
                hook.remove()
        return Run(
            np.stack([h for h, _ in kept]), np.asarray([e for _, e in kept], np.float32), np.stack(latents),
            np.stack(sounds),
        )  # fmt: skip

    def say(self, state: Any, text: str, noise: Floats, threshold: float) -> Floats:
        """A whole text as `generate_audio` speaks it, every frame with the same noise [latent]; float32 [samples]."""
        self.model.eos_threshold = threshold
        self.model.max_decoder_frames_per_call = 1
        with given_noise(noise[None]):
            sound: Floats = self.model.generate_audio(state, text).numpy()
        return sound

    def chunks(self, text: str) -> list[tuple[str, list[int], int]]:
        """Text, tokens and frames after the end of each chunk."""
        from pocket_tts.default_parameters import MAX_TOKEN_PER_CHUNK
        from pocket_tts.models.text_chunking import prepare_text_prompt, split_into_best_sentences

        m, tokenizer = self.model, self.model.flow_lm.conditioner.tokenizer
        rules = (
            m.pad_with_spaces_for_short_inputs,
            m.remove_semicolons,
            m.append_terminal_punctuation,
            m.capitalize_first_letter,
            m.replace_characters,
        )
        found = []
        for piece in split_into_best_sentences(tokenizer, text, MAX_TOKEN_PER_CHUNK, *rules):
            prepared, frames = prepare_text_prompt(piece, *rules)
            own = m.model_recommended_frames_after_eos
            found.append((prepared, tokenizer.encode(prepared), frames + 2 if own is None else own))
        return found


@contextlib.contextmanager
def given_noise(rows: Floats) -> Iterator[None]:
    """Whatever pocket_tts draws is this noise."""
    import torch

    drawn = torch.nn.init.normal_

    def fill(tensor: Any, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Any:
        return tensor.copy_(torch.from_numpy(rows).expand_as(tensor))

    torch.nn.init.normal_ = fill
    try:
        yield
    finally:
        torch.nn.init.normal_ = drawn
