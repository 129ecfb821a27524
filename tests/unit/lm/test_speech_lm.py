"""The speech model on the fixture beside what `moshi` answered: every logit, every token, and the state of sessions.

tests/fixtures/kyutai-tiny/reference.npz was recorded from moshi by scripts/tools/fixtures/speech.py: 200 frames, more
than eight times the context of 24, with random inputs among which some are missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from noctule.core.errors import InputError, ModelError
from noctule.lm.sampler import Sampling
from noctule.lm.speech.graph import Temporal
from noctule.lm.speech.model import SpeechModel
from noctule.lm.speech.session import Hooks, SpeechSampling
from noctule.lm.speech.streams import UNGENERATED, ZERO

FIXTURE = Path(__file__).parents[2] / "fixtures" / "kyutai-tiny"
GREEDY = SpeechSampling(Sampling(temperature=0.0), Sampling(temperature=0.0))
U = UNGENERATED


@pytest.fixture(scope="module")
def model() -> Iterator[SpeechModel]:
    loaded = SpeechModel.load(FIXTURE / "lm")
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    with np.load(FIXTURE / "reference.npz") as z:
        return {name: z[name] for name in z.files}


def relative(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def test_every_logit_equals_moshi_over_eight_contexts(model, reference):
    temporal = Temporal(model.model)
    frames = reference["codes"].shape[1]
    assert frames > 8 * temporal.context
    assert (reference["codes"] == -1).any()
    for t in range(frames):
        hidden, logits = temporal.step(model.rows.temporal(reference["codes"][:, t].astype(np.int32)))
        assert relative(logits, reference["text_logits"][t]) < 1e-4, t
        given = reference["depth_tokens"][t].astype(np.int32).tolist()
        seen: list[np.ndarray] = []
        # choose(q) answers what codebook q + 1 reads next; the last answer is not used
        answers = [*given[1:], 0]

        def replay(q: int, found: np.ndarray, seen=seen, answers=answers) -> int:
            seen.append(found)
            return answers[q]

        model.depformer.run(hidden, given[0], model.rows, replay)
        for q in range(3):
            assert relative(seen[q], reference["audio_logits"][t, q]) < 1e-4, (t, q)
        for j, wanted in enumerate(reference["extra"][t]):
            found = np.exp(temporal.extra()[j])
            assert relative(found / found.sum(), wanted) < 1e-4


def test_the_ring_is_exact_over_twelve_contexts(model):
    """Two layers of attention over the last 24 frames see 47 frames: a fresh run over those 47 must agree."""
    rng = np.random.default_rng(9)
    frames = 12 * 24 + 13
    codes = rng.integers(0, 24, (7, frames)).astype(np.int32)
    long = Temporal(model.model)
    answers = [long.step(model.rows.temporal(codes[:, t]))[1] for t in range(frames)]
    assert long.position > 12 * long.context
    for end in (47, 96, 150, frames):
        fresh = Temporal(model.model)
        for t in range(end - 47, end):
            logits = fresh.step(model.rows.temporal(codes[:, t]))[1]
        assert relative(logits, answers[end - 1]) < 1e-4, end


def test_growing_into_the_next_bucket_changes_nothing(model):
    small, large = Temporal(model.model), Temporal(model.model)
    large._grow()
    assert (small.bucket, large.bucket) == (8, 24)
    rows = np.random.default_rng(1).integers(0, 215, (30, 1, 7)).astype(np.int32)
    for t, row in enumerate(rows):
        assert small.bucket == (8 if t <= 8 else 24)
        assert relative(small.step(row)[1], large.step(row)[1]) < 1e-5
    small.reset()
    assert small.bucket == 8
    large.reset()
    assert relative(small.step(rows[0])[1], large.step(rows[0])[1]) < 1e-6


def generate(session, heard: np.ndarray) -> np.ndarray:
    nothing = np.full(session.layout.written, -3)
    out = [session.step(heard[:, t].astype(np.int32)) for t in range(heard.shape[1])]
    return np.array([nothing if frame is None else frame for frame in out])


def test_greedy_tokens_equal_moshi_on_every_stream(model, reference):
    got = generate(model.session(sampling=GREEDY), reference["heard"])
    np.testing.assert_array_equal(got, reference["greedy"])


def test_sampled_tokens_equal_moshi_fed_the_same_uniforms(model, reference):
    numbers = iter(reference["uniforms"].reshape(-1).tolist())
    got = generate(model.session(uniforms=lambda: next(numbers)), reference["heard"])
    np.testing.assert_array_equal(got, reference["sampled"])
    assert next(numbers, None) is None  # one number for each token, none left over


def test_nothing_comes_until_the_delays_fill(model):
    session = model.session(sampling=GREEDY)
    assert session.step([1, 2, 3]) is None
    frame = session.step([1, 2, 3])
    assert frame is not None
    assert frame.shape == (4,)
    assert session.steps == 2


def test_two_conversations_never_share_state(model, reference):
    heard = reference["heard"][:, :60]
    alone = generate(model.session(seed=5), heard)
    other_heard = (heard + 7) % 24
    other_alone = generate(model.session(seed=6), other_heard)
    a, b = model.session(seed=5), model.session(seed=6)
    mixed: tuple[list, list] = ([], [])
    for t in range(60):
        # uneven turns: b runs ahead by three, then a catches up
        for session, source, into in ((b, other_heard, mixed[1]), (a, heard, mixed[0])):
            frame = session.step(source[:, t].astype(np.int32))
            into.append(np.full(4, -3) if frame is None else frame)
    np.testing.assert_array_equal(np.array(mixed[0]), alone)
    np.testing.assert_array_equal(np.array(mixed[1]), other_alone)


def test_reset_begins_anew(model, reference):
    session = model.session(seed=3)
    first = generate(session, reference["heard"][:, :50])
    session.reset()
    assert session.steps == 0
    np.testing.assert_array_equal(generate(session, reference["heard"][:, :50]), first)


def test_the_seed_decides(model, reference):
    heard = reference["heard"][:, :30]
    assert not np.array_equal(generate(model.session(seed=1), heard), generate(model.session(seed=2), heard))


def test_forced_tokens_replace_and_condition(model, reference):
    """Forcing what the model wrote itself changes nothing; forcing one stream changes the others."""
    heard = reference["heard"][:, :40]
    written = []
    free = model.session(sampling=GREEDY, hooks=Hooks(audio=lambda a: written.append(a.copy()) or a))
    texts: list[int] = []
    free.hooks = Hooks(text=lambda t: texts.append(t) or t, audio=lambda a: written.append(a.copy()) or a)
    out = generate(free, heard)
    again = model.session(sampling=GREEDY)
    forced = []
    for t in range(40):
        frame = again.step(heard[:, t].astype(np.int32), force=np.array([texts[t], *written[t]], np.int32))
        forced.append(np.full(4, -3) if frame is None else frame)
    np.testing.assert_array_equal(np.array(forced), out)

    partly = model.session(sampling=GREEDY)
    for t in range(40):
        frame = partly.step(heard[:, t].astype(np.int32), force=np.array([U, 7, U, U], np.int32))
        assert frame is None or frame[1] == 7
    with pytest.raises(InputError, match="forced, but the model writes 4"):
        partly.step([0, 0, 0], force=np.array([1, 2], np.int32))
    with pytest.raises(InputError, match="codebooks have 24"):
        partly.step([0, 0, 0], force=np.array([1, 99, 0, 0], np.int32))


def test_a_fully_forced_frame_leaves_the_depformer_out(model):
    calls: list[int] = []
    session = model.session(sampling=GREEDY, hooks=Hooks(text=lambda t: calls.append(0) or t))
    session._depformer = None  # it would be an error to need it
    session.step(force=np.array([U, ZERO, ZERO, ZERO], np.int32))
    assert calls == [0]
    with pytest.raises(ModelError, match="no depformer"):
        session.step()


def test_hooks_come_in_order_and_may_change_what_is_written(model, reference):
    calls: list[str] = []

    def text_logits(logits: np.ndarray) -> None:
        calls.append("text_logits")
        logits[:] = -1.0
        logits[11] = 1.0

    def audio_logits(q: int, logits: np.ndarray) -> None:
        calls.append(f"audio_logits {q}")
        logits[:] = -1.0
        logits[q] = 1.0

    def text(token: int) -> int:
        calls.append(f"text {token}")
        return 12

    def audio(tokens: np.ndarray) -> np.ndarray:
        calls.append(f"audio {tokens.tolist()}")
        return np.where(tokens == 2, ZERO, tokens)

    hooks = Hooks(text_logits, text, audio_logits, audio, lambda f: calls.append(f"frame {f.tolist()}"))
    session = model.session(sampling=GREEDY, hooks=hooks)
    session.step()
    assert calls == [
        "text_logits", "text 11", "audio_logits 0", "audio_logits 1", "audio_logits 2", "audio [0, 1, 2]",
    ]  # fmt: skip
    frame = session.step()
    assert calls[-1] == f"frame {frame.tolist()}"
    assert frame.tolist() == [12, 0, 1, ZERO]


def test_missing_sound_is_zero_rows_not_silence(model):
    a, b = model.session(sampling=GREEDY), model.session(sampling=GREEDY)
    nothing = [a.step() for _ in range(10)]
    zeros = [b.step([ZERO] * 3) for _ in range(10)]
    np.testing.assert_array_equal(np.array(nothing[1:]), np.array(zeros[1:]))
    with pytest.raises(InputError, match="wants 3 from outside"):
        a.step([1, 2])
    with pytest.raises(InputError, match="codebooks have 24") as caught:
        a.step([1, 2, 999])
    assert "belongs to another model" in caught.value.hint


def test_repetition_penalty_never_falls_on_padding(model):
    """A huge penalty makes every word new, but padding may stay."""

    def always(token: int):
        def hook(logits: np.ndarray) -> None:
            logits[:] = 0.1
            logits[token] = 1.0

        return hook

    how = SpeechSampling(Sampling(temperature=0.0, repetition_penalty=10.0), Sampling(temperature=0.0))
    texts: list[int] = []
    word = model.session(sampling=how, hooks=Hooks(always(20), lambda t: texts.append(t) or t))
    for _ in range(4):
        word.step()
    assert texts[0] == 20
    assert texts[1] != 20
    texts.clear()
    padding = model.session(sampling=how, hooks=Hooks(always(3), lambda t: texts.append(t) or t))
    for _ in range(4):
        padding.step()
    assert texts == [3, 3, 3, 3]


def test_extra_heads_are_probabilities(model):
    session = model.session()
    session.step()
    heads = session.extra_heads()
    assert [h.shape for h in heads] == [(3,), (3,)]
    for head in heads:
        assert head.sum() == pytest.approx(1.0, abs=1e-6)


def test_fewer_codebooks_only_for_a_model_that_only_speaks(model):
    with pytest.raises(ModelError, match="made for duplex, not tts"):
        model.session(codebooks=2)
    with pytest.raises(InputError, match="1 to 3 codebooks"):
        model.session(codebooks=9)
    with pytest.raises(InputError, match="takes no condition 'speaker'"):
        model.session(conditions={"speaker": 1})
