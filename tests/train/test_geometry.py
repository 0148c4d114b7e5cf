import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masquerade.faces.expression import MEASURES
from masquerade.train.geometry import lids, measured, upright


def a_mesh(seed=0):
    """A face seen from the front: only the points that are measured lie where a face has them; pixels."""
    points = np.random.default_rng(seed).normal(0, 5, (468, 3))
    places = {
        (33, 263): (45, 0), (133, 362): (17, 0), (168, 168): (0, -3), (2, 2): (0, 40), (152, 152): (0, 95),
        (0, 0): (0, 52), (13, 13): (0, 57), (14, 14): (0, 60), (17, 17): (0, 66), (61, 291): (24, 57),
        (160, 387): (35, -5), (144, 373): (35, 5), (159, 386): (31, -6), (145, 374): (31, 6), (158, 385): (27, -5),
        (153, 380): (27, 5), (55, 285): (13, -18), (107, 336): (13, -23), (63, 293): (38, -24), (105, 334): (38, -28),
    }  # fmt: skip
    for (left, right), (x, y) in places.items():
        points[left], points[right] = (-x, y, 0), (x, y, 0)
    return points


def turned(points, yaw, pitch, roll):
    cos, sin = np.cos([yaw, pitch, roll]), np.sin([yaw, pitch, roll])
    around = np.array([[cos[0], 0, sin[0]], [0, 1, 0], [-sin[0], 0, cos[0]]])
    nod = np.array([[1, 0, 0], [0, cos[1], -sin[1]], [0, sin[1], cos[1]]])
    tilt = np.array([[cos[2], -sin[2], 0], [sin[2], cos[2], 0], [0, 0, 1]])
    return points @ (tilt @ nod @ around).T


def measure(points):
    return dict(zip(MEASURES, measured(points[None].astype(np.float32))[0].tolist(), strict=True))


angle = st.floats(-0.8, 0.8)


@given(yaw=angle, pitch=angle, roll=angle, scale=st.floats(0.3, 4), x=st.floats(-90, 90), y=st.floats(-90, 90))
def test_a_turned_head_measures_as_a_frontal_one(yaw, pitch, roll, scale, x, y):
    moved = scale * turned(a_mesh(), yaw, pitch, roll) + [x, y, 30]
    assert measure(moved) == pytest.approx(measure(a_mesh()), abs=1e-4)


def test_upright_means_eyes_level_one_apart_and_the_nose_below_the_bridge():
    points = upright(turned(a_mesh(), 0.4, -0.3, 0.7)[None].astype(np.float32))[0]
    assert points[168] == pytest.approx([0, 0, 0], abs=1e-6)
    assert points[263] - points[33] == pytest.approx([1, 0, 0], abs=1e-6)
    assert points[2, 1] > 0 and points[2, [0, 2]] == pytest.approx([0, 0], abs=1e-6)


@pytest.mark.parametrize(
    ("points", "move", "which", "change"),
    [
        ((14, 17, 152), (0, 9), "mouth open", 0.1),
        ((152,), (0, 9), "jaw drop", 0.1),
        ((291,), (9, 0), "mouth width", 0.1),
        ((61, 291), (0, -9), "corners up", 0.1),
        ((0,), (0, -4.5), "upper lip up", 0.05),
        ((145, 374, 144, 373, 153, 380), (0, -2.8), "eyes open", -0.1),
        ((55, 285, 107, 336), (0, -9), "inner brows up", 0.1),
        ((63, 293, 105, 334), (0, -9), "outer brows up", 0.1),
        ((285,), (9, 0), "brows apart", 0.1),
    ],
)
def test_what_a_face_does_is_measured_and_named(points, move, which, change):
    before, face = measure(a_mesh()), a_mesh()
    face[list(points), :2] += move
    assert measure(face)[which] - before[which] == pytest.approx(change, abs=2e-3)


def test_lids_run_from_left_to_right_the_upper_above_the_lower():
    lines = lids(a_mesh()[None].astype(np.float32))
    assert lines.shape == (1, 2, 2, 9, 2)
    left, right = lines[0]
    for eye, (start, end) in ((left, (-45, -17)), (right, (17, 45))):
        assert (eye[:, [0, -1], 0] == [start, end]).all()
        assert (eye[0, 3:6, 1] < 0).all() and (eye[1, 3:6, 1] > 0).all()
        assert (np.diff(eye[:, 3:6, 0], axis=1) > 0).all()
