"""Distillation: a student learns where a teacher puts a face, from a worse picture of it."""

from torch import Tensor
from torch.nn import functional


def cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean of 1 − cos between unit vectors (n, d) and (n, d): 0 where they agree, 2 where they are opposite."""
    return (1 - (student * teacher).sum(1)).mean()


def similarity(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of the two similarity matrices of a batch, diagonals left out (they are 1 in both).

    It does not ask that the two spaces have the same dimension, only that the same faces look alike in both.

    Args:
        student: unit vectors (n, d), n ≥ 2.
        teacher: unit vectors (n, e).
    """
    n = len(student)
    return functional.mse_loss(student @ student.T, teacher @ teacher.T, reduction="sum") / (n * (n - 1))
