"""Training noctule-tiny: what the loss looks at, how the learning rate runs, and that a cut is picked up exactly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from builders.text.generate import Example  # noqa: E402
from builders.text.model import Llama, Shape  # noqa: E402
from builders.text.train import Recipe, Trainer, collate, encode, rate  # noqa: E402
from noctule.assistant.actions.declared import SPECS  # noqa: E402 - torch decides whether there is anything to test
from noctule.assistant.actions.format import CallFormat, control_pieces  # noqa: E402

pytestmark = pytest.mark.host

CONTROL = {piece: 10 + at for at, piece in enumerate(control_pieces(SPECS))}
LETTERS = 10 + len(CONTROL)
SMALL = Shape(vocab=LETTERS + 128, dim=16, layers=2, heads=4, kv_heads=2, ffn=24, context=128)
FORM = CallFormat(lambda text: [LETTERS + ord(letter) % 128 for letter in text], CONTROL, 1, 2)
RECIPE = Recipe(seed=3, steps=6, batch=4, chunk=12, rates=((1, 1.0), (6, 0.0)), save_every=3)


def test_the_loss_is_on_the_call_and_little_on_what_the_grammar_forces() -> None:
    example = Example("tea timer ten hours", "timer.set", (("duration", "ten hours"), ("name", "tea")), "", "", "")
    prompt, answer = encode(replace(example, reply="Timer for {name} set: {length}."), FORM)
    batch = collate([(prompt, answer), (prompt, answer[:-1])], FORM, 0.3, 0.1)
    pieces = {token: piece for piece, token in CONTROL.items()} | {LETTERS + at: chr(at) for at in range(128)}
    told = [
        (pieces[int(target)], round(float(weight), 3))
        for target, weight in zip(batch.targets[0], batch.weights[0], strict=True)
        if target != -100
    ]
    assert told[:3] == [("<timer.set>", 1.0), ("<duration=>", 1.0), ("t", 1.0)]
    assert told[3:11] == [(letter, 0.1) for letter in "enhours"] + [("<name=>", 1.0)]
    assert told[11:15] == [("t", 1.0), ("e", 0.1), ("a", 0.1), ("<reply>", 1.0)]
    assert {weight for _, weight in told[15:]} == {0.3}
    # Nothing is learned from the request, nor from the padding.
    assert int((batch.weights[0] > 0).sum()) == len(answer)
    assert int((batch.weights[1] > 0).sum()) == len(answer) - 1
    assert bool((batch.targets[:, : len(prompt) - 1] == -100).all())


def test_positions_left_out_of_the_last_layer_change_nothing() -> None:
    torch.manual_seed(0)
    model = Llama(SMALL)
    tokens = torch.randint(0, SMALL.vocab, (3, 9))
    everything = model.hidden(tokens, torch.ones(3, 9, dtype=torch.bool)).view(3, 9, -1)
    wanted = torch.rand(3, 9) < 0.4
    torch.testing.assert_close(model.hidden(tokens, wanted), everything[wanted])
    # Causal: what comes later does not matter.
    tokens[:, 5:] = 7
    again = model.hidden(tokens, torch.ones(3, 9, dtype=torch.bool)).view(3, 9, -1)
    torch.testing.assert_close(again[:, :5], everything[:, :5])


def test_the_learning_rate_runs_between_the_knots() -> None:
    recipe = replace(RECIPE, rates=((3, 1.0), (5, 1.0), (9, 0.0)))
    assert [rate(recipe, step) for step in range(11)] == [0.25, 0.5, 0.75, 1, 1, 1, 0.75, 0.5, 0.25, 0, 0]


def test_a_cut_training_is_picked_up_exactly(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    whole = Trainer(RECIPE, SMALL, FORM, tmp_path / "whole").run(lambda text: None)
    first = Trainer(RECIPE, SMALL, FORM, tmp_path / "cut")
    kept = first.save

    def save() -> None:
        kept()
        raise KeyboardInterrupt

    first.save = save  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        first.run(lambda text: None)
    second = Trainer(RECIPE, SMALL, FORM, tmp_path / "cut")
    assert second.step == 3
    resumed = second.run(lambda text: None)
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    # Another recipe does not go on from it.
    assert Trainer(replace(RECIPE, seed=4), SMALL, FORM, tmp_path / "cut").step == 0
