"""Muon (Jordan et al. 2024): steps for the filters of convolutions that turn all directions by the same amount.

The gradient of a bank of filters, as a matrix with a row a filter, is dominated by few directions. Muon follows its
momentum with all singular values set to (about) 1, which learns more from each picture. Meant for filters before a
normalisation, whose scale does not matter: the scale is held, so the learning rate is the relative change of a bank.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer


class Muon(Optimizer):
    """Optimizer of convolution weights (outputs, inputs, height, width).

    Args:
        parameters: the weights, each before a normalisation layer.
        lr: relative change a step, such as 0.05.
        momentum: of the running sum of gradients, used with Nesterov's look ahead.
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update from the gradients at hand."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                total = state["momentum"].mul_(group["momentum"]).add_(weight.grad)
                ahead = weight.grad.add(total, alpha=group["momentum"])
                size = weight.norm()
                change = orthogonal(ahead.reshape(len(weight), -1)).view_as(ahead)
                weight.sub_(change * (group["lr"] * size / change.norm()))
                weight.mul_(size / weight.norm())


def orthogonal(matrix: Tensor, iterations: int = 5) -> Tensor:
    """The matrix with its singular values brought near 1 (0.7 to 1.2), by Newton and Schulz's iteration.

    Args:
        matrix: (m, n).
        iterations: five do for singular values down to about a thousandth of the largest.
    """
    x = matrix / (matrix.norm() + 1e-7)
    if tall := x.shape[0] > x.shape[1]:
        x = x.T
    for _ in range(iterations):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    result: Tensor = x.T if tall else x
    return result
