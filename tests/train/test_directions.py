import numpy as np
import pytest

from masquerade.train.directions import explained, slopes


def test_slopes_are_those_of_what_is_drawn_whatever_the_targets_are():
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((6, 2)).astype(np.float32)
    told = rng.standard_normal((8, 50, 6)).astype(np.float32)
    targets = 5 * rng.standard_normal((1, 50, 2)).astype(np.float32)
    drawn = told @ truth + targets
    np.testing.assert_allclose(slopes(told, drawn), truth, atol=0.02)
    assert explained(truth, told, drawn) == pytest.approx([1, 1], abs=1e-4)
    noisy = drawn + np.float32(np.sqrt((truth**2).sum(0))) * rng.standard_normal(drawn.shape).astype(np.float32)
    assert explained(slopes(told, noisy), told, noisy) == pytest.approx([0.5, 0.5], abs=0.1)
    assert (explained(np.zeros_like(truth), told, drawn) < 1e-6).all()
