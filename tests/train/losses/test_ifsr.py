import math

import pytest

torch = pytest.importorskip("torch")

from masquerade.train.losses.ifsr import PUBLISHED_MARGINS, block_features, distances, ifsr  # noqa: E402


def maps(seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(3, *shape, generator=generator, dtype=torch.float64) for shape in [(2, 4, 4), (4, 2, 2), (6,)]]


def by_hand(target, result, margins, scale):
    total = 0.0
    for a, b, margin in zip(target, result, margins, strict=True):
        each = []
        for x, y in zip(a.flatten(1).tolist(), b.flatten(1).tolist(), strict=True):
            dot = sum(p * q for p, q in zip(x, y, strict=True))
            each.append(1 - dot / math.sqrt(sum(p * p for p in x) * sum(q * q for q in y)))
        total += max(0.0, sum(each) / len(each) - scale * margin)
    return total


@pytest.mark.parametrize("margins", [[0.0, 0.0, 0.0], [0.3, 5.0, 0.01]])
@pytest.mark.parametrize("scale", [1.0, 1.2])
def test_it_is_its_formula(margins, scale):
    target, result = maps(0), maps(1)
    expected = by_hand(target, result, margins, scale)
    assert float(ifsr(target, result, margins, scale)) == pytest.approx(expected, rel=1e-9)


def test_without_margins_it_is_the_sum_of_distances():
    target, result = maps(0), maps(1)
    expected = sum(float(distances(a, b).mean()) for a, b in zip(target, result, strict=True))
    assert float(ifsr(target, result)) == pytest.approx(expected)


def test_inside_its_margin_a_block_neither_costs_nor_pulls():
    target = maps(0)
    near = [(a + 0.01 * b).requires_grad_() for a, b in zip(target, maps(1), strict=True)]
    loss = ifsr(target, near, [0.1, 0.1, 0.1])
    loss.backward()
    assert float(loss.detach()) == 0
    assert not any(value.grad.any() for value in near)


def test_the_batch_is_averaged_before_the_margin_is_taken_off():
    same, other = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    # Distances 0 and 1 have the mean 0.5, which a margin of 0.5 covers; margin by margin one half would be left.
    assert float(ifsr([same], [other], [0.5], scale=1.0)) == 0


def test_the_published_margins_are_those_of_eleven_blocks_that_rise_with_depth():
    assert len(PUBLISHED_MARGINS) == 11
    values = list(PUBLISHED_MARGINS.values())
    assert sum(values) == pytest.approx(0.888137)
    assert max(values[:5]) < min(values[5:])


def test_a_missing_margin_is_an_error():
    with pytest.raises(ValueError):
        ifsr(maps(0), maps(1), [0.1])


def test_block_features_are_what_the_blocks_of_any_encoder_give_in_the_order_asked_for():
    torch.manual_seed(0)
    encoder = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 2, 3))
    faces = torch.randn(2, 3, 8, 8)
    last, first = block_features(encoder, ["2", "0"], faces)
    assert torch.equal(first, encoder[0](faces))
    assert torch.equal(last, encoder(faces))
    assert not any(module._forward_hooks for module in encoder.modules())


def test_gradients_reach_the_picture_through_block_features():
    torch.manual_seed(0)
    encoder = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Tanh(), torch.nn.Conv2d(4, 2, 3)).requires_grad_(
        False
    )
    target, result = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8, requires_grad=True)
    with torch.no_grad():
        wanted = block_features(encoder, ["0", "2"], target)
    ifsr(wanted, block_features(encoder, ["0", "2"], result)).backward()
    assert result.grad.abs().sum() > 0


def test_an_unknown_block_is_an_error_and_leaves_no_hook():
    encoder = torch.nn.Sequential(torch.nn.ReLU())
    with pytest.raises(AttributeError):
        block_features(encoder, ["0", "9"], torch.zeros(1))
    assert not encoder[0]._forward_hooks
