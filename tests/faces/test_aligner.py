"""How a face lies in its crop: with networks that the test makes itself, and with the packaged one on a portrait."""

import cv2
import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from masquerade.errors import EngineError, WeightsError  # noqa: E402
from masquerade.faces.align import crop_around, estimate_similarity, invert, template, transform  # noqa: E402
from masquerade.faces.aligner import CENTRE, SIDE, UNIT, movement, open_aligner, window  # noqa: E402
from masquerade.media import StillFrame  # noqa: E402
from masquerade.models.cards import PACKAGED  # noqa: E402
from masquerade.types import Box, Face  # noqa: E402

POINTS = np.array([[300, 200], [380, 190], [345, 250], [315, 290], [375, 285]], np.float32)


def says(path, answer):
    """A network that always gives the same answer: the mean of what it sees, times 0, and that."""
    nodes = [
        helper.make_node("ReduceMean", ["crop"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "nothing"], ["zero"]),
        helper.make_node("Unsqueeze", ["zero", "last"], ["column"]),
        helper.make_node("Add", ["column", "answer"], ["moved"]),
    ]
    constants = [
        numpy_helper.from_array(np.array(0, np.float32), "nothing"),
        numpy_helper.from_array(np.array([1]), "last"),
        numpy_helper.from_array(np.array([answer], np.float32), "answer"),
    ]
    ports = [
        helper.make_tensor_value_info("crop", TensorProto.FLOAT, ["n", 3, SIDE, SIDE]),
        helper.make_tensor_value_info("moved", TensorProto.FLOAT, ["n", 4]),
    ]
    graph = helper.make_graph(nodes, "says", ports[:1], ports[1:], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return open_aligner(path, threads=1)


def canvas():
    return StillFrame(np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8))


def test_a_movement_is_what_it_says():
    np.testing.assert_allclose(movement(np.zeros(4)), np.eye(2, 3), atol=1e-12)
    np.testing.assert_allclose(transform([CENTRE], movement([0.1, -0.05, 0.3, 1.0]))[0] - CENTRE, [12.8, -6.4])
    about = transform([CENTRE + np.array([10, 0])], movement([0, 0, np.log(2), np.pi / 2]))[0] - CENTRE
    np.testing.assert_allclose(about, [0, 20], atol=1e-9)
    corners = transform([[-0.5, -0.5], [SIDE - 0.5, SIDE - 0.5]], invert(window()))
    assert np.diff(corners, axis=0)[0] == pytest.approx(0.66 * UNIT)
    np.testing.assert_allclose(corners.mean(0), CENTRE)


def test_all_five_points_go_where_the_network_says_that_the_face_lies(tmp_path):
    # Each of the two looks sees the face once more 3 % of the crop to the right, and as much larger.
    aligner = says(tmp_path / "right.onnx", [0.03, 0, 0.02, 0])
    [settled] = aligner.settle(canvas(), [POINTS])
    before = estimate_similarity(POINTS, template(UNIT))
    lies = movement([0.03, 0, 0.02, 0])
    after = estimate_similarity(settled, template(UNIT))
    total = np.vstack([before, [0, 0, 1]]) @ np.linalg.inv(np.vstack([after, [0, 0, 1]]))
    twice = np.vstack([lies, [0, 0, 1]]) @ np.vstack([lies, [0, 0, 1]])
    np.testing.assert_allclose(total[:2], twice[:2], atol=1e-3)
    # Together: the shape of the five stays.
    moved = estimate_similarity(POINTS, settled)
    np.testing.assert_allclose(transform(POINTS, moved), settled, atol=1e-3)
    assert np.linalg.norm(settled - POINTS, axis=1).min() > 1


@pytest.mark.parametrize("answer", [[0.5, 0, 0, 0], [0, 0, -0.2, 0], [0, 0, 0, 0.3]])
def test_what_no_detector_is_off_by_is_not_believed(tmp_path, answer):
    [settled] = says(tmp_path / "far.onnx", answer).settle(canvas(), [POINTS])
    np.testing.assert_array_equal(settled, POINTS)


def test_who_cannot_be_told_stays_where_the_detector_saw_them(tmp_path):
    aligner = says(tmp_path / "right.onnx", [0.03, 0, 0, 0])
    spot, outside = np.full((5, 2), 40, np.float32), POINTS + np.float32(5000)
    settled = aligner.settle(canvas(), [spot, POINTS, outside])
    np.testing.assert_array_equal(settled[0], spot)
    np.testing.assert_array_equal(settled[2], outside)
    assert (settled[1] != POINTS).any()
    assert aligner.settle(canvas(), []) == []
    box = Box(250, 150, 420, 330)
    first, second = aligner.settle_faces(canvas(), [Face(box, 0.9), Face(box, 0.8, POINTS)])
    assert first.landmarks is None
    np.testing.assert_array_equal(second.landmarks, settled[1])
    assert (second.box, second.score) == (box, 0.8)


def test_what_is_no_aligner_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="aligns no faces"):
        open_aligner(PACKAGED / "guard.onnx")
    with pytest.raises(WeightsError, match="no such network"):
        open_aligner(tmp_path / "none.onnx")
    with pytest.raises(EngineError, match="finite"):
        says(tmp_path / "nan.onnx", [np.nan] * 4).settle(canvas(), [POINTS])


def test_a_crop_is_the_same_read_by_region_or_whole():
    frame = canvas()
    matrix = estimate_similarity(POINTS, template(64))
    whole = cv2.warpAffine(frame.samples, matrix, (64, 64))
    # Where the picture shrinks it is smoothed first; this one does hardly.
    assert np.abs(crop_around(frame, matrix, 64).astype(int) - whole).mean() < 40
    assert crop_around(frame, matrix + np.array([[0, 0, 5000], [0, 0, 0]]), 64) is None


@pytest.mark.network
def test_landmarks_that_are_off_come_together_on_a_portrait(detector, astronaut):
    frame = StillFrame(astronaut)
    face = max(detector.detect([astronaut])[0], key=lambda one: one.score)
    rng = np.random.default_rng(1)
    between = float(np.linalg.norm(face.landmarks[1] - face.landmarks[0]))
    base = estimate_similarity(face.landmarks, template(UNIT))
    off = []
    for _ in range(24):
        drawn = movement(rng.normal(0, [0.03, 0.03, 0.07, 0.06]).clip(-0.12, 0.12))
        off.append(transform(transform(transform(face.landmarks, base), drawn), invert(base)).astype(np.float32))
    aligner = open_aligner(threads=1)

    def scatter(some):
        centre = np.median(some, axis=0)
        return float(np.linalg.norm(np.array(some) - centre, axis=2).mean()) / between

    settled = aligner.settle(frame, off)
    assert scatter(off) > 0.08
    assert scatter(settled) < 0.03
    # Upside down it is the same face.
    turned = np.ascontiguousarray(astronaut[::-1, ::-1])
    end = np.array([astronaut.shape[1] - 1, astronaut.shape[0] - 1], np.float32)
    again = aligner.settle(StillFrame(turned), [end - off[0]])[0]
    assert np.linalg.norm(end - again - settled[0], axis=1).mean() < 0.03 * between


def test_it_is_small_enough_to_ship():
    assert (PACKAGED / "aligner.onnx").stat().st_size < 0.3e6
