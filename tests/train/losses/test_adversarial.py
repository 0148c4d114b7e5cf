import math

import pytest

torch = pytest.importorskip("torch")

from masquerade.train.losses.adversarial import (  # noqa: E402
    hinge_discriminator,
    hinge_generator,
    logistic_discriminator,
    logistic_generator,
    r1,
    squared_discriminator,
    squared_generator,
)

REAL, FAKE = [2.5, 0.3, -1.0], [-3.0, 0.5, 0.0]


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def test_logistic_is_its_formula():
    real, fake = torch.tensor(REAL), torch.tensor(FAKE)
    expected = mean(math.log1p(math.exp(-x)) for x in REAL) + mean(math.log1p(math.exp(x)) for x in FAKE)
    assert float(logistic_discriminator(real, fake)) == pytest.approx(expected, rel=1e-6)
    assert float(logistic_generator(fake)) == pytest.approx(mean(math.log1p(math.exp(-x)) for x in FAKE), rel=1e-6)


def test_logistic_is_the_cross_entropy_of_telling_real_from_fake():
    real, fake = torch.tensor(REAL), torch.tensor(FAKE)
    entropy = torch.nn.functional.binary_cross_entropy_with_logits
    expected = entropy(real, torch.ones(3)) + entropy(fake, torch.zeros(3))
    assert float(logistic_discriminator(real, fake)) == pytest.approx(float(expected), rel=1e-6)


def test_hinge_is_its_formula():
    real, fake = torch.tensor(REAL), torch.tensor(FAKE)
    expected = mean(max(0, 1 - x) for x in REAL) + mean(max(0, 1 + x) for x in FAKE)
    assert float(hinge_discriminator(real, fake)) == pytest.approx(expected)
    assert float(hinge_generator(fake)) == pytest.approx(-mean(FAKE))


def test_squared_is_its_formula():
    real, fake = torch.tensor(REAL), torch.tensor(FAKE)
    expected = mean((1 - x) ** 2 for x in REAL) + mean(x * x for x in FAKE)
    assert float(squared_discriminator(real, fake)) == pytest.approx(expected)
    assert float(squared_generator(fake)) == pytest.approx(mean((1 - x) ** 2 for x in FAKE))


@pytest.mark.parametrize("generator", [logistic_generator, hinge_generator, squared_generator])
def test_a_generator_wants_higher_logits(generator):
    fake = torch.tensor(FAKE, requires_grad=True)
    generator(fake).backward()
    assert (fake.grad < 0).all()


def test_r1_of_a_quadratic_is_closed_form_and_differentiable():
    torch.manual_seed(0)
    weight = torch.randn(12, dtype=torch.float64, requires_grad=True)
    real = torch.randn(3, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    logits = (real.flatten(1).square() * weight).sum(1)
    # The gradient of Σ w x² is 2 w x; the penalty's gradient in w is 10/2 · mean 8 w x².
    x = real.detach().flatten(1)
    loss = r1(logits, real)
    assert float(loss.detach()) == pytest.approx(float(5 * (2 * weight * x).square().sum(1).mean()))
    loss.backward()
    assert torch.allclose(weight.grad, (5 * 8 * weight * x.square()).mean(0).detach())


def test_r1_scales_with_its_weight():
    real = torch.randn(2, 4, requires_grad=True)
    assert float(r1(real.sum(1), real, weight=3.0)) == pytest.approx(3 / 2 * 4)
