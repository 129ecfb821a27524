"""The voice's torch models against what the device runs: moshi's own model, and the step graphs."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest

os.environ.setdefault("NO_TORCH_COMPILE", "1")
torch = pytest.importorskip("torch")
pytest.importorskip("moshi")

from moshi.models import loaders  # noqa: E402

from builders.export.kyutai.layers import Precision  # noqa: E402
from builders.export.kyutai.reference import FILE_KEYS  # noqa: E402
from builders.speech.hearing.network import Encoder, from_codes, grid  # noqa: E402
from builders.speech.shape import CARD, CODEBOOKS  # noqa: E402
from builders.speech.voice.data import Line  # noqa: E402
from builders.speech.voice.decoder import Comparison, Decoder, DecoderShape  # noqa: E402
from builders.speech.voice.decoder_graph import EXACT, NETWORK, DecodeGraph  # noqa: E402
from builders.speech.voice.decoder_train import DecoderPlan, DecoderTrainer  # noqa: E402
from builders.speech.voice.tts import SpeakingModel, SpeakShape, digits_of, one_hot  # noqa: E402
from builders.speech.voice.tts_export import config, export_tts, write_checkpoint  # noqa: E402
from builders.speech.voice.tts_train import SpeakPlan, SpeakTrainer, train_pieces  # noqa: E402
from builders.speech.voice.unpack_voice import voice_weights  # noqa: E402
from builders.tflite.writer import Model  # noqa: E402
from noctule.inference import runtime as tflite  # noqa: E402
from noctule.lm.sampler import Sampling  # noqa: E402
from noctule.lm.speech.model import SpeechModel  # noqa: E402
from noctule.lm.speech.session import Hooks, SpeechSampling  # noqa: E402
from noctule.lm.speech.streams import UNGENERATED  # noqa: E402

pytestmark = pytest.mark.host

SHAPE = SpeakShape(
    dim=32, layers=2, heads=2, hidden=40, pieces=40, context=24, depth_dim=16, depth_heads=2, depth_hidden=12
)
SMALL = DecoderShape(front=24, front_layers=1, dim=16, layers=2)


def uneven(model):
    """Random weights whose norms and opening are not the plain ones they begin with."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "alpha" in name or "norm" in name or "opening" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture(scope="module")
def voice():
    torch.manual_seed(3)
    return uneven(SpeakingModel(SHAPE))


def streams(steps: int):
    """Packed text tokens [1, S] and codes [1, 8, S]."""
    torch.manual_seed(4)
    first = torch.randint(0, SHAPE.pieces, (1, steps))
    second = torch.randint(-1, SHAPE.pieces, (1, steps))
    return (second + 1) * (SHAPE.pieces + 1) + first, torch.randint(0, CARD, (1, CODEBOOKS, steps))


def logits_of(voice, text, codes):
    """Our text logits [S, 4] and audio logits [8, S, 1024]."""
    digits = digits_of(codes.transpose(1, 2))
    before = torch.cat([torch.full((1, 1), SHAPE.pieces), text[:, :-1]], 1)
    heard = one_hot(torch.cat([torch.zeros_like(digits[:, :1]), digits[:, :-1]], 1)).flatten(-2)
    heard[:, 0] = 0
    with torch.no_grad():
        hidden = voice.temporal(before, heard)
        parts = voice.depth(hidden[0], text[0], one_hot(digits[0]))
        every = one_hot((grid() + 1.5).long()).view(CARD, 5, 4)
        return voice.begins(hidden)[0], torch.einsum("qndl,cdl->qnc", parts, every)


