"""Faces larger than a swapper's crop, with a network that the test makes itself."""

from itertools import pairwise

import cv2
import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from masquerade.errors import EngineError, FaceError, WeightsError  # noqa: E402
from masquerade.faces.align import estimate_similarity, template  # noqa: E402
from masquerade.models.cards import PACKAGED  # noqa: E402
from masquerade.swap.blend import blend, cut, face_mask  # noqa: E402
from masquerade.swap.enlarge import enlarged_by, open_enlarger  # noqa: E402

SIDE = 32


@pytest.fixture
def doubling(tmp_path):
    """A network that repeats each pixel, times 1.5."""
    nodes = [
        helper.make_node("Resize", ["crop", "", "scales"], ["repeated"], mode="nearest"),
        helper.make_node("Mul", ["repeated", "gain"], ["large"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales"),
        numpy_helper.from_array(np.array(1.5, np.float32), "gain"),
    ]
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3, side, side])
        for name, side in (("crop", SIDE), ("large", 2 * SIDE))
    ]
    graph = helper.make_graph(nodes, "doubling", ports[:1], ports[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "doubling.onnx")
    return tmp_path / "doubling.onnx"


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_crops_come_back_at_twice_their_side_and_in_range(doubling, engine):
    enlarger = open_enlarger(doubling, engine=engine, threads=1)
    assert enlarger.side == SIDE
    crops = np.random.default_rng(0).uniform(-1, 1, (3, 3, SIDE, SIDE)).astype(np.float32)
    expected = (crops.repeat(2, axis=2).repeat(2, axis=3) * 1.5).clip(-1, 1)
    np.testing.assert_allclose(enlarger.enlarge(crops), expected, atol=1e-6)
    one = enlarged_by(enlarger)(crops[1].transpose(1, 2, 0))
    np.testing.assert_allclose(one, expected[1].transpose(1, 2, 0), atol=1e-6)


def test_what_does_not_fit_is_refused(doubling, tmp_path):
    enlarger = open_enlarger(doubling, threads=1)
    for crops in (np.zeros((1, 3, SIDE, SIDE)), np.zeros((1, 3, SIDE, 2 * SIDE), np.float32)):
        with pytest.raises(FaceError, match="takes float32"):
            enlarger.enlarge(crops)
    with pytest.raises(EngineError, match="finite"):
        enlarger.enlarge(np.full((1, 3, SIDE, SIDE), np.nan, np.float32))
    with pytest.raises(WeightsError, match="enlarges no crops"):
        open_enlarger(PACKAGED / "guard.onnx", threads=1)
    with pytest.raises(WeightsError, match="no such network"):
        open_enlarger(tmp_path / "none.onnx")


def striped(crop):
    """Twice as many pixels, and stripes on them as the crop could not have shown."""
    large = cv2.resize(crop, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    for row in range(4):
        large[row::4] += 0.2 if row < 2 else -0.2
    return large


def stripes(scale, enlarge=striped):
    """Contrast of the stripes in the middle of a plain face that is so many times larger than the crop, in levels."""
    side = 64
    points = (template(side) + np.float32(0.5)) * np.float32(scale) + np.float32(39.5)
    image = np.full((int(side * scale) + 80,) * 2 + (3,), 120, np.uint8)
    matrix = estimate_similarity(points, template(side))
    new = np.zeros((side, side, 3), np.float32)
    made = blend(image, new, matrix, face_mask(template(side), side), old=new, enlarge=enlarge).astype(float)
    middle = made[made.shape[0] // 2 - 10 : made.shape[0] // 2 + 10, made.shape[1] // 2 - 10 : made.shape[1] // 2 + 10]
    np.testing.assert_array_equal(made[:30], image[:30])
    return float(middle.max() - middle.min())


def test_detail_of_the_network_shows_where_the_face_is_larger_than_the_crop_and_comes_by_and_by():
    assert stripes(1.0) == stripes(0.7) == 0
    assert stripes(2.0, None) == 0
    assert stripes(2.0) == pytest.approx(0.4 * 127.5, abs=2)
    shown = [stripes(scale) for scale in (1.02, 1.06, 1.12, 2.0)]
    assert all(a < b for a, b in pairwise(shown))
    assert shown[0] < 6


def test_faces_many_times_larger_than_the_crop_get_it_too():
    assert stripes(4.0) > 0.4 * 127.5
    assert stripes(4.0, None) == 0


def test_the_place_stays_where_it_was():
    """A crop that is enlarged by the network lies where one that is interpolated lies."""
    rng = np.random.default_rng(1)
    image = cv2.GaussianBlur(rng.integers(0, 256, (400, 400, 3), np.uint8), (0, 0), 6)
    matrix = estimate_similarity(template(64) * np.float32(3) + np.float32(70), template(64))
    crop, mask = cut(image, matrix, 64), face_mask(template(64), 64)

    def doubled(crop):
        return cv2.resize(crop, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)

    plain = blend(image, crop, matrix, mask, old=crop).astype(float)
    drawn = blend(image, crop, matrix, mask, old=crop, enlarge=doubled).astype(float)
    assert np.abs(plain - drawn).max() <= 3


def test_the_packaged_one_leaves_light_and_colour_and_draws_no_pattern():
    enlarger = open_enlarger(threads=1)
    assert (PACKAGED / "upscaler.onnx").stat().st_size < 0.3e6
    colours = np.random.default_rng(0).uniform(-0.8, 0.8, (4, 3, 1, 1)).astype(np.float32)
    plain = np.broadcast_to(colours, (4, 3, enlarger.side, enlarger.side)).copy()
    inside = enlarger.enlarge(plain)[..., 16:-16, 16:-16]
    assert np.abs(inside - colours).max() < 4 / 127.5, "a plain wall stays plain"
    slope = np.linspace(-0.7, 0.7, enlarger.side, dtype=np.float32)
    ramp = np.broadcast_to(slope[:, None], (1, 3, enlarger.side, enlarger.side)).copy()
    large = cv2.resize(ramp[0, 0], None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    assert np.abs(enlarger.enlarge(ramp)[0, 0] - large)[16:-16, 16:-16].max() < 4 / 127.5


def test_the_packaged_one_makes_an_edge_sharper_and_keeps_its_place():
    enlarger = open_enlarger(threads=1)
    edge = np.full((256, 256, 3), 70, np.uint8)
    cv2.circle(edge, (128, 128), 70, (190, 150, 120), -1, cv2.LINE_AA)
    small = cv2.GaussianBlur(cv2.resize(edge, (128, 128), interpolation=cv2.INTER_AREA), (0, 0), 0.7)
    crop = small.astype(np.float32) / np.float32(127.5) - np.float32(1)
    made = (enlarged_by(enlarger)(crop) + 1) * 127.5
    plain = cv2.resize(small.astype(np.float32), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    steepest, before = (float(np.abs(np.diff(one[..., 0], axis=1)).max()) for one in (made, plain))
    assert steepest > 1.1 * before
    inside, wanted = (float((one[..., 0] > 130).sum()) for one in (made, edge))
    assert inside == pytest.approx(wanted, rel=0.01)
    # Hardly a darker or brighter line beside the edge, as sharpening would leave one.
    assert np.percentile(70 - made, 99.5) < 10
    assert (70 - made).max() < 30
    assert (made.max((0, 1)) < np.array([190, 150, 120]) + 20).all()
