import math

import pytest

torch = pytest.importorskip("torch")

from masquerade.train.losses.margin import arcface, cosface  # noqa: E402


def by_hand(cosines, people, harder, scale):
    """Cross entropy, one face and one person at a time."""
    losses = []
    for row, person in zip(cosines, people, strict=True):
        logits = [scale * (harder(c) if j == person else c) for j, c in enumerate(row)]
        losses.append(math.log(sum(math.exp(x - max(logits)) for x in logits)) + max(logits) - logits[person])
    return sum(losses) / len(losses)


def some_cosines(n=6, k=9):
    torch.manual_seed(3)
    return torch.empty(n, k, dtype=torch.float64).uniform_(-1, 1), torch.randint(k, (n,))


@pytest.mark.parametrize(("margin", "scale"), [(0.0, 1.0), (0.35, 32.0), (0.2, 64.0)])
def test_cosface_is_its_formula(margin, scale):
    cosines, people = some_cosines()
    expected = by_hand(cosines.tolist(), people.tolist(), lambda c: c - margin, scale)
    assert float(cosface(cosines, people, margin=margin, scale=scale)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("margin", "scale"), [(0.0, 1.0), (0.5, 32.0), (0.3, 64.0)])
def test_arcface_is_its_formula_on_both_sides_of_its_bend(margin, scale):
    cosines, people = some_cosines()
    cosines[0, people[0]] = -0.999

    def harder(cosine):
        angle = math.acos(cosine)
        return math.cos(angle + margin) if angle + margin <= math.pi else cosine - margin * math.sin(margin)

    expected = by_hand(cosines.tolist(), people.tolist(), harder, scale)
    assert float(arcface(cosines, people, margin=margin, scale=scale)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("loss", [arcface, cosface])
def test_without_a_margin_it_is_plain_softmax(loss):
    cosines, people = some_cosines()
    plain = torch.nn.functional.cross_entropy(16 * cosines, people)
    assert float(loss(cosines, people, margin=0.0, scale=16.0)) == pytest.approx(float(plain), rel=1e-6)


@pytest.mark.parametrize("loss", [arcface, cosface])
def test_gradients_are_finite_where_a_face_sits_on_its_prototype_and_opposite_it(loss):
    cosines = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    loss(cosines, torch.tensor([0, 0])).backward()
    assert torch.isfinite(cosines.grad).all()
    assert (cosines.grad[1, 0] < 0) and (cosines.grad[1, 1] > 0)