def test_moshi_loads_the_weights_and_says_the_same(voice):
    described = {key: value for key, value in config(SHAPE).items() if key not in FILE_KEYS}
    other = loaders.get_moshi_lm(None, json.loads(json.dumps(described)), dtype=torch.float32)
    other.load_state_dict(voice.checkpoint(), strict=True)
    text, codes = streams(16)
    with torch.no_grad():
        theirs = other.eval()(torch.cat([text[:, None], codes], 1))
    marks, audio = logits_of(voice, text, codes)
    torch.testing.assert_close(marks, theirs.text_logits[0, 0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(audio, theirs.logits[0], rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def package(voice, tmp_path_factory):
    folder = tmp_path_factory.mktemp("voice")
    train_pieces(folder / "pieces.model", ["turn on the light", "what time is it", "set a timer"] * 9, SHAPE.pieces)
    write_checkpoint(folder / "checkpoint", voice, folder / "pieces.model")
    export_tts(
        folder / "checkpoint", folder / "noctule-tts", lambda text: None, precision=Precision("float32", "float32")
    )
    model = SpeechModel.load(folder / "noctule-tts")
    yield model
    model.close()


def test_the_device_s_graphs_say_the_same(voice, package):
    text, _ = streams(10)
    greedy = Sampling(temperature=0.0)
    marks: list[np.ndarray] = []
    audio: list[np.ndarray] = []
    hooks = Hooks(
        text_logits=lambda logits: marks.append(logits.copy()),
        audio_logits=lambda q, logits: audio.append(logits.copy()),
    )
    session = package.session(sampling=SpeechSampling(greedy, greedy), hooks=hooks)
    written = []
    for step in range(10):
        forced = np.array([int(text[0, step]), *[UNGENERATED] * CODEBOOKS], np.int32)
        written.append(session.step(None, forced)[1:])
    theirs_text, theirs_audio = logits_of(voice, text, torch.from_numpy(np.stack(written, 1)[None]).long())
    np.testing.assert_allclose(np.stack(marks), theirs_text.numpy(), rtol=1e-3, atol=1e-4)
    mine = np.stack(audio).reshape(10, CODEBOOKS, CARD).swapaxes(0, 1)
    np.testing.assert_allclose(mine, theirs_audio.numpy(), rtol=1e-3, atol=1e-4)


def test_a_training_can_go_on_from_the_package(voice, package):
    again = SpeakingModel(SHAPE)
    again.load_state_dict(voice_weights(package.manifest.folder, SHAPE))
    text, codes = streams(10)
    for mine, theirs in zip(logits_of(again, text, codes), logits_of(voice, text, codes), strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-2, atol=2e-3)


def frames_of(path, codes, n=None):
    """Sound of codes [T, 8] through the step graph."""
    with tflite.load_model(path) as model:
        states = {name: name for name in model.signatures["decode"].inputs if name.startswith("state_")}
        runner = model.runner("decode", alias=states)
        out = []
        for i, frame in enumerate(codes[:n]):
            runner.write("codes", frame[None].astype(np.int32))
            runner.write("input_pos", np.array([i], np.int32))
            runner.run()
            out.append(runner.read("pcm").reshape(-1).copy())
    return np.concatenate(out)


@pytest.mark.parametrize(("precision", "noise"), [(EXACT, 50.0), (NETWORK, 15.0)])
def test_streaming_decode_is_the_decode_of_the_whole(tmp_path, precision, noise):
    torch.manual_seed(1)
    decoder = uneven(Decoder(SMALL))
    torch.nn.init.normal_(decoder.head.weight, std=0.2)
    model = Model(tmp_path, "test")
    DecodeGraph(model, {k: v.numpy() for k, v in decoder.state_dict().items()}, SMALL, precision).build()
    model.write(tmp_path / "decode.tflite")
    model.close()
    codes = np.random.default_rng(2).integers(0, CARD + 1, (12, CODEBOOKS))
    values = torch.cat([grid(), torch.zeros(1, 5)])[torch.from_numpy(codes)].flatten(-2)[None]
    with torch.no_grad():
        whole = decoder(values)[0].numpy()
    made = frames_of(tmp_path / "decode.tflite", codes)
    error = np.square(made - whole).mean() / np.square(whole).mean()
    assert -10 * np.log10(error) > noise  # dB


def test_the_transform_is_the_inverse_fourier_transform():
    decoder = Decoder(SMALL)
    torch.manual_seed(5)
    real, imaginary = torch.randn(1, 1, 321), torch.randn(1, 1, 321)
    even, odd = real @ decoder.even, imaginary @ decoder.odd
    window = torch.cat([even + odd, torch.flip((even - odd)[..., 1:-1], [-1])], -1)
    wanted = torch.fft.irfft(torch.complex(real, imaginary), norm="ortho") * torch.hann_window(640) / 2
    torch.testing.assert_close(window, wanted, rtol=1e-4, atol=1e-5)


def total(trainer):
    """The loss of one batch."""
    with torch.no_grad():
        return float(sum(trainer.losses().values()))


def test_the_decoder_learns(tmp_path):
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    codes = [torch.from_numpy(rng.integers(0, CARD, (30, CODEBOOKS)).astype(np.int16)) for _ in range(4)]
    sounds = [rng.normal(0, 0.1, 30 * 1280).astype(np.float32) for _ in range(4)]
    plan = DecoderPlan(steps=12, batch=2, frames=8, rate=3e-3)
    trainer = DecoderTrainer(sounds, codes, plan, 0)
    first = total(trainer)
    trainer.run(lambda text: None, tmp_path / "decoder.pt", "name")
    assert total(trainer) < first
    kept = torch.load(tmp_path / "decoder.pt")
    assert kept["encoder"] == "name"
    Decoder(DecoderShape(**kept["shape"])).load_state_dict(kept["decoder"])


def test_the_voice_learns_and_skips_what_is_not_a_number(tmp_path):
    rng = np.random.default_rng(0)
    lines = []
    for _ in range(6):
        text = rng.integers(0, SHAPE.pieces, 20)
        marks = np.arange(20) % 5 == 0
        codes = torch.from_numpy(rng.integers(0, CARD, (18, CODEBOOKS)).astype(np.int16))
        lines.append((Line(None, text, np.ones(20, bool), marks, 18, 0), codes))
    trainer = SpeakTrainer(lines, SHAPE, SpeakPlan(steps=15, batch=3, rate=5e-3), 0)
    said: list[str] = []
    trainer.run(said.append, tmp_path / "voice.pt", "name")
    kept = torch.load(tmp_path / "voice.pt")
    assert kept["step"] == 15
    SpeakingModel(SpeakShape(**kept["shape"])).load_state_dict(kept["voice"])
    with torch.no_grad():
        next(iter(trainer.model.parameters())).fill_(float("nan"))
    before = trainer.skipped
    trainer.course = replace(trainer.course, steps=trainer.step + 2)
    trainer.run(said.append, tmp_path / "other.pt", "name")  # the running mean is still sound
    assert trainer.skipped == before + 2


def test_comparison_of_a_sound_with_itself_is_nothing():
    sound = torch.randn(2, 8000)
    assert float(sum(Comparison()(sound, sound).values())) == pytest.approx(0, abs=1e-6)
    louder = sum(Comparison()(2 * sound, sound).values())
    assert float(louder) > 0.5


def test_from_codes_and_the_encoder_fit_the_decoder():
    assert from_codes(torch.zeros(1, 3, CODEBOOKS, dtype=torch.long)).shape == (1, 3, 40)
    assert Encoder()(torch.zeros(1, 16, 64)).shape == (1, 2, 40)
