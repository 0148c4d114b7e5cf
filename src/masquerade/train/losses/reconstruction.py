"""Reconstruction: where source and target are the same picture, the result must be that picture too.

FaceDancer and FaceShifter make some of each batch such pairs (a fifth in FaceDancer, at least one). All others take no
part: nobody knows their right answer.
"""

from torch import Tensor

from masquerade.train import processes

CEILING = 5.0


def absolute(target: Tensor, result: Tensor, same: Tensor) -> Tensor:
    """½ · mean |target − result| over the same pairs, 5 at most (FaceDancer; its weight is 5).

    Args:
        target, result: (n, 3, h, w).
        same: (n,), 1 or True where source and target are the same picture.
    """
    return (over_same((target - result).abs().mean((1, 2, 3)), same) / 2).clamp(max=CEILING)


def squared(target: Tensor, result: Tensor, same: Tensor) -> Tensor:
    """½ · mean (target − result)² over the same pairs (FaceShifter; its weight is 10); arguments as for `absolute`."""
    return over_same((target - result).square().mean((1, 2, 3)), same) / 2


def over_same(values: Tensor, same: Tensor) -> Tensor:
    """Mean of `values`, (n,), where `same`, (n,), holds; 0 where it holds nowhere.

    The sum is divided by the number of such pairs + 0.001, as in FaceDancer's published code.
    """
    same = same.to(values.dtype)
    return processes.total((values * same).sum()) / (processes.total(same.sum()) + 1e-3)
