"""The door to the runtimes: the same cases on every runtime that is installed.

`ai-edge-litert` has both faces: its CompiledModel, and the Interpreter class that tflite-runtime also ships. So the
Interpreter code is exercised here too; `scripts/checks/conformance_tflite_runtime` runs this same file where the real
tflite-runtime is installed.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.packages import graph
from noctule.core import native_stderr
from noctule.core.errors import ModelError
from noctule.inference import probe as tflite_probe
from noctule.inference import runtime as tflite
from noctule.inference.probe import probe_runtime
from noctule.inference.runtime import LiteRt, LiteRtNative, Model, Runtime, TfliteRuntime

HAVE_LITERT = importlib.util.find_spec("ai_edge_litert") is not None
HAVE_TFLITE = importlib.util.find_spec("tflite_runtime") is not None
RUNTIMES = [
    *(["native", "litert", "litert-interpreter"] if HAVE_LITERT else []),
    *(["tflite-runtime"] if HAVE_TFLITE else []),
]
GOLDEN: dict[str, Any] = json.loads(graph("noctule_float32").with_name("golden.json").read_text())


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> Runtime:
    if request.param == "native":
        return LiteRtNative()
    if request.param == "litert":
        return LiteRt()
    if request.param == "litert-interpreter":
        return TfliteRuntime("ai_edge_litert.interpreter", "ai-edge-litert")
    return TfliteRuntime()


def ones() -> np.ndarray[Any, Any]:
    return np.ones((1, 4), np.float32)


KV: dict[str, str | None] = {"kv": "kv"}


def test_signatures_are_told_with_shapes_and_types(runtime: Runtime) -> None:
    with runtime.load_model(graph("adder")) as model:
        assert set(model.signatures) == {"a", "b"}
        found = model.signature("a")
        assert {k: str(v) for k, v in found.inputs.items()} == {"x": "float32[1, 4]", "kv": "float32[1, 4]"}
        assert {k: str(v) for k, v in found.outputs.items()} == {"kv": "float32[1, 4]", "logits": "float32[1, 1]"}
        assert found.inputs["x"].size == 4
        with pytest.raises(ModelError, match=r"has no signature 'c' \(it has: a, b\)"):
            model.signature("c")
    assert runtime.version


def test_state_stays_in_place_between_steps(runtime: Runtime) -> None:
    with runtime.load_model(graph("adder")) as model:
        step = model.runner("a", alias=KV)
        step.write("x", ones())
        for i in range(1, 4):
            step.run()
            assert step.read("logits").tolist() == [[4.0 * i]]
            assert step.read("kv").tolist() == [[float(i)] * 4]
        step.write("kv", 10 * ones())
        step.run()
        assert step.read("logits").tolist() == [[44.0]]
        step.zero_state()
        step.run()
        assert step.read("logits").tolist() == [[4.0]]


def test_two_signatures_share_state(runtime: Runtime) -> None:
    with runtime.load_model(graph("adder")) as model:
        a = model.runner("a", alias=KV)
        b = model.runner("b", alias=KV, share=a.state)
        a.write("x", ones())
        b.write("x", 10 * ones())
        for runner in (a, b, b, a):
            runner.run()
        assert a.read("kv").tolist() == b.read("kv").tolist() == [[22.0] * 4]
        b.write("kv", ones())
        assert a.read("kv").tolist() == [[1.0] * 4]
        a.run()
        assert b.read("kv").tolist() == [[2.0] * 4]
        b.zero("kv")
        assert a.read("kv").tolist() == [[0.0] * 4]


def test_runners_of_one_signature_can_have_states_of_their_own(runtime: Runtime) -> None:
    """One conversation must not see another's cache."""
    with runtime.load_model(graph("adder")) as first, runtime.load_model(graph("adder")) as second:
        a, b = first.runner("a", alias=KV), second.runner("a", alias=KV)
        a.write("x", ones())
        b.write("x", ones())
        a.run()
        a.run()
        b.run()
        assert (a.read("kv")[0, 0], b.read("kv")[0, 0]) == (2.0, 1.0)


