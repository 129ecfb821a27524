"""The sampler's law against exact probabilities, by an implementation that takes no short cuts and by chi-square."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from noctule.core.errors import InputError, ModelError
from noctule.lm import sampler, top_k
from noctule.lm.sampler import AudioSampling, Sampler, Sampling, TextSampling, choose, probabilities

Reals = NDArray[np.float64]


def exact(logits: NDArray[Any], how: Sampling, history: Any = (), mask: NDArray[np.bool_] | None = None) -> Reals:
    """The law as the docstring tells it, over Python lists, one token at a time."""
    x = [float(v) for v in logits]
    for token in set(map(int, history)):
        x[token] = x[token] / how.repetition_penalty if x[token] > 0 else x[token] * how.repetition_penalty
    left = [i for i in range(len(x)) if mask is None or mask[i]]
    order = sorted(left, key=lambda i: (-x[i], i))
    if 0 < how.top_k < len(order):
        order = order[: how.top_k]
    weights = [math.exp((x[i] - x[order[0]]) / how.temperature) for i in order]
    total = sum(weights)
    p = [w / total for w in weights]
    count = len(p)
    if how.top_p < 1.0:
        held = 0.0
        for count_here, share in enumerate(p, 1):
            held += share
            if held >= how.top_p - 1e-12:
                count = count_here
                break
    kept = [i for i, share in zip(order[:count], p, strict=False) if share >= how.min_p * p[0] * (1 - 1e-12)]
    out = np.zeros(len(x))
    for i in kept:
        out[i] = p[order.index(i)]
    return out / out.sum()


SETTINGS = {
    "plain": Sampling(temperature=0.7),
    "hot": Sampling(temperature=3.0),
    "k5": Sampling(temperature=0.8, top_k=5),
    "k1": Sampling(temperature=0.8, top_k=1),
    "k=V": Sampling(temperature=0.8, top_k=40),
    "k>V": Sampling(temperature=0.8, top_k=1000),
    "p.9": Sampling(temperature=1.0, top_p=0.9),
    "p0": Sampling(temperature=1.0, top_p=0.0),
    "k8p.5": Sampling(temperature=1.3, top_k=8, top_p=0.5),
    "min.1": Sampling(temperature=1.0, min_p=0.1),
    "min1": Sampling(temperature=1.0, min_p=1.0),
    "all": Sampling(temperature=0.9, top_k=20, top_p=0.95, min_p=0.02, repetition_penalty=1.3),
}


def logits_of(seed: int, size: int = 40) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).standard_normal(size) * 2).astype(np.float32)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("masked", [False, True])
def test_probabilities_are_the_law(name: str, masked: bool) -> None:
    how = SETTINGS[name]
    for seed in range(5):
        x = logits_of(seed)
        history = np.random.default_rng(seed).integers(0, x.size, 12)
        mask = np.random.default_rng(seed).random(x.size) < 0.4 if masked else None
        np.testing.assert_allclose(
            probabilities(x, how, history, mask), exact(x, how, history, mask), rtol=2e-6, atol=1e-12
        )


@pytest.mark.parametrize("name", SETTINGS)
def test_draws_follow_the_law_by_chi_square(name: str) -> None:
    how = SETTINGS[name]
    x = logits_of(1)
    draw = Sampler(how, seed=5)
    counts = np.bincount([draw.sample(x, (3, 3, 17)) for _ in range(6000)], minlength=x.size)
    assert chi_square_ok(counts, exact(x, how, (3, 17)))


def test_draws_over_many_tokens_follow_the_law() -> None:
    """Above 4096 tokens block maxima, sampled edges and block sums come into play; grouped by 64 ids."""
    x = logits_of(2, 6000)
    for how in (
        Sampling(temperature=1.0),
        Sampling(temperature=1.0, top_k=3000),
        Sampling(temperature=1.5, top_p=0.9),
        Sampling(temperature=1.0, min_p=0.001),
    ):
        p = probabilities(x, how)
        groups = np.arange(x.size) % 64
        counts = np.bincount(groups[[choose(x, how, u) for u in np.random.default_rng(3).random(1500)]], minlength=64)
        assert chi_square_ok(counts, np.bincount(groups, weights=p, minlength=64))


def chi_square_ok(counts: NDArray[np.int64], p: Reals) -> bool:
    """Pearson's test at the 1e-4 level (Wilson-Hilferty), cells expecting fewer than 5 put together."""
    n = counts.sum()
    assert counts[p == 0].sum() == 0
    expected = p * n
    small = (expected < 5) & (p > 0)
    cells = list(zip(counts[~small & (p > 0)], expected[~small & (p > 0)], strict=True))
    if small.any() and expected[small].sum() > 0:
        cells.append((counts[small].sum(), expected[small].sum()))
    freedom = len(cells) - 1
    if freedom < 1:
        return True
    statistic = sum((c - e) ** 2 / max(e, 1e-9) for c, e in cells)
    z = ((statistic / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) / math.sqrt(2 / (9 * freedom))
    return z < 3.72


@pytest.mark.parametrize("size", [40, 5000])
def test_ties_at_the_edge_go_to_the_lower_ids(size: int) -> None:
    x = np.zeros(size, np.float32)
    x[7] = 1.0
    p = probabilities(x, Sampling(temperature=1.0, top_k=4))
    assert np.flatnonzero(p).tolist() == [0, 1, 2, 7]
    assert choose(x, Sampling(temperature=0.0), 0.0) == 7
    assert choose(np.zeros(size, np.float32), Sampling(temperature=0.0), 0.0) == 0
    p = probabilities(np.zeros(size, np.float32), Sampling(temperature=1.0, top_p=0.5))
    assert np.flatnonzero(p).tolist() == list(range(size // 2))
    assert probabilities(np.zeros(size, np.float32), Sampling(temperature=1.0, min_p=1.0)).min() > 0


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 999), k=st.integers(1, 6000), ties=st.booleans(), size=st.integers(4097, 9000))
def test_pruning_by_blocks_finds_the_same_largest(seed: int, k: int, ties: bool, size: int) -> None:
    x = logits_of(seed, size)
    x = np.round(x).astype(np.float32) if ties else x
    k = min(k, size)
    wanted = np.sort(np.argsort(-x, kind="stable")[:k])
    np.testing.assert_array_equal(top_k.largest(x, k), wanted)


@pytest.mark.parametrize("size", [9, 5000])
@pytest.mark.parametrize("temperature", [5e-324, 1e-300, 1e-40, 0.99e-4])
@pytest.mark.parametrize("how", [{}, {"top_k": 3}, {"top_p": 0.9}, {"min_p": 0.1}], ids=str)
def test_a_temperature_next_to_nothing_is_greedy(size: int, temperature: float, how: dict[str, float]) -> None:
    """Among equals the lowest id, and no warning of a number that overflowed (warnings are errors here)."""
    x = np.random.default_rng(1).normal(0, 30, size).astype(np.float32)
    x[[4, 7]] = 500.0
    cold = Sampling(temperature=temperature, **how)  # type: ignore[arg-type]
    assert {choose(x, cold, u) for u in (0.0, 0.5, 0.999)} == {4}
    assert probabilities(x, cold)[4] == 1.0
    assert Sampler(cold, 1).sample(x) == 4


@pytest.mark.parametrize("size", [9, 5000])
@pytest.mark.parametrize("how", [{}, {"top_k": 3}, {"top_p": 0.9}, {"min_p": 0.1}], ids=str)
def test_the_coldest_temperature_that_is_not_greedy(size: int, how: dict[str, float]) -> None:
    x = np.random.default_rng(1).normal(0, 30, size).astype(np.float32)
    x[[4, 7]] = 500.0
    x[5] = -3e38  # what some exporters write for "never"
    cold = Sampling(temperature=1e-4, **how)  # type: ignore[arg-type]
    assert {choose(x, cold, u) for u in (0.0, 0.9)} == {4, 7}
    assert probabilities(x, cold)[[4, 7]] == pytest.approx([0.5, 0.5])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), temperature=st.floats(0.05, 9.0), top_p=st.floats(0.0, 0.999))
