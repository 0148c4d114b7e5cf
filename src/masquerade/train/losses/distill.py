"""Distillation: a student learns where a teacher puts a face, from a worse picture of it."""

import torch
import torch.nn.functional as F
from torch import Tensor


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
    return F.mse_loss(student @ student.T, teacher @ teacher.T, reduction="sum") / (n * (n - 1))


def ranking(student: Tensor, teacher: Tensor, prototypes: Tensor, *, scale: float = 32.0) -> Tensor:
    """Kullback-Leibler divergence between the two softmax rankings of people: whom does this face look like?

    Args:
        student: unit vectors (n, d), in the teacher's space.
        teacher: unit vectors (n, d).
        prototypes: unit vectors (k, d), one a person, in the teacher's space.
        scale: sharpness of the softmax over k cosines.
    """
    wanted = torch.log_softmax(scale * teacher @ prototypes.T, 1)
    found = torch.log_softmax(scale * student @ prototypes.T, 1)
    return F.kl_div(found, wanted, reduction="batchmean", log_target=True)