def test_inputs_start_at_zero_and_without_alias_nothing_is_kept(runtime: Runtime) -> None:
    with runtime.load_model(graph("adder")) as model:
        step = model.runner("a")
        step.run()
        assert step.read("logits").tolist() == [[0.0]]
        step.write("x", ones())
        step.run()
        step.run()
        assert step.read("logits").tolist() == [[4.0]]


def test_an_input_mapped_to_none_is_shared_and_kept(runtime: Runtime) -> None:
    with runtime.load_model(graph("adder")) as model:
        a = model.runner("a", alias={"kv": None})
        b = model.runner("b", alias={"kv": None}, share=a.state)
        a.write("kv", 3 * ones())
        b.run()
        b.run()
        assert b.read("logits").tolist() == [[12.0]]


def test_what_is_read_is_a_copy(runtime: Runtime) -> None:
    with runtime.load_model(graph("adder")) as model:
        step = model.runner("a", alias=KV)
        step.write("x", ones())
        step.run()
        first, kv = step.read("logits"), step.read("kv")
        step.run()
        assert (first[0, 0], kv[0, 0]) == (4.0, 1.0)


def test_a_graph_without_signatures_gets_one(runtime: Runtime) -> None:
    with runtime.load_model(graph("adder_unsigned")) as model:
        assert set(model.signatures) == {tflite.UNNAMED}
        step = model.runner(tflite.UNNAMED)
        inputs = sorted(step.signature.inputs)
        for name in inputs:
            step.write(name, ones())
        step.run()
        logits = next(n for n, s in step.signature.outputs.items() if s.shape == (1, 1))
        assert step.read(logits).tolist() == [[8.0]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: r.write("y", ones()), "has no input 'y'"),
        (lambda r: r.write("x", np.ones((4,), np.float32)), r"input 'x' is float32\[1, 4\], got float32\[4\]"),
        (lambda r: r.write("x", np.ones((1, 4))), r"got float64\[1, 4\]"),
        (lambda r: r.read("y"), "has no output 'y'"),
        (lambda r: r.zero("y"), "has no input 'y'"),
    ],
)
def test_misuse_is_one_sentence(runtime: Runtime, call: Any, message: str) -> None:
    with runtime.load_model(graph("adder")) as model:
        step = model.runner("a", alias=KV)
        with pytest.raises(ModelError, match=message):
            call(step)


def test_aliases_are_checked(runtime: Runtime) -> None:
    with runtime.load_model(graph("adder")) as model:
        for alias, message in [
            ({"z": "kv"}, "has no input 'z'"),
            ({"kv": "nothing"}, "its output 'nothing' is missing"),
            ({"kv": "logits"}, r"its output 'logits' is float32\[1, 1\]"),
        ]:
            with pytest.raises(ModelError, match=message):
                model.runner("a", alias=alias)
        a = model.runner("a", alias=KV)
        with pytest.raises(ModelError, match="shares state, but of other tensors: kv"):
            model.runner("b", share=a.state)
        with runtime.load_model(graph("noctule_float32")) as other:
            caches = {n: n for n in other.signature("decode_16").inputs if n.startswith("kv")}
            small = other.runner("decode_16", alias=caches)
            with pytest.raises(ModelError, match=r"shared state 'kv_cache_k_0' is .* the graph wants"):
                other.runner("decode_48", alias=caches, share=small.state)


def test_a_closed_model_says_so(runtime: Runtime) -> None:
    model = runtime.load_model(graph("adder"))
    model.close()
    model.close()
    with pytest.raises(ModelError, match="the model is closed"):
        model.runner("a")


# ---- files that are no good -----------------------------------------------------------------------------------

