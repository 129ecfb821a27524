"""One side of `scripts/bench voice`, in a process of its own: a text a line in, what it cost a line out.

    voice_child.py ours PACKAGE THREADS | piper VOICE.onnx THREADS | judge FOLDER THREADS

Only the side that is asked for is imported, so that its memory is its own.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def ours(place: str, threads: int) -> Callable[[str, int], Iterator[tuple[int, Floats]]]:
    root = Path(__file__).resolve().parents[3]
    sys.path.insert(0, str(root / "daemon"))
    from noctule.config.speech import Speech
    from noctule.lm.speech.piper.voice import PiperVoice
    from noctule.voice.tts.piper import PiperSynthesizer

    cache = Path(sys.argv[4]) if len(sys.argv) > 4 else None
    voice = PiperVoice.open(Path(place), threads=threads, cache_dir=cache)
    speech = Speech()

    def say(text: str, seed: int) -> Iterator[tuple[int, Floats]]:
        speech.seed = seed
        synthesis = PiperSynthesizer(voice, lambda: speech).begin()
        synthesis.more(text)
        synthesis.close()
        while (piece := synthesis.step()) is not None:
            yield synthesis.rate, piece

    return say


def piper(place: str, threads: int) -> Callable[[str, int], Iterator[tuple[int, Floats]]]:
    """piper-tts on onnxruntime with as many threads; it gives a sentence at a time."""
    import json as _json

    import onnxruntime
    from piper import PiperVoice
    from piper.config import PiperConfig

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(place, options, providers=["CPUExecutionProvider"])
    config = _json.loads(Path(place + ".json").read_text(encoding="utf-8"))
    voice = PiperVoice(config=PiperConfig.from_dict(config), session=session)

    def say(text: str, seed: int) -> Iterator[tuple[int, Floats]]:
        for chunk in voice.synthesize(text):
            yield chunk.sample_rate, chunk.audio_float_array

    return say


def speak(say: Callable[[str, int], Iterator[tuple[int, Floats]]]) -> None:
    """{"text", "seed", "path"} → {"cpu", "wall", "first", "seconds", "resident"}; the sound is saved at path."""
    for line in sys.stdin:
        asked = json.loads(line)
        wall, cpu, first, rate = time.perf_counter(), _cpu(), 0.0, 22050
        pieces = []
        for heard, piece in say(asked["text"], asked["seed"]):
            first, rate = first or time.perf_counter() - wall, heard
            pieces.append(piece)
        sound = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
        spent = {"cpu": _cpu() - cpu, "wall": time.perf_counter() - wall, "first": first}
        if asked["path"]:
            np.save(asked["path"], sound)
        print(json.dumps(spent | {"seconds": len(sound) / rate, "rate": rate, "resident": resident()}), flush=True)


def _cpu() -> float:
    """Seconds of processor of this process; espeak-ng's own is a thousandth of it."""
    return time.process_time()


def resident() -> dict[str, int]:
    """Bytes of memory of this process: all, and its own (not backed by files)."""
    fields: dict[str, int] = {}
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in ("VmRSS", "RssAnon"):
            fields[name] = int(rest.split()[0]) * 1024
    return {"all": fields["VmRSS"], "own": fields["RssAnon"]}


def judge(folder: Path, threads: int) -> None:
    """{"path", "rate"} → {"text"}: what Moonshine tiny understands of it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    sessions = [
        onnxruntime.InferenceSession(str(folder / name), options, providers=["CPUExecutionProvider"])
        for name in ("encoder_model.ort", "decoder_model_merged.ort")
    ]
    pieces = _pieces((folder / "tokenizer.bin").read_bytes())
    for line in sys.stdin:
        asked = json.loads(line)
        sound = np.load(asked["path"])
        count = int(len(sound) * 16000 / asked["rate"])
        at = np.arange(count) * asked["rate"] / 16000
        # a triangle over one step of the new rate keeps what cannot be had at 16 kHz out of it
        width = asked["rate"] / 16000
        smooth = np.convolve(sound, _low_pass(1 / width), "same") if width > 1 else sound
        pcm = np.interp(at, np.arange(len(smooth)), smooth).astype(np.float32)
        print(json.dumps({"text": _understood(sessions, pieces, np.pad(pcm, (0, 8000)))}), flush=True)


def _low_pass(cutoff: float) -> Floats:
    """A windowed sinc; cutoff as a share of the Nyquist frequency."""
    n = np.arange(-32, 33)
    taps = np.sinc(n * cutoff * 0.95) * np.hanning(len(n))
    return (taps / taps.sum()).astype(np.float32)


def _pieces(data: bytes) -> list[bytes]:
    """Length-prefixed tokens; two bytes of length from 128 on."""
    at, out = 0, []
    while at < len(data):
        size, at = data[at], at + 1
        if size >= 128:
            size, at = data[at] * 128 + size - 128, at + 1
        out.append(data[at : at + size])
        at += size
    return out


def _understood(sessions: list[Any], pieces: list[bytes], pcm: Floats) -> str:
    """Greedy, at most 6.5 tokens a second."""
    encoder, decoder = sessions
    inputs, outputs = [i.name for i in decoder.get_inputs()], [o.name for o in decoder.get_outputs()]
    mask = np.ones((1, len(pcm)), np.int64)
    hidden = encoder.run(None, {"input_values": pcm[None], "attention_mask": mask})[0]
    state = {name: np.zeros((1, 8, 0, 36), np.float32) for name in inputs if name.startswith("past")}
    token, used, out = 1, False, []
    for _ in range(max(4, int(len(pcm) / 16000 * 6.5))):
        feeds = {
            "input_ids": np.array([[token]]),
            "encoder_hidden_states": hidden,
            "use_cache_branch": np.array([used]),
        }
        if "encoder_attention_mask" in inputs:
            feeds["encoder_attention_mask"] = mask
        found = decoder.run(None, feeds | state)
        token = int(found[0][0, -1].argmax())
        if token == 2:
            break
        out.append(token)
        for name, value in zip(outputs[1:], found[1:], strict=True):
            past = name.replace("present", "past_key_values")
            if not (used and ".encoder." in past):
                state[past] = value
        used = True
    return b"".join(pieces[t] for t in out).replace("\u2581".encode(), b" ").decode("utf-8", "replace").strip()


def main() -> None:
    side, place, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if side == "judge":
        judge(Path(place), threads)
    else:
        speak({"ours": ours, "piper": piper}[side](place, threads))


if __name__ == "__main__":
    main()
