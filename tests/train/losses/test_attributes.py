import math

import pytest

torch = pytest.importorskip("torch")

from masquerade.train.losses.attributes import gaze, landmarks, pose  # noqa: E402


def test_landmarks_is_the_mean_distance_of_points():
    target = torch.tensor([[[0.0, 0.0], [1.0, 1.0]]])
    result = torch.tensor([[[3.0, 4.0], [1.0, 2.0]]])
    assert float(landmarks(target, result)) == pytest.approx((5 + 1) / 2)


@pytest.mark.parametrize("degrees", [0.0, 5.0, 60.0, 180.0])
def test_gaze_is_one_minus_the_cosine_whatever_the_lengths(degrees):
    angle = math.radians(degrees)
    target = torch.tensor([[[0.0, 0.0, -2.0], [0.0, 0.0, -1.0]]], dtype=torch.float64)
    result = torch.tensor([[[math.sin(angle), 0.0, -math.cos(angle)], [0.0, 0.0, -7.0]]], dtype=torch.float64)
    assert float(gaze(target, result)) == pytest.approx((1 - math.cos(angle)) / 2, abs=1e-9)


def test_pose_goes_the_short_way_round():
    target = torch.tensor([[math.radians(179), 0.0, 0.0], [0.3, 0.4, 0.0]], dtype=torch.float64)
    result = torch.tensor([[math.radians(-179), 0.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    assert float(pose(target, result)) == pytest.approx((math.radians(2) + 0.5) / 2, rel=1e-6)


@pytest.mark.parametrize(("loss", "shape"), [(landmarks, (2, 5, 2)), (gaze, (2, 3)), (pose, (2, 3))])
def test_what_is_kept_costs_nothing_and_pulls_nowhere(loss, shape):
    target = torch.rand(shape) + 0.1
    result = target.clone().requires_grad_()
    value = loss(target, result)
    value.backward()
    assert float(value) < 1e-5
    assert torch.isfinite(result.grad).all() and float(result.grad.abs().max()) < 1e-5
