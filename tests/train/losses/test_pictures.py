"""Losses between pictures: reconstruction, perceptual, cycle, feature matching."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from masquerade.train.losses.cycle import cycle  # noqa: E402
from masquerade.train.losses.feature_matching import attribute_matching, weak_feature_matching  # noqa: E402
from masquerade.train.losses.perceptual import perceptual  # noqa: E402
from masquerade.train.losses.reconstruction import absolute, over_same, squared  # noqa: E402


def pictures(n=4):
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(n, 3, 5, 6, generator=generator, dtype=torch.float64) * 2 - 1 for _ in range(2)]


SAME = [True, False, True, False]


def test_reconstruction_counts_same_pairs_only():
    target, result = pictures()
    a, b = target.numpy(), result.numpy()
    kept = [index for index, same in enumerate(SAME) if same]
    expected = sum(np.abs(a[i] - b[i]).mean() for i in kept) / 2.001 / 2
    assert float(absolute(target, result, torch.tensor(SAME))) == pytest.approx(expected)
    expected = sum(((a[i] - b[i]) ** 2).mean() for i in kept) / 2.001 / 2
    assert float(squared(target, result, torch.tensor(SAME))) == pytest.approx(expected)


def test_without_a_same_pair_nothing_is_asked():
    target, result = pictures()
    nobody = torch.zeros(4)
    result.requires_grad_()
    loss = absolute(target, result, nobody) + squared(target, result, nobody)
    loss.backward()
    assert float(loss) == 0 and not result.grad.any()


def test_reconstruction_has_a_ceiling():
    target, result = pictures()
    assert float(absolute(target, result + 1000, torch.ones(4))) == 5


def test_over_same_is_a_mean():
    assert float(over_same(torch.tensor([1.0, 2.0, 30.0]), torch.tensor([1, 1, 0]))) == pytest.approx(3 / 2.001)


def test_perceptual_compares_maps_of_same_pairs_scaled():
    target, result = pictures()

    def network(x):
        return [x[:, :2] ** 2, x.mean((2, 3))]

    expected = 0.0
    for a, b in zip(network(target), network(result), strict=True):
        each = [np.abs(0.85 * a[i].numpy() - 0.85 * b[i].numpy()).mean() for i in range(4) if SAME[i]]
        expected += sum(each) / 2.001
    assert float(perceptual(network, target, result, torch.tensor(SAME))) == pytest.approx(expected)


def test_perceptual_sends_its_gradient_to_the_result_alone():
    target, result = (picture.requires_grad_() for picture in pictures())
    perceptual(lambda x: [x**3], target, result, torch.tensor(SAME)).backward()
    assert target.grad is None
    assert [bool(g.any()) for g in result.grad] == SAME


def test_cycle_is_the_mean_absolute_difference():
    target, returned = pictures()
    assert float(cycle(target, returned)) == pytest.approx(np.abs(target.numpy() - returned.numpy()).mean())


def layers(seed):
    generator = torch.Generator().manual_seed(seed)
    return [
        [torch.randn(2, c, s, s, generator=generator, dtype=torch.float64) for c, s in [(2, 8), (3, 4), (4, 2), (1, 2)]]
        for _ in range(2)
    ]


@pytest.mark.parametrize("last", [1, 2, 3])
def test_weak_feature_matching_takes_the_deepest_layers_but_not_the_logits(last):
    target, result = layers(0), layers(1)
    expected = sum(
        np.abs(a[index].numpy() - b[index].numpy()).mean()
        for a, b in zip(target, result, strict=True)
        for index in range(3 - last, 3)
    )
    assert float(weak_feature_matching(target, result, last)) == pytest.approx(expected)


def test_weak_feature_matching_leaves_the_target_alone():
    target, result = layers(0), layers(1)
    for scale in target + result:
        for value in scale:
            value.requires_grad_()
    weak_feature_matching(target, result, 1).backward()
    assert all(value.grad is None for scale in target for value in scale)
    assert all([value.grad is not None for value in scale] == [False, False, True, False] for scale in result)


def test_attribute_matching_is_half_the_sum_of_mean_squares():
    target, result = layers(0)[0], layers(1)[0]
    expected = sum(((a.numpy() - b.numpy()) ** 2).mean() / 2 for a, b in zip(target, result, strict=True))
    assert float(attribute_matching(target, result)) == pytest.approx(expected)
