"""The detectors' geometry against loops written out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from masquerade.faces.detect import boxes as b
from masquerade.types import Box, Face

edges = st.floats(-100, 100, width=16)


@st.composite
def some_boxes(draw, most=12):
    corners = draw(arrays(np.float32, (draw(st.integers(0, most)), 2, 2), elements=edges))
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def iou_by_hand(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
    return common / union if union > 0 else 0.0


@given(some_boxes(), some_boxes())
def test_iou_as_by_hand(first, second):
    expected = [[iou_by_hand(p, q) for q in second.astype(float)] for p in first.astype(float)]
    np.testing.assert_allclose(
        b.iou_matrix(first, second), np.reshape(expected, (len(first), len(second))), rtol=1e-4, atol=1e-6
    )


def test_iou_of_two_boxes():
    assert b.iou(Box(0, 0, 2, 2), Box(1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert b.iou(Box(0, 0, 2, 2), Box(5, 5, 6, 6)) == 0
    assert b.iou(Box(1, 1, 1, 1), Box(1, 1, 1, 1)) == 0


@given(some_boxes(), st.data(), st.floats(0, 1))
def test_suppression_as_by_hand(some, data, limit):
    scores = np.array(data.draw(st.lists(st.floats(0, 1, width=16), min_size=len(some), max_size=len(some))))
    scores = scores.astype(np.float32)
    overlap = b.iou_matrix(some, some)
    kept = []
    for i in sorted(range(len(some)), key=lambda i: (-scores[i], i)):
        if all(overlap[i, k] <= limit for k in kept):
            kept.append(i)
    assert b.non_maximum_suppression(some, scores, limit).tolist() == kept


def test_cells_and_anchors_as_by_hand():
    levels = ((8, (10, 20)), (16, (64,)))
    expected = []
    for stride, sides in levels:
        for row in range(32 // stride):
            for column in range(64 // stride):
                for side in sides:
                    expected.append(((column + 0.5) * stride, (row + 0.5) * stride, side, side))
    np.testing.assert_array_equal(b.anchors(64, 32, levels), np.array(expected, np.float32))
    assert b.cells(24, 16, 8).tolist() == [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1]]
    assert b.cells(16, 8, 8, 2).tolist() == [[0, 0], [0, 0], [1, 0], [1, 0]]


def test_offsets_points_and_distances_as_by_hand():
    rng = np.random.default_rng(1)
    around = rng.uniform(5, 90, (7, 4)).astype(np.float32)
    offsets = rng.normal(size=(7, 4)).astype(np.float32)
    points = rng.normal(size=(7, 10)).astype(np.float32)
    decoded = b.decode_offsets(offsets, around, (0.1, 0.2))
    marks = b.decode_points(points, around[:, :2], around[:, 2:])
    scaled = b.decode_points(points, around[:, :2], 8.0)
    far = b.decode_distances(np.abs(offsets), around[:, :2])
    for i, (cx, cy, w, h) in enumerate(around.tolist()):
        x, y = cx + offsets[i, 0] * 0.1 * w, cy + offsets[i, 1] * 0.1 * h
        half_w, half_h = w * math.exp(offsets[i, 2] * 0.2) / 2, h * math.exp(offsets[i, 3] * 0.2) / 2
        np.testing.assert_allclose(decoded[i], [x - half_w, y - half_h, x + half_w, y + half_h], rtol=1e-4)
        for k in range(5):
            dx, dy = points[i, 2 * k], points[i, 2 * k + 1]
            np.testing.assert_allclose(marks[i, k], [cx + dx * w, cy + dy * h], rtol=1e-4)
            np.testing.assert_allclose(scaled[i, k], [cx + 8 * dx, cy + 8 * dy], rtol=1e-4)
        left, top, right, bottom = np.abs(offsets[i])
        np.testing.assert_allclose(far[i], [cx - left, cy - top, cx + right, cy + bottom], rtol=1e-4)


def test_nothing_decodes_to_nothing():
    none = np.zeros((0, 4), np.float32)
    assert b.decode_offsets(none, none, (0.1, 0.2)).shape == (0, 4)
    assert b.decode_points(np.zeros((0, 10), np.float32), none[:, :2], none[:, 2:]).shape == (0, 5, 2)
    assert b.non_maximum_suppression(none, none[:, 0], 0.5).shape == (0,)


sides = st.integers(1, 400)


@given(sides, sides, st.integers(32, 640), st.integers(32, 640), arrays(np.float32, (4, 2), elements=edges))
def test_points_through_a_letterbox_and_back_are_where_they_were(width, height, across, down, points):
    canvas, view = b.letterbox(np.full((height, width, 3), 200, np.uint8), (across, down))
    assert canvas.shape == (down, across, 3)
    np.testing.assert_allclose(view.to_picture(view.to_canvas(points)), points, atol=1e-3)
    # The picture's outer edges, half a pixel beyond the outermost centres, are those of what lies on the canvas.
    rows, columns = np.flatnonzero(canvas.any(axis=(1, 2))), np.flatnonzero(canvas.any(axis=(0, 2)))
    corners = view.to_canvas(np.array([[-0.5, -0.5], [width - 0.5, height - 0.5]], np.float32))
    expected = [[columns[0] - 0.5, rows[0] - 0.5], [columns[-1] + 0.5, rows[-1] + 0.5]]
    np.testing.assert_allclose(corners, expected, atol=1e-3)


@pytest.mark.parametrize("size", [(320, 256), (96, 64), (700, 900)])
def test_a_spot_on_the_canvas_lies_where_the_view_says(size):
    y, x = np.mgrid[0:150, 0:200]
    spot = 255 * np.exp(-((x - 133.0) ** 2 + (y - 41.0) ** 2) / (2 * 9.0**2))
    canvas, view = b.letterbox(np.repeat(spot[..., None], 3, axis=2).astype(np.uint8), size)
    weight = canvas[..., 0].astype(float)
    v, u = np.mgrid[0 : size[1], 0 : size[0]]
    found = np.array([[(weight * u).sum(), (weight * v).sum()]]) / weight.sum()
    np.testing.assert_allclose(view.to_picture(found.astype(np.float32)), [[133, 41]], atol=0.1)


def test_a_face_on_the_canvas_in_the_picture():
    view = b.scaled_view((100, 50), (200, 100))
    landmarks = np.arange(10, dtype=np.float32).reshape(5, 2)
    face = view.face_to_picture(Face(Box(-0.5, -0.5, 199.5, 99.5), 0.7, landmarks))
    assert face.score == 0.7
    np.testing.assert_allclose(list(face.box), [-0.5, -0.5, 99.5, 49.5])
    np.testing.assert_allclose(face.landmarks, (landmarks + 0.5) / 2 - 0.5)
    assert view.face_to_picture(Face(Box(0, 0, 1, 1), 0.5)).landmarks is None