def test_the_nucleus_of_a_large_vocabulary_is_the_exact_one(seed: int, temperature: float, top_p: float) -> None:
    x = logits_of(seed, 6000)
    how = Sampling(temperature=temperature, top_p=top_p)
    order = np.argsort(-x, kind="stable")
    weights = np.exp((x[order].astype(np.float64) - x.max()) / temperature)
    count = int(np.searchsorted(np.cumsum(weights) / weights.sum(), top_p)) + 1
    assert abs(int(np.count_nonzero(probabilities(x, how))) - count) <= 1  # float32 sums at the very edge


def test_order_of_large_sets_is_stable_also_around_zero() -> None:
    x = np.round(logits_of(4, 9000)).astype(np.float32)
    x[::3] *= -1.0
    x[1::7] = -np.inf
    np.testing.assert_array_equal(top_k.falling(x), np.argsort(-x.astype(np.float64), kind="stable"))


def test_uniform_numbers_invert_the_cumulative_law() -> None:
    x = np.log(np.array([0.1, 0.4, 0.2, 0.3], np.float32))
    falling = Sampling(temperature=1.0, top_k=3)  # order 1, 3, 2 with 4/9, 3/9, 2/9
    assert [choose(x, falling, u) for u in (0.0, 0.44, 0.45, 0.77, 0.78, 0.999999)] == [1, 1, 3, 3, 2, 2]
    rising = Sampling(temperature=1.0)  # order 0, 1, 2, 3
    assert [choose(x, rising, u) for u in (0.0, 0.099, 0.101, 0.49, 0.51, 0.71)] == [0, 0, 1, 1, 2, 3]
    draw = Sampler(rising, seed=0)
    assert draw.sample_with(x, 0.51) == 2
    assert draw.sample_with(x, 0.51, mask=np.array([0, 3])) == 3
    assert draw.sample(x) == Sampler(rising, seed=0).sample(x)


