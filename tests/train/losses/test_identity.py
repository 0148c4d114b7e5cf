import math

import pytest

torch = pytest.importorskip("torch")

from masquerade.train.losses.counterfactual import counterfactual, mask_area  # noqa: E402
from masquerade.train.losses.identity import identity  # noqa: E402


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def embeddings(n=5, d=7):
    torch.manual_seed(0)
    return torch.randn(n, d, dtype=torch.float64), 9 * torch.randn(n, d, dtype=torch.float64)


def test_identity_and_counterfactual_are_their_formulas():
    a, b = embeddings()
    cosines = [cosine(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    assert float(identity(a, b)) == pytest.approx(1 - sum(cosines) / 5)
    assert float(counterfactual(a, b)) == pytest.approx(1 + sum(cosines) / 5)


def test_their_ends():
    a, _ = embeddings()
    assert float(identity(a, 3 * a)) == pytest.approx(0, abs=1e-12)
    assert float(identity(a, -a)) == pytest.approx(2)
    assert float(counterfactual(a, -2 * a)) == pytest.approx(0, abs=1e-12)
    assert float(counterfactual(a, a)) == pytest.approx(2)


def test_following_the_counterfactual_ends_at_the_negated_identity():
    z = torch.nn.functional.normalize(torch.randn(4, 6, generator=torch.Generator().manual_seed(1)))
    got = torch.nn.Parameter(z + 0.3 * torch.randn(4, 6, generator=torch.Generator().manual_seed(2)))
    optimizer = torch.optim.Adam([got], lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        counterfactual(z, got).backward()
        optimizer.step()
    assert float(identity(-z, got.detach())) < 1e-2


def test_mask_area_is_the_share_of_the_picture():
    masks = torch.zeros(2, 1, 4, 4)
    masks[0, 0, :2] = 1
    assert float(mask_area(masks)) == pytest.approx(0.25)
