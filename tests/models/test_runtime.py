import sys
import threading
import time

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto, helper, numpy_helper
from scipy.signal import correlate

from masquerade.errors import EngineError, WeightsError
from masquerade.models import (
    PROVIDERS,
    card,
    check_precision,
    compare,
    has_bfloat16,
    open_session,
    precision_for,
    runtime,
)

ENGINES = ("openvino", "onnxruntime")
ANY_SIZE = {"x": (-1, 3, -1, -1)}


def build(*, channels=4, size=(1, 3, 8, 8), nodes=None, outputs=("y",)):
    """A convolution (3 x 3, same size) and a ReLU, as the bytes of an ONNX file, and the kernel."""
    weights = np.random.default_rng(1).normal(size=(channels, size[1], 3, 3)).astype(np.float32)
    nodes = nodes or [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    after = [size[0], channels, *size[2:]]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, size)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, after) for name in outputs],
        [numpy_helper.from_array(weights, "w")],
        value_info=[helper.make_tensor_value_info("c", TensorProto.FLOAT, after)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString(), weights


def by_scipy(x, weights):
    """What the network should give."""
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    planes = [[correlate(picture, kernel, mode="valid")[0] for kernel in weights] for picture in padded]
    return np.maximum(np.array(planes), 0)


def pictures(*shape):
    return np.random.default_rng(2).uniform(-1, 1, shape).astype(np.float32)


@pytest.mark.parametrize("engine", ENGINES)
def test_numbers_are_right(engine, tmp_path):
    model, weights = build()
    x = pictures(1, 3, 8, 8)
    path = tmp_path / "toy.onnx"
    path.write_bytes(model)
    for source in (model, path):
        session = open_session(source, engine=engine, threads=1)
        assert (session.engine, session.provider, session.precision) == (engine, "cpu", "float32")
        np.testing.assert_allclose(session.run({"x": x})["y"], by_scipy(x, weights), atol=1e-5)
    assert [(port.name, port.shape, port.dtype) for port in session.inputs] == [("x", (1, 3, 8, 8), np.float32)]
    assert [(port.name, port.shape) for port in session.outputs] == [("y", (1, 4, 8, 8))]


def test_openvino_is_the_default():
    model, _ = build()
    assert open_session(model).engine == "openvino"
    assert open_session(model, provider="cpu").engine == "openvino"


@pytest.mark.parametrize("engine", ENGINES)
def test_fixed_dimensions_are_made_free(engine):
    model, weights = build(size=(10, 3, 8, 8))
    session = open_session(model, engine=engine, shapes=ANY_SIZE)
    assert session.inputs[0].shape == (-1, 3, -1, -1)
    for shape in ((1, 3, 5, 7), (2, 3, 16, 4), (1, 3, 5, 7)):
        x = pictures(*shape)
        np.testing.assert_allclose(session.run({"x": x})["y"], by_scipy(x, weights), atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_fixed_dimensions_are_changed_to_others(engine):
    model, weights = build()
    session = open_session(model, engine=engine, shapes={"x": (2, 3, 6, 9)})
    x = pictures(2, 3, 6, 9)
    np.testing.assert_allclose(session.run({"x": x})["y"], by_scipy(x, weights), atol=1e-5)
    with pytest.raises(EngineError, match=r"\(1, 3, 8, 8\)"):
        session.run({"x": pictures(1, 3, 8, 8)})


@settings(max_examples=20, deadline=None)
@given(arrays(np.float32, (1, 3, 8, 8), elements=st.floats(-100, 100, width=32)))
def test_engines_agree(x):
    one, other = (session.run({"x": x}) for session in AGREEING)
    np.testing.assert_allclose(one["y"], other["y"], rtol=1e-4, atol=1e-3)


AGREEING = [open_session(build()[0], engine=engine) for engine in ENGINES]


@pytest.mark.parametrize("engine", ENGINES)
def test_outputs_have_the_names_of_the_file(engine):
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Identity", ["r"], ["z"]),
        helper.make_node("Neg", ["r"], ["b"]),
        helper.make_node("Identity", ["r"], ["a"]),
    ]
    model, _ = build(nodes=nodes, outputs=("z", "b", "a"))
    session = open_session(model, engine=engine)
    results = session.run({"x": pictures(1, 3, 8, 8)})
    assert list(results) == [port.name for port in session.outputs] == ["z", "b", "a"]
    np.testing.assert_array_equal(results["z"], results["a"])
    np.testing.assert_array_equal(results["b"], -results["a"])


@pytest.mark.parametrize("engine", ENGINES)
def test_any_array_will_do(engine):
    model, weights = build()
    session = open_session(model, engine=engine)
    x = np.random.default_rng(3).integers(0, 255, (1, 3, 8, 8), dtype=np.uint8)
    turned = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    frozen = x.astype(np.float32)
    frozen.flags.writeable = False
    for feed in (x, turned, frozen, x.astype(np.float64)):
        np.testing.assert_allclose(session.run({"x": feed})["y"], by_scipy(x, weights), rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("engine", ENGINES)
def test_results_belong_to_the_caller(engine):
    session = open_session(build()[0], engine=engine)
    x = pictures(1, 3, 8, 8)
    first = session.run({"x": x})["y"]
    before = first.copy()
    session.run({"x": x * 5})
    np.testing.assert_array_equal(first, before)
    first[:] = 7


@pytest.mark.parametrize("engine", ENGINES)
def test_wrong_feeds(engine):
    session = open_session(build()[0], engine=engine)
    with pytest.raises(ValueError, match="takes"):
        session.run({"image": pictures(1, 3, 8, 8)})
    with pytest.raises(EngineError, match=r"x \(1, 4, 8, 8\)"):
        session.run({"x": pictures(1, 4, 8, 8)})
    assert session.run({"x": pictures(1, 3, 8, 8)})["y"].shape == (1, 4, 8, 8), "it goes on working"


@pytest.mark.parametrize("engine", ENGINES)
def test_several_threads_at_once(engine):
    model, weights = build()
    session = open_session(model, engine=engine, shapes=ANY_SIZE)
    failures = []

    def work(number):
        x = pictures(1, 3, 8 + number, 9) + number
        expected = by_scipy(x, weights)
        for _ in range(40):
            if not np.allclose(session.run({"x": x})["y"], expected, rtol=1e-4, atol=1e-4):
                failures.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.parametrize("engine", ENGINES)
def test_the_interpreter_is_free_meanwhile(engine):
    model, _ = build(channels=64, size=(1, 64, 384, 384))
    session = open_session(model, engine=engine, threads=1)
    x = pictures(1, 64, 384, 384)
    session.run({"x": x})
    thread = threading.Thread(target=lambda: [session.run({"x": x}) for _ in range(3)])
    ticks = 0
    thread.start()
    while thread.is_alive():
        time.sleep(0.001)
        ticks += 1
    assert ticks > 10, "held during each of three runs, the lock leaves room for a handful"


def test_no_such_provider():
    model, _ = build()
    with pytest.raises(EngineError, match="cpu, cuda"):
        open_session(model, provider="tpu")
    with pytest.raises(EngineError, match="not on cuda"):
        open_session(model, engine="openvino", provider="cuda")


@pytest.mark.parametrize("engine", ["auto", "onnxruntime"])
@pytest.mark.parametrize("provider", ["cuda", "tensorrt", "directml"])
def test_a_provider_that_is_not_installed(engine, provider):
    if PROVIDERS[provider] in onnxruntime.get_available_providers():
        pytest.skip(f"{provider} is installed here")
    with pytest.raises(EngineError, match=f"has no {provider}.*pip install onnxruntime-"):
        open_session(build()[0], engine=engine, provider=provider)


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_falls_back_is_found_out(monkeypatch):
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("cuda is installed here")
    # As with a missing driver: it is offered, and the real ONNX Runtime then quietly runs on the CPU.
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    with pytest.raises(EngineError, match="would run on CPUExecutionProvider instead of CUDAExecutionProvider"):
        open_session(build()[0], provider="cuda")


@pytest.mark.parametrize(("package", "engine"), [("openvino", "openvino"), ("onnxruntime", "onnxruntime")])
def test_an_engine_that_is_not_installed(monkeypatch, package, engine):
    runtime._openvino_core.cache_clear()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EngineError, match=f"pip install {package}"):
        open_session(build()[0], engine=engine)


def test_auto_takes_the_engine_that_is_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert open_session(build()[0]).engine == "onnxruntime"


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_not_a_network(engine, tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        open_session(tmp_path / "missing.onnx", engine=engine)
    path = tmp_path / "junk.onnx"
    path.write_bytes(b"junk" * 50)
    for source in (path, path.read_bytes()):
        for shapes in (None, ANY_SIZE):
            with pytest.raises(WeightsError, match="not a network"):
                open_session(source, engine=engine, shapes=shapes)
    with pytest.raises(WeightsError, match=r"junk\.onnx"):
        open_session(path, engine=engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_input_that_the_network_lacks(engine):
    with pytest.raises(EngineError, match="image"):
        open_session(build()[0], engine=engine, shapes={"image": (1, 3, 8, 8)})


def test_bfloat16_is_what_runs_or_an_error():
    model, weights = build()
    x = pictures(1, 3, 8, 8)
    with pytest.raises(EngineError, match="float32"):
        open_session(model, engine="onnxruntime", precision="bfloat16")
    if not has_bfloat16():
        for ask in (lambda: open_session(model, precision="bfloat16"), lambda: check_precision(model, {"x": x})):
            with pytest.raises(EngineError, match="no bfloat16"):
                ask()
        return
    session = open_session(model, precision="bfloat16")
    assert session.precision == "bfloat16"
    np.testing.assert_allclose(session.run({"x": x})["y"], by_scipy(x, weights), atol=0.1)
    parity = check_precision(model, {"x": x})
    assert 0 < parity.max_abs < 0.1
    assert parity.cosine > 0.999


def test_precision_follows_card_and_processor():
    centerface = card("centerface")
    assert precision_for(centerface.model_copy(update={"bfloat16": False})) == "float32"
    allowed = precision_for(centerface.model_copy(update={"bfloat16": True}))
    assert allowed == ("bfloat16" if has_bfloat16() else "float32")


def test_compare_takes_the_worst_output():
    one = {"a": np.array([3.0, 4.0]), "b": np.array([[1.0, 0.0]]), "c": np.zeros(2)}
    assert compare(one, one) == compare(one, {name: array.astype(np.float32) for name, array in one.items()})
    assert compare(one, one).max_abs == 0
    assert compare(one, one).cosine == pytest.approx(1)
    other = {"a": np.array([3.0, 4.5]), "b": np.array([[1.0, 1.0]]), "c": np.zeros(2)}
    parity = compare(one, other)
    assert parity.max_abs == 1
    assert parity.cosine == pytest.approx(1 / np.sqrt(2))
    assert compare({"c": np.zeros(2)}, {"c": np.ones(2)}).cosine == 0
