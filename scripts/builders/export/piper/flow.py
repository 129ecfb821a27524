"""The prior's frames → the decoder's: VITS's flow run backwards, as a stream.

Every convolution keeps the last steps it has read, so that a clause is computed once however it is cut, and its first
frames are there while the rest is still to be done. A layer that looks two frames ahead gives its result two frames
late; `delay(voice)` is the sum, and that many frames of nothing after the last one bring out the rest. The changes of
place between the flows are folded into the order of the weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from builders.export.piper.checkpoint import Convolution, Voice
from builders.export.piper.encoder import speaker_rows
from builders.export.piper.operators import Layers
from builders.tflite.writer import Tensor


def flows(voice: Voice) -> list[int]:
    """The numbers of the coupling layers, in the order they are undone."""
    numbers = [n for n in range(0, 64, 2) if f"flow.flows.{n}.pre" in voice.convolutions]
    return numbers[::-1]


def _inner(voice: Voice, number: int) -> list[str]:
    return voice.numbered(f"flow.flows.{number}.enc.in_layers." + "{}")


def _ahead(voice: Voice, name: str) -> int:
    conv = voice.conv(name)
    return (conv.kernel.shape[2] - 1) * conv.dilation // 2


def delay(voice: Voice) -> int:
    """Frames after which a frame comes out again."""
    return sum(_ahead(voice, name) for number in flows(voice) for name in _inner(voice, number))


def state_rows(voice: Voice) -> int:
    """Rows of the state: what the convolutions read last, sums and frames that wait for them."""
    rows = 0
    for number in flows(voice):
        ahead = [_ahead(voice, name) for name in _inner(voice, number)]
        rows += sum(2 * n for n in ahead) + sum(ahead[1:]) + sum(ahead)
    return rows


@dataclass
class _State:
    """Hands out the rows of the old state one after the other, and gathers those of the new."""

    layers: Layers
    old: Tensor
    taken: int
    new: list[Tensor]

    def with_past(self, x: Tensor, rows: int) -> Tensor:
        """x [1, 1, F, c] behind its `rows` last steps, which are replaced by x's own for the next time."""
        g = self.layers.graph
        past = g.slice(self.old, [0, 0, self.taken, 0], [1, 1, rows, x.shape[3]])
        self.taken += rows
        both = g.concat([past, x], 2)
        self.new.append(g.slice(both, [0, 0, both.shape[2] - rows, 0], [1, 1, rows, x.shape[3]]))
        return both


def build_flow(layers: Layers, voice: Voice, frames: int) -> None:
    """Inputs: prior float32 [frames, channels]; mask float32 [delay + frames], 1 for the frames of the utterance, the
    last of which belong to `prior`; state float32 [rows, hidden], zeros before the first frame; of several speakers
    speaker int32 [1]. Outputs: latent float32 [frames, channels], `delay` frames late, and new_state."""
    g, half, late = layers.graph, voice.channels // 2, 0
    rows = state_rows(voice)
    x = g.reshape(g.input("prior", [frames, voice.channels]), [1, 1, frames, voice.channels])
    window = g.reshape(g.input("mask", [delay(voice) + frames]), [1, 1, delay(voice) + frames, 1])
    old = g.reshape(g.input("state", [rows, voice.hidden]), [1, 1, rows, voice.hidden])
    state = _State(layers, old, 0, [])
    speaker = speaker_rows(layers, voice)

    def mask(late: int) -> Tensor:
        return g.slice(window, [0, 0, delay(voice) - late, 0], [1, 1, frames, 1])

    x = g.mul(x, mask(0))
    for index, number in enumerate(flows(voice)):
        turned = index % 2 == 0
        low, high = layers.channels(x, 0, half), layers.channels(x, half, half)
        steps = [_ahead(voice, name) for name in _inner(voice, number)]
        masks = [mask(late + sum(steps[:i])) for i in range(len(steps) + 1)]
        shift = _shift(layers, voice, state, high if turned else low, masks, steps, speaker, number, turned)
        late += sum(steps)
        waiting = state.with_past(x, sum(steps))
        x = g.slice(waiting, [0, 0, 0, 0], [1, 1, frames, voice.channels])
        low, high = layers.channels(x, 0, half), layers.channels(x, half, half)
        if turned:
            x = g.concat([g.mul(g.sub(low, shift), masks[-1]), high], 3)
        else:
            x = g.concat([low, g.mul(g.sub(high, shift), masks[-1])], 3)
    g.output("latent", g.reshape(x, [frames, voice.channels]))
    g.output("new_state", g.reshape(g.concat(state.new, 2), [rows, voice.hidden]))


def _shift(
    layers: Layers,
    voice: Voice,
    state: _State,
    read: Tensor,
    masks: list[Tensor],
    steps: list[int],
    speaker: Tensor | None,
    number: int,
    turned: bool,
) -> Tensor:
    """What one half of the channels adds to the other: WaveNet's gated convolutions (VITS's WN)."""
    g, hidden, name = layers.graph, voice.hidden, f"flow.flows.{number}"
    frames = read.shape[2]
    first, last = voice.conv(f"{name}.pre"), voice.conv(f"{name}.post")
    if turned:
        first, last = replace(first, kernel=first.kernel[:, ::-1]), _reversed(last)
    x = g.mul(layers.dense(read, f"{name}.pre", first), masks[0])
    given = None
    if speaker is not None:
        given = layers.dense(speaker, f"{name}.enc.cond_layer", voice.conv(f"{name}.enc.cond_layer"))
    total: Tensor | None = None
    for i, (layer, ahead) in enumerate(zip(_inner(voice, number), steps, strict=True)):
        wide = state.with_past(x, 2 * ahead)
        both = layers.windows(wide, layer, voice.conv(layer), same=False)
        if given is not None:
            both = g.add(both, layers.channels(given, 2 * hidden * i, 2 * hidden))
        gate = g.unary("LOGISTIC", layers.channels(both, hidden, hidden))
        acts = g.mul(g.unary("TANH", layers.channels(both, 0, hidden)), gate)
        skip = f"{name}.enc.res_skip_layers.{i}"
        out = layers.dense(acts, skip, voice.conv(skip))
        if i + 1 < len(steps):
            middle = g.slice(wide, [0, 0, ahead, 0], [1, 1, frames, hidden])
            x = g.mul(g.add(middle, layers.channels(out, 0, hidden)), masks[i + 1])
            out = layers.channels(out, hidden, hidden)
        if total is not None:
            waiting = state.with_past(total, ahead)
            out = g.add(g.slice(waiting, [0, 0, 0, 0], [1, 1, frames, hidden]), out)
        total = out
    assert total is not None
    return g.mul(layers.dense(total, f"{name}.post", last), masks[-1])


def _reversed(conv: Convolution) -> Convolution:
    """The same with its outputs in the opposite order."""
    return replace(conv, kernel=conv.kernel[::-1], bias=None if conv.bias is None else conv.bias[::-1])
