from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")

from masquerade.errors import WeightsError  # noqa: E402
from masquerade.models.cards import PACKAGED  # noqa: E402
from masquerade.train.recognisers import DriverRecogniser, FeatureRecogniser, OnnxNetwork  # noqa: E402

TEACHER = Path(__file__).resolve().parents[2].parent / "shared" / "models" / "fr_feature_512d.onnx"


def write(path, kinds):
    """A small network of the given kinds, each reading what came before; a sum adds what came two before."""
    rng = np.random.default_rng(0)
    nodes, weights, values = [], [], ["x"]

    def weight(*shape):
        weights.append(numpy_helper.from_array(rng.normal(0, 0.3, shape).astype(np.float32), f"w{len(weights)}"))
        return weights[-1].name

    for kind in kinds:
        into, out = values[-1], f"v{len(values)}"
        if kind == "Conv":
            inputs = [into, weight(6, 3 if into == "x" else 6, 3, 3), weight(6)]
            nodes.append(helper.make_node("Conv", inputs, [out], pads=[1, 1, 1, 1], strides=[1, 1]))
        elif kind == "Depthwise":
            node = helper.make_node("Conv", [into, weight(6, 1, 3, 3)], [out], pads=[0] * 4, strides=[2, 2], group=6)
            nodes.append(node)
        elif kind == "PRelu":
            nodes.append(helper.make_node("PRelu", [into, weight(6, 1, 1)], [out]))
        elif kind == "Add":
            nodes.append(helper.make_node("Add", [values[-3], into], [out]))
        else:
            nodes.append(helper.make_node(kind, [into], [out]))
        values.append(out)
    weights.append(numpy_helper.from_array(np.array([-1, 6 * 3 * 3], np.int64), "shape"))
    nodes.append(helper.make_node("Reshape", [values[-1], "shape"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 54])],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def test_a_network_read_says_what_onnx_runtime_says_and_passes_gradients(tmp_path):
    write(tmp_path / "small.onnx", ["Conv", "PRelu", "Conv", "Add", "Depthwise"])
    network = OnnxNetwork(tmp_path / "small.onnx")
    x = torch.randn(4, 3, 8, 8, requires_grad=True)
    middle, found = network(x, network.sums)
    (expected,) = onnxruntime.InferenceSession(tmp_path / "small.onnx").run(None, {"x": x.detach().numpy()})
    np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-5)
    assert middle.shape == (4, 6, 8, 8)
    found.sum().backward()
    assert x.grad.abs().min() > 0
    assert not list(network.parameters())


def test_what_cannot_be_read_is_said(tmp_path):
    write(tmp_path / "other.onnx", ["Conv", "Sigmoid", "Depthwise"])
    with pytest.raises(WeightsError, match="Sigmoid"):
        OnnxNetwork(tmp_path / "other.onnx")
    with pytest.raises(WeightsError, match="no such network"):
        OnnxNetwork(tmp_path / "none.onnx")


def test_the_driver_here_is_the_driver_that_ships():
    crops = torch.rand(3, 3, 112, 112, generator=torch.Generator().manual_seed(0)) * 2 - 1
    recogniser = DriverRecogniser(PACKAGED / "driver.onnx")
    maps, vectors = recogniser(crops)
    session = onnxruntime.InferenceSession(PACKAGED / "driver.onnx")
    np.testing.assert_allclose(vectors.numpy(), session.run(None, {"face": crops.numpy()})[0], atol=1e-4)
    assert [tuple(m.shape[1:]) for m in maps] == [(64, 28, 28), (160, 14, 14)]
    assert not any(weight.requires_grad for weight in recogniser.parameters())


@pytest.mark.skipif(not TEACHER.is_file(), reason="third-party recogniser is not at hand")
def test_the_teacher_here_is_the_teacher():
    faces = np.random.default_rng(0).integers(0, 256, (2, 112, 112, 3), np.uint8)
    maps, vectors = FeatureRecogniser(TEACHER)(torch.from_numpy(faces).permute(0, 3, 1, 2).float() / 127.5 - 1)
    assert [tuple(m.shape[1:]) for m in maps] == [(64, 28, 28), (128, 14, 14)]
    bgr = (faces[..., ::-1].astype(np.float32).transpose(0, 3, 1, 2) - 127) / 128
    (expected,) = onnxruntime.InferenceSession(TEACHER).run(None, {"input": bgr})
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors.numpy(), expected, atol=1e-4)
