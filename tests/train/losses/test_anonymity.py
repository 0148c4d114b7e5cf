import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from masquerade.train.losses.anonymity import repulsion  # noqa: E402
from masquerade.train.losses.scene import features, light, outside, surroundings  # noqa: E402


def at(*degrees):
    angles = torch.tensor([math.radians(d) for d in degrees], dtype=torch.float64)
    return torch.stack([angles.cos(), angles.sin()], 1)


def test_repulsion_counts_what_is_above_the_limit_among_pairs_that_are_to_differ():
    own, got = at(0, 0, 0, 0), 3 * at(0, 60, 120, 10)
    different = torch.tensor([True, True, True, False])
    expected = ((1 + 0.1) + (0.5 + 0.1) + 0) / 3.001
    assert float(repulsion(own, got, different, -0.1)) == pytest.approx(expected)
    assert float(repulsion(own, got, torch.zeros(4), -0.1)) == 0


def test_following_it_ends_at_the_limit_and_no_farther():
    own = at(0, 90, 200)
    got = torch.nn.Parameter(at(5, 80, 190))
    optimizer = torch.optim.SGD([got], lr=0.05)
    for _ in range(800):
        optimizer.zero_grad()
        repulsion(own, got, torch.ones(3), -0.2).backward()
        optimizer.step()
    cosines = torch.nn.functional.cosine_similarity(own, got.detach())
    assert cosines.numpy() == pytest.approx(np.full(3, -0.2), abs=0.03)


def test_light_sees_means_of_places_and_no_detail():
    rng = torch.Generator().manual_seed(0)
    target = torch.rand(2, 3, 32, 32, generator=rng)
    texture = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(16, 16)
    assert float(light(target, target + 0.2 * texture)) == pytest.approx(0, abs=1e-6)
    assert float(light(target, target + 0.1)) == pytest.approx(0.1, rel=1e-4)


def test_features_see_an_eye_shut_and_neither_skin_nor_pores_nor_a_beard():
    rng = torch.Generator().manual_seed(1)
    target = torch.rand(2, 3, 128, 128, generator=rng) - 0.5
    assert float(features(target, target + torch.tensor([0.3, 0.1, -0.2])[:, None, None])) == pytest.approx(0, abs=1e-6)
    fine = torch.zeros_like(target)
    fine[..., ::2, ::2], fine[..., 1::2, 1::2] = 0.2, -0.2
    assert float(features(target, target + fine)) == pytest.approx(0, abs=1e-6)
    bearded = target.clone()
    bearded[:, :, 120:] = -1
    assert float(features(target, bearded)) == 0
    # Landmarks of the crop: eyes at (43.8, 59.1) and (84.0, 58.9), the middle of the mouth at (64.2, 105.5).
    changes = [(slice(57, 62), slice(40, 48)), (slice(57, 62), slice(80, 88)), (slice(103, 108), slice(58, 70))]
    for rows, columns in changes:
        changed = target.clone()
        changed[0, :, rows, columns] -= 0.5
        assert float(features(target, changed)) > 0.003
        assert float(features(target, changed)) == pytest.approx(float(features(changed, target)))


def test_surroundings_are_the_corners_and_not_the_face():
    mask = outside(128)
    assert mask.shape == (128, 128)
    for x, y in [(38, 51), (73, 51), (56, 72), (41, 92), (71, 92), (56, 30)]:  # the template's points, and the brow
        assert float(mask[y * 8 // 7, x * 8 // 7]) == 0
    assert all(float(mask[y, x]) == 1 for x in (0, 127) for y in (0, 127))
    target, changed = torch.zeros(1, 3, 128, 128), torch.zeros(1, 3, 128, 128)
    changed[..., 50:90, 50:80] = 1
    assert float(surroundings(target, changed)) == 0
    changed[..., 0, 0] = 1
    assert float(surroundings(target, changed)) == pytest.approx(1 / 128**2)