WHOLE = graph("adder").read_bytes()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the model file is empty"),
        (b"TFL3", "is not a TFLite model"),
        (b"\x1c\0\0\0GGUF" + bytes(100), "is not a TFLite model"),
        (os.urandom(3000), "is not a TFLite model"),
        (b"\x1c\0\0\0TFL3", "cut short at 8 bytes"),
        (b"\xff\xff\xff\x7fTFL3" + bytes(100), "cut short or damaged"),
        (bytes(4) + b"TFL3" + bytes(100), "cut short or damaged|no graph"),
        *[(WHOLE[: len(WHOLE) * part // 10], "cut short") for part in range(1, 10)],
        (WHOLE[:-4], "cut short or damaged"),
    ],
)
def test_broken_files_are_refused_before_a_runtime_maps_them(
    runtime: Runtime, tmp_path: Path, data: bytes, message: str
) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=message) as caught:
        runtime.load_model(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_every_truncation_of_a_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    for size in range(0, len(WHOLE) - 4, 7):
        path.write_bytes(WHOLE[:size])
        with pytest.raises(ModelError):
            LiteRt.load_model(_Refuses(), path)


class _Refuses(Runtime):
    name = version = "none"

    def _load(self, *_: object) -> Any:
        raise AssertionError("a broken file reached the runtime")


def test_missing_files_folders_and_forbidden_files(runtime: Runtime, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no such model file"):
        runtime.load_model(tmp_path / "none.tflite")
    with pytest.raises(ModelError, match="is a folder"):
        runtime.load_model(tmp_path)
    with pytest.raises(ModelError, match="cannot be read: Not a directory"):
        runtime.load_model(graph("adder") / "inside")


def test_an_unknown_op_is_named(runtime: Runtime) -> None:
    with pytest.raises(ModelError, match=r"unknown_op\.tflite: .* cannot load the model: .*NobodyHasThis"):
        runtime.load_model(graph("unknown_op"))


def test_wrong_arguments(runtime: Runtime, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot run on 0 threads"):
        runtime.load_model(graph("adder"), threads=0)
    with pytest.raises(ModelError, match="must be a file, this is a folder"):
        runtime.load_model(graph("adder"), weight_cache=tmp_path)
    with pytest.raises(ModelError, match="cannot be written there"):
        runtime.load_model(graph("adder"), weight_cache=tmp_path / "none" / "cache")


# ---- decoders: what a language model needs of a runtime -------------------------------------------------------


def logits_of(runtime: Runtime, name: str, **options: Any) -> np.ndarray[Any, Any]:
    with runtime.load_model(graph(name), **options) as model:
        signature = model.signature("decode_16")
        step = model.runner("decode_16", alias={n: n for n in signature.inputs if n.startswith("kv")})
        rows = []
        for position, token in enumerate(GOLDEN["tokens"]):
            step.write("tokens", np.array([[token]], np.int32))
            step.write("input_pos", np.array([position], np.int32))
            step.run()
            rows.append(step.read("logits")[0])
    return np.stack(rows)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_float_decoder_agrees_with_torch(runtime: Runtime, threads: int) -> None:
    wanted = np.array(GOLDEN["float32"])
    assert np.abs(logits_of(runtime, "noctule_float32", threads=threads) - wanted).max() < 1e-3 * np.abs(wanted).max()


def test_a_decoder_quantised_by_tensor_agrees(runtime: Runtime) -> None:
    wanted = np.array(GOLDEN["int8_tensor"])
    error = np.abs(logits_of(runtime, "noctule_int8_tensor") - wanted).max(axis=1) / np.abs(wanted).max(axis=1)
    assert error.max() < 0.15  # tflite-runtime quantises activations more coarsely: 0.094 seen


def test_a_decoder_quantised_by_channel_agrees_or_is_caught(runtime: Runtime) -> None:
    """tflite-runtime 2.14 answers zeros here; `package.check_golden` is what turns that into an error."""
    from noctule.lm.text.package import check_alive

    found = logits_of(runtime, "noctule_int8")
    if runtime.name == "tflite-runtime" and runtime.version.startswith("2.14"):
        with pytest.raises(ModelError, match="every logit is zero: this runtime cannot compute the model"):
            check_alive("model", found[0])
        return
    wanted = np.array(GOLDEN["int8"])
    assert np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()


@pytest.mark.skipif(not HAVE_LITERT, reason="tflite-runtime has no weight cache")
def test_the_weight_cache_is_made_once_used_again_and_rebuilt_when_cut_short(tmp_path: Path) -> None:
    cache = tmp_path / "weights"
    first = logits_of(LiteRt(), "noctule_int8", weight_cache=cache)
    size = cache.stat().st_size
    assert size > 10_000
    np.testing.assert_array_equal(logits_of(LiteRt(), "noctule_int8", weight_cache=cache), first)
    cache.write_bytes(cache.read_bytes()[: size // 2])
    np.testing.assert_array_equal(logits_of(LiteRt(), "noctule_int8", weight_cache=cache), first)


# ---- choosing a runtime, and asking whether it works ----------------------------------------------------------


def test_the_default_is_litert_then_tflite_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tflite, "_chosen", None)
    assert tflite.default_runtime().name == ("ai-edge-litert" if HAVE_LITERT else "tflite-runtime")
    assert tflite.default_runtime() is tflite.default_runtime()
    assert tflite.load_model(graph("adder")).signature("a")

    def missing(name: str) -> Any:
        raise ImportError(f"No module named {name!r}\nreally")

    monkeypatch.setattr(tflite, "_chosen", None)
    monkeypatch.setattr(tflite.importlib, "import_module", missing)
    monkeypatch.setattr(tflite.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ModelError, match=r"no TFLite runtime can be imported: ai-edge-litert: .*; tflite-runtime: "):
        tflite.default_runtime()


@pytest.mark.skipif(not HAVE_LITERT, reason="tests the choice between two faces of ai-edge-litert")
def test_an_untested_release_or_a_missing_library_falls_back_to_the_python_class(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert isinstance(LiteRtNative(), Runtime)
    monkeypatch.setattr(tflite, "_chosen", None)
    assert type(tflite.default_runtime()) is LiteRtNative
    monkeypatch.setattr(tflite, "_chosen", None)
    monkeypatch.setattr(tflite.importlib.metadata, "version", lambda _: "2.9.0")
    assert type(tflite.default_runtime()) is LiteRt
    assert tflite.default_runtime().title.startswith("ai-edge-litert 2.9.0 (Noctule is proven on 2.3.x: ")
    with pytest.raises(ImportError, match=r"the C interface of release 2\.9\.0 has not been tested"):
        LiteRtNative()
    (tmp_path / "libLiteRt.so").write_bytes(b"no library")
    for path in (tmp_path / "none.so", tmp_path / "libLiteRt.so"):
        with pytest.raises(ImportError):
            tflite._native_library(path)


@pytest.mark.skipif(not HAVE_LITERT, reason="the C interface is ai-edge-litert's")
def test_other_threads_run_while_a_model_does() -> None:
    """The Python class would hold the interpreter lock; that no thread gets a turn is what this would notice."""
    with LiteRtNative().load_model(graph("noctule_float32")) as model:
        step = model.runner("prefill_8_48", alias=caches_of(model, "prefill_8_48"))
        go, ran = threading.Event(), threading.Event()
        thread = threading.Thread(target=lambda: ran.set() if go.wait(60) else None)
        thread.start()
        before = sys.getswitchinterval()
        # Python itself would switch threads only once a minute: the other's turn comes from a released lock.
        sys.setswitchinterval(60.0)
        try:
            go.set()
            runs = 0
            while not ran.is_set() and runs < 50_000:
                step.run()
                runs += 1
        finally:
            sys.setswitchinterval(before)
        assert ran.is_set()
        thread.join(10)


@pytest.mark.skipif(not HAVE_LITERT, reason="the C interface is ai-edge-litert's")
def test_two_threads_cannot_run_one_model_at_once() -> None:
    with LiteRtNative().load_model(graph("adder")) as model:
        step = model.runner("a", alias=KV)
        with model.compiled.lock, pytest.raises(ModelError, match="is being run by another thread"):  # type: ignore[attr-defined]
            step.run()
        step.run()


def caches_of(model: Model, signature: str) -> dict[str, str | None]:
    return {n: n for n in model.signature(signature).inputs if n.startswith("kv")}


def test_runners_outlive_their_model_and_memory_is_given_back(runtime: Runtime) -> None:
    model = runtime.load_model(graph("adder"))
    step = model.runner("a", alias=KV)
    state = step.state
    step.write("x", ones())
    model.close()
    step.run()
    assert step.read("logits").tolist() == [[4.0]]
    del step, model
    gc.collect()
    assert state.specs
    pages = []
    for _ in range(4):
        for _ in range(30):
            with runtime.load_model(graph("noctule_float32")) as again:
                again.runner("decode_48", alias=caches_of(again, "decode_48")).run()
        gc.collect()
        pages.append(int(Path("/proc/self/statm").read_text().split()[1]))
    assert pages[-1] - pages[1] < 30 * 40  # far less than the 30 x 60 models loaded since would take


def test_the_probe_runs_a_model_in_a_child() -> None:
    found = probe_runtime()
    assert found.ok, found.sentence
    assert found.name in found.sentence
    assert found.version


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (f"import os, signal; os.kill(os.getpid(), {int(signal.SIGILL)})", "this CPU does not have the instructions"),
        (f"import os, signal; os.kill(os.getpid(), {int(signal.SIGSEGV)})", "crashed (SIGSEGV)"),
        ('import sys; print(\'{"error": "no runtime"}\')', "no runtime"),
        ("import sys; sys.exit('boom\\nlast words')", "last words"),
        ("print('what')", "gave no answer"),
    ],
)
def test_a_child_that_dies_becomes_a_sentence(code: str, sentence: str) -> None:
    found = probe_runtime([sys.executable, "-c", code])
    assert not found.ok
    assert sentence in found.sentence
    assert "\n" not in found.sentence


def test_the_child_reports_what_it_found(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    tflite_probe.main()
    answer = json.loads(capsys.readouterr().out)
    assert answer["float32"] is True
    assert answer["name"] == tflite.default_runtime().name

    def none() -> Any:
        raise ModelError("no TFLite runtime can be imported", "pip install ai-edge-litert")

    monkeypatch.setattr(tflite, "default_runtime", none)
    tflite_probe.main()
    assert json.loads(capsys.readouterr().out) == {
        "error": "no TFLite runtime can be imported (pip install ai-edge-litert)"
    }


@pytest.mark.parametrize(
    ("float32", "int8", "ok", "sentence"),
    [
        (True, True, True, "r 1 works"),
        (True, False, True, "r 1 works; it cannot compute int8 layers with a scale per channel"),
        (False, True, False, "r 1 computes wrong numbers on this machine"),
    ],
)
def test_wrong_answers_are_told_apart(float32: bool, int8: bool, ok: bool, sentence: str) -> None:
    answer = json.dumps({"name": "r", "version": "1", "float32": float32, "int8": int8})
    found = probe_runtime([sys.executable, "-c", f"print({answer!r})"])
    assert (found.ok, found.int8) == (ok, int8)
    assert found.sentence.startswith(sentence)


def test_a_child_that_hangs_is_killed() -> None:
    found = probe_runtime([sys.executable, "-c", "import threading; threading.Event().wait()"], timeout=0.5)
    assert not found.ok
    assert "did not answer within 0.5 s" in found.sentence


def test_a_child_that_cannot_start() -> None:
    found = probe_runtime(["/nonexistent/python"])
    assert not found.ok
    assert "cannot be started" in found.sentence


# ---- stderr ---------------------------------------------------------------------------------------------------


def test_the_runtimes_chatter_is_swallowed_and_other_lines_pass() -> None:
    code = (
        "import os\n"
        "from noctule.core import native_stderr\n"
        "with native_stderr.captured_stderr() as said:\n"
        "    os.write(2, b'INFO: chatter\\nERROR: told\\nmine\\n')\n"
        "    assert 'told' in said()\n"
        "    assert native_stderr.explain('x', said()) == 'told'\n"
        "os.write(2, b'after\\n')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(Path(tflite.__file__).parents[2])},
    )  # fmt: skip
    assert done.stderr == "mine\nafter\n"
    assert native_stderr.explain("first └ second\nthird", "INFO: x") == "first second third"
    assert native_stderr.explain("", "") == "no reason given"


def test_a_process_without_stderr_can_load() -> None:
    code = (
        "import os; os.close(2)\n"
        "from noctule.inference import runtime\n"
        f"runtime.load_model({str(graph('adder'))!r}); print('ok')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(tflite.__file__).parents[2])},
    )  # fmt: skip
    assert done.stdout == "ok\n"
