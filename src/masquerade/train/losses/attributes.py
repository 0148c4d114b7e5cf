"""Attributes asked for directly, by networks that measure them: landmarks, gaze and head pose of result and target.

Not in the thesis, which measures pose and expression but trains with IFSR alone; the forms are our choice. All are 0
where the attribute is kept and have a finite gradient there.
"""

import torch
from torch import Tensor
from torch.nn import functional

_TINY = 1e-12


def landmarks(target: Tensor, result: Tensor) -> Tensor:
    """Mean Euclidean distance of corresponding points, in the points' own unit.

    Args:
        target, result: (n, k, 2); divide by the crop's side to make the loss independent of it.
    """
    return ((target - result).square().sum(2) + _TINY).sqrt().mean()


def gaze(target: Tensor, result: Tensor) -> Tensor:
    """Mean of 1 − cos between directions of gaze, about half the squared angle while that is small.

    Args:
        target, result: vectors of any length but 0, (n, 3) or one for each eye, (n, 2, 3).
    """
    return (1 - functional.cosine_similarity(target, result, dim=-1)).mean()


def pose(target: Tensor, result: Tensor) -> Tensor:
    """Mean length of the difference of head angles, each difference taken the short way round.

    Args:
        target, result: yaw, pitch and roll in radians, (n, 3).
    """
    difference = target - result
    difference = torch.atan2(difference.sin(), difference.cos())
    return (difference.square().sum(1) + _TINY).sqrt().mean()
