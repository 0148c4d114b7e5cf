"""Poses of a head that was turned by hand, landmarks by a loop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from masquerade.audit.utility import _MEAN_FACE, correlation, head_pose, landmark_error, openness, pose_error
from masquerade.errors import FaceError
from masquerade.faces.align import template

DEGREES = st.floats(-50, 50)


@given(DEGREES, st.floats(-35, 35), DEGREES, st.floats(5, 400), st.floats(-500, 500))
def test_a_head_turned_by_hand_is_found_so(yaw, pitch, roll, size, shift):
    """Orthographic here, from far away there. Turned about the vertical first, then the picture's plane."""
    # x right, y down, z away: to the picture's right is a negative turn about y, upwards a positive one about x.
    turn = Rotation.from_euler("YXZ", [-yaw, pitch, roll], degrees=True)
    nose = turn.apply([0, 0, -1])
    expected_yaw, expected_pitch = np.degrees(np.arctan2(nose[0], -nose[2])), np.degrees(np.arcsin(-nose[1]))
    found = head_pose((turn.apply(_MEAN_FACE)[:, :2] * size + shift).astype(np.float64))
    assert found[:2] == pytest.approx([expected_yaw, expected_pitch], abs=3)


def test_signs_and_the_upright_face():
    straight = head_pose(template(112))
    assert np.abs(straight).max() < 12, "the template itself looks a little down"
    to_the_right = template(112)
    to_the_right[2] += [10, 0]
    up = template(112)
    up[2] -= [0, 8]
    assert head_pose(to_the_right)[0] > straight[0] + 10
    assert head_pose(up)[1] > straight[1] + 5
    angle = np.radians(20)
    clockwise = template(112) @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    assert head_pose(clockwise)[2] == pytest.approx(straight[2] + 20, abs=1)
    for wrong in (np.zeros((5, 2)), np.full((5, 2), np.nan), np.zeros((4, 2))):
        with pytest.raises(FaceError):
            head_pose(wrong)


def test_angles_go_the_shorter_way_round():
    assert pose_error([170, -5, 0], [-170, 5, 0]).tolist() == [20, 10, 0]


def test_landmark_error_by_a_loop():
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(68, 2)) * 40, rng.normal(size=(68, 2)) * 40
    apart = np.hypot(*(before[36] - before[45]))
    expected = sum(np.hypot(*(b - a)) for b, a in zip(before, after, strict=True)) / 68 / apart
    assert landmark_error(before, after, (36, 45)) == pytest.approx(expected)
    assert landmark_error(template(112), template(112) + np.array([3.5237, 0])) == pytest.approx(0.1, abs=1e-3)
    with pytest.raises(FaceError):
        landmark_error(np.zeros((5, 2)), np.zeros((5, 2)))


def test_openness_is_height_over_width():
    points = np.zeros((68, 2))
    points[[60, 64]] = [0, 0], [10, 0]
    points[[61, 62, 63]] = [[2, -2], [5, -2], [8, -2]]
    points[[67, 66, 65]] = [[2, 2], [5, 2], [8, 2]]
    for first in (36, 42):
        points[first], points[first + 3] = [0, 0], [6, 0]
        points[[first + 1, first + 2]], points[[first + 5, first + 4]] = [[2, -1], [4, -1]], [[2, 1], [4, 1]]
    assert openness(points) == pytest.approx((0.4, 2 / 6))
    assert np.isnan(openness(np.zeros((68, 2)))).all()


def test_correlation_is_numpys():
    rng = np.random.default_rng(0)
    a = rng.normal(size=40)
    b = a + rng.normal(size=40)
    assert correlation(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert np.isnan(correlation(a, np.ones(40)))
