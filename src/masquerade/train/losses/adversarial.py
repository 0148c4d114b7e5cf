"""Generator against discriminator, in the three forms of the papers, and the penalty that keeps the second one smooth.

All take raw logits of any shape, higher for real. FaceDancer's published code plays the logistic game with R1, its
paper is said to name the hinge; SimSwap and FaceShifter play the hinge, CIAGAN least squares.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional


def logistic_generator(fake: Tensor) -> Tensor:
    """Mean softplus(−D(fake)), the non-saturating form."""
    return functional.softplus(-fake).mean()


def logistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Mean softplus(−D(real)) + mean softplus(D(fake))."""
    return functional.softplus(-real).mean() + functional.softplus(fake).mean()


def hinge_generator(fake: Tensor) -> Tensor:
    """−mean D(fake)."""
    return -fake.mean()


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Mean max(0, 1 − D(real)) + mean max(0, 1 + D(fake))."""
    return functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()


def squared_generator(fake: Tensor) -> Tensor:
    """Mean (D(fake) − 1)² (Mao et al. 2017)."""
    return (fake - 1).square().mean()


def squared_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Mean (D(real) − 1)² + mean D(fake)²."""
    return (real - 1).square().mean() + fake.square().mean()


GAMES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    "hinge": (hinge_generator, hinge_discriminator),
    "logistic": (logistic_generator, logistic_discriminator),
    "squared": (squared_generator, squared_discriminator),
}
"""Name → loss of the generator, loss of the discriminator."""


def r1(logits: Tensor, real: Tensor, weight: float = 10.0) -> Tensor:
    """weight/2 · E‖∇D(real)‖² (Mescheder et al. 2018); FaceDancer's weight is 10.

    Args:
        logits: D(real), not detached.
        real: (n, ...) with `requires_grad` set before D saw it.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    return weight / 2 * gradient.square().flatten(1).sum(1).mean()