@settings(max_examples=60, deadline=None)
@given(u=st.floats(0, 1, exclude_max=True), seed=st.integers(0, 99), size=st.sampled_from([50, 4097, 8200]))
def test_a_token_of_no_weight_never_comes(u: float, seed: int, size: int) -> None:
    x = logits_of(seed, size)
    x[::2] = -np.inf
    x[-9:] = -np.inf
    for how in (Sampling(), Sampling(top_k=7), Sampling(top_p=0.9)):
        assert np.isfinite(x[choose(x, how, u)])
    assert np.isfinite(x[choose(x, Sampling(), math.nextafter(1.0, 0.0))])


def test_one_seed_one_sequence() -> None:
    x = logits_of(3)
    first = Sampler(Sampling(), 1).sample(x)
    a, b, c = Sampler(Sampling(), 1), Sampler(Sampling(), 1), Sampler(Sampling(), 2)
    run_a, run_b, run_c = ([s.sample(x) for _ in range(30)] for s in (a, b, c))
    assert run_a == run_b != run_c
    assert first == run_a[0]


def test_greedy_takes_the_largest_after_penalty_and_mask_and_draws_nothing() -> None:
    x = np.array([1.0, 3.0, 2.9, -1.0], np.float32)
    greedy = Sampling(temperature=0.0, repetition_penalty=2.0)
    assert choose(x, greedy, 0.0) == 1
    assert choose(x, greedy, 0.0, history=[1, 1, 1]) == 2
    assert choose(x, greedy, 0.0, history=[1], mask=np.array([True, True, False, True])) == 1
    assert choose(x, greedy, 0.0, mask=np.array([3])) == 3
    assert probabilities(x, greedy).tolist() == [0, 1, 0, 0]
    draw = Sampler(greedy, 0)
    assert [draw.sample(x) for _ in range(3)] == [1, 1, 1]


def test_penalty_counts_each_token_once_and_leaves_the_logits_alone() -> None:
    x = np.array([2.0, -2.0, 1.0], np.float32)
    how = Sampling(temperature=1.0, repetition_penalty=2.0)
    weights = np.exp([1.0, -4.0, 1.0])
    np.testing.assert_allclose(probabilities(x, how, [0, 0, 0, 1]), weights / weights.sum(), rtol=1e-6)
    assert x.tolist() == [2.0, -2.0, 1.0]


