import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from masquerade.errors import FaceError, WeightsError
from masquerade.faces.align import template
from masquerade.faces.expression import CLASSES, MEASURES, open_expression

_LENGTHS = {"embedding": 3, "classes": len(CLASSES), "affect": 2, "geometry": len(MEASURES)}


def write_network(path, names=tuple(_LENGTHS)):
    """A network that reads the mean colour of a face: `embedding` is its direction, the rest repeats the red."""
    nodes = [helper.make_node("ReduceMean", ["face"], ["colour"], axes=[2, 3], keepdims=0)]
    nodes.append(helper.make_node("LpNormalization", ["colour"], [names[0]], axis=1))
    weights, outputs = [], []
    for name, length in zip(names, _LENGTHS.values(), strict=True):
        if name != names[0]:
            weights.append(numpy_helper.from_array(np.eye(3, 1, dtype=np.float32).repeat(length, 1), f"{name}.weight"))
            nodes.append(helper.make_node("MatMul", ["colour", f"{name}.weight"], [name]))
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", length]))
    face = helper.make_tensor_value_info("face", TensorProto.FLOAT, ["n", 3, 112, 112])
    graph = helper.make_graph(nodes, "colours", [face], outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return open_expression(write_network(tmp_path_factory.mktemp("weights") / "colours.onnx"), threads=1)


@pytest.mark.network
def test_the_packaged_reader_sees_a_smile(astronaut, detector):
    (faces,) = detector.detect([astronaut])
    face = max(faces, key=lambda one: one.score)
    said = open_expression(threads=1).read(astronaut, [face.landmarks])
    assert CLASSES[said.classes[0].argmax()] == "happiness" and said.classes[0].max() > 0.8
    assert said.affect[0, 0] > 0.4
    assert said.geometry[0, MEASURES.index("mouth width")] > 0.3
    assert np.linalg.norm(said.embedding) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("side", [112, 128, 64])
def test_it_is_fed_rgb_between_minus_one_and_one_at_any_side(reader, side):
    crops = np.full((35, side, side, 3), (255, 51, 0), np.uint8)
    said = reader.read_crops(crops)
    colour = np.array([1, -0.6, -1])
    assert said.embedding == pytest.approx(np.tile(colour / np.linalg.norm(colour), (35, 1)), abs=1e-4)
    assert said.classes == pytest.approx(np.ones((35, 7)), abs=1e-3)
    assert said.affect.shape == (35, 2) and said.geometry.shape == (35, 10)


def test_faces_of_a_picture_are_aligned_first(reader):
    picture = np.zeros((300, 400, 3), np.uint8)
    picture[100:212, 200:312] = (255, 51, 0)
    there, beside = template(112) + np.float32([200, 100]), template(112)
    said = reader.read(picture, [there, beside])
    assert said.classes[:, 0] == pytest.approx([1, -1], abs=1e-3)


def test_what_is_no_face_is_refused(reader):
    crops = np.zeros((2, 112, 112, 3), np.uint8)
    for broken in (crops[:0], crops[0], crops[:, :90], crops.astype(np.float32), crops[..., :1]):
        with pytest.raises(FaceError):
            reader.read_crops(broken)
    with pytest.raises(FaceError):
        reader.read(crops[0], [])


def test_another_network_and_no_network_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="reads no expressions"):
        open_expression(write_network(tmp_path / "other.onnx", ("vector", "classes", "affect", "geometry")))
    with pytest.raises(WeightsError, match="no such network"):
        open_expression(tmp_path / "nothing.onnx")
