"""The perceptual loss: same pairs must also agree in the maps of a network that has learnt to see (FaceDancer)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from masquerade.train.losses.reconstruction import over_same

SMOOTH = 0.85


def perceptual(network: Callable[[Tensor], Sequence[Tensor]], target: Tensor, result: Tensor, same: Tensor) -> Tensor:
    """Σ over maps f of mean |0.85 · f(target) − 0.85 · f(result)| over the same pairs; FaceDancer's weight is 0.2.

    Args:
        network: gives maps (n, ...) for pictures; FaceDancer's are the five pools of a VGG16 trained on ImageNet. Its
            own preprocessing, frozen weights and evaluation mode are the caller's part.
        target, result: (n, 3, h, w).
        same: (n,), 1 or True where source and target are the same picture.
    """
    with torch.no_grad():
        wanted = network(target)
    parts = [
        over_same(SMOOTH * (a - b).abs().flatten(1).mean(1), same) for a, b in zip(wanted, network(result), strict=True)
    ]
    return sum(parts[1:], start=parts[0])