def test_masks_as_booleans_and_as_ids_mean_the_same() -> None:
    x = logits_of(6)
    mask = np.zeros(40, np.bool_)
    mask[[30, 2, 9]] = True
    for how in SETTINGS.values():
        for ids in (np.array([30, 2, 9], np.int32), np.array([2, 2, 9, 30, 30], np.int64)):
            np.testing.assert_array_equal(probabilities(x, how, mask=mask), probabilities(x, how, mask=ids))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("how", [Sampling(), Sampling(temperature=0.0), Sampling(top_k=3)], ids=str)
@pytest.mark.parametrize("mask", [None, np.array([0, 1])])
def test_numbers_that_are_none_are_an_error_never_a_token(bad: float, how: Sampling, mask: Any) -> None:
    x = logits_of(0)
    x[5] = bad
    with pytest.raises(ModelError, match=r"logit for token 5 is (not a number|infinite)"):
        choose(x, how, 0.5, mask=mask)


@pytest.mark.parametrize("how", [Sampling(), Sampling(temperature=0.0), Sampling(top_k=3)], ids=str)
def test_nothing_left_is_an_error(how: Sampling) -> None:
    x = logits_of(0)
    for mask in (np.zeros(40, np.bool_), np.array([], np.int64)):
        with pytest.raises(ModelError, match="the constraint allows no token"):
            choose(x, how, 0.5, mask=mask)
    x[3] = -np.inf
    with pytest.raises(ModelError, match="the constraint allows no token"):
        choose(x, how, 0.5, mask=np.array([3]))
    with pytest.raises(ModelError, match="every logit is -inf"):
        choose(np.full(4, -np.inf, np.float32), how, 0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"logits": np.zeros((2, 3), np.float32)}, "one row"),
        ({"logits": np.zeros(0, np.float32)}, "one row"),
        ({"logits": np.zeros(3, np.int32)}, "float32 or float64"),
        ({"history": [3]}, "history holds a token outside 0..2"),
        ({"history": [-1]}, "history holds a token outside"),
        ({"mask": np.ones(4, np.bool_)}, "mask has 4 entries for 3 logits"),
        ({"mask": np.array([3])}, "mask holds a token outside"),
        ({"mask": np.array([0.5])}, "booleans or token ids"),
        ({"mask": np.ones((1, 3), np.bool_)}, "one dimension"),
        ({"uniform": 1.0}, r"\[0, 1\)"),
        ({"uniform": -0.1}, r"\[0, 1\)"),
    ],
)
def test_wrong_arguments_are_one_sentence(arguments: dict[str, Any], message: str) -> None:
    given_all: dict[str, Any] = {
        "logits": np.zeros(3, np.float32),
        "how": Sampling(repetition_penalty=1.1),
        "uniform": 0.5,
    }
    with pytest.raises(InputError, match=message):
        choose(**(given_all | arguments))


def test_leading_dimensions_of_one_are_taken() -> None:
    assert choose(np.array([[[0.0, 9.0]]], np.float32), Sampling(temperature=0.0), 0.0) == 1


@pytest.mark.parametrize(
    "values",
    [{"temperature": -1}, {"temperature": math.nan}, {"top_k": -1}, {"top_k": 1.5}, {"top_p": 1.1}, {"min_p": -0.1},
     {"repetition_penalty": 0.0}, {"temperature": True}, {"top_p": "1"}],
)  # fmt: skip
def test_settings_have_bounds(values: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"sampling: {next(iter(values))} must be"):
        Sampling(**values)


def test_settings_for_text_and_audio_are_apart_and_can_be_overlaid() -> None:
    assert (TextSampling().top_k, AudioSampling().top_k) == (40, 250)
    mixed = sampler.settings(TextSampling(), {"temperature": 0.1, "top_k": 3.0})
    assert mixed == TextSampling(temperature=0.1, top_k=3)
    assert isinstance(mixed, TextSampling)
    with pytest.raises(InputError, match="no setting 'topk'"):
        sampler.settings(TextSampling(), {"topk": 3})
    assert not Sampling().filters
    assert AudioSampling().filters
