"""Several processes, one for each GPU, that train as one: each sees its own rows of every step.

A batch of B in N processes gives the gradients, and the curve, of a batch of B in one, to rounding: what a loss asks
of a whole batch (a mean under a threshold, similarities of all pairs, normalisation) is asked of all processes' rows.
Every function here does nothing in a process that trains alone.

`accelerate` starts the processes and brings them together. Its wrappers of models and optimizers are not used: they
want one backward pass for each forward pass of each module, which a generator and its discriminator do not keep.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn

from masquerade.errors import MasqueradeError

_PATIENCE = timedelta(hours=2)
"""How long processes wait for the first, which validates and fills caches."""


@contextmanager
def together() -> Iterator[None]:
    """This process and those that were launched with it are one training, until the block ends.

    Raises:
        MasqueradeError: there are others, and accelerate is missing.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    try:
        from accelerate import PartialState  # noqa: PLC0415 - whoever trains alone does without
    except ImportError as error:
        raise MasqueradeError("several processes need accelerate", hint="pip install accelerate") from error
    state = PartialState(cpu=not torch.cuda.is_available(), timeout=_PATIENCE)
    try:
        yield
    finally:
        state.destroy_process_group()


def count() -> int:
    """How many processes train together."""
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def index() -> int:
    """Which of them this is, from 0; the first writes logs, checkpoints and grids."""
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def own(rows: Tensor) -> Tensor:
    """This process's of all rows: every N-th, so that what stands at the head of a batch is spread over all."""
    return rows[index() :: count()].contiguous() if count() > 1 else rows


def own_part(batch: Any) -> Any:  # noqa: ANN401 - whatever a training calls a batch
    """This process's part of a batch: a tensor, or a named tuple of tensors and what is no tensor."""
    if isinstance(batch, Tensor):
        return own(batch) if batch.ndim else batch
    return type(batch)(*map(own_part, batch)) if isinstance(batch, tuple) else batch


def total(value: Tensor) -> Tensor:
    """The sum over all processes; a gradient goes through it to each."""
    if count() == 1:
        return value
    summed: Tensor = _Total.apply(value)  # type: ignore[no-untyped-call]
    return summed


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, value: Tensor) -> Tensor:  # noqa: ANN401 - torch's own
        value = value.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(value)
        return value

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401 - torch's own
        return total(gradient)


def mean(value: Tensor) -> Tensor:
    """The mean over all processes, likewise."""
    return total(value) / count() if count() > 1 else value


def everyones(rows: Tensor) -> Tensor:
    """The rows of all processes, in the batch's order, from each one's own; likewise."""
    if count() == 1:
        return rows
    others = rows.new_zeros(len(rows), count(), *rows.shape[1:])
    mine = torch.arange(count(), device=rows.device).eq(index()).view(1, -1, *[1] * (rows.ndim - 1))
    return total(torch.where(mine, rows[:, None], others)).flatten(0, 1)


def from_process(maker: int, batch: Any) -> Any:  # noqa: ANN401 - whatever a training calls a batch
    """What the process of that number made; what others pass does not count."""
    if count() == 1:
        return batch
    said = [batch]
    torch.distributed.broadcast_object_list(said, src=maker)
    return said[0]


def normalise_together(module: nn.Module) -> None:
    """Let its batch normalisations count the rows of all processes. Torch's own way to do so is for GPUs only."""
    if count() == 1:
        return
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            norm.forward = _Together(norm)  # type: ignore[assignment]


class _Together:
    """The forward pass of a batch normalisation, over the rows of all processes."""

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
        self._norm, self._alone = norm, norm.forward

    def __call__(self, x: Tensor) -> Tensor:
        norm = self._norm
        if not norm.training:
            return self._alone(x)
        axes, shape = [0, *range(2, x.ndim)], [1, -1, *[1] * (x.ndim - 2)]
        wide = x.float()
        middle = mean(wide.mean(axes))
        centred = wide - middle.view(shape)
        variance = mean(centred.square().mean(axes))
        if norm.running_mean is not None and norm.running_var is not None:
            self._remember(middle.detach(), variance.detach(), count() * x.numel() // x.shape[1])
        scale = (variance + norm.eps).rsqrt()
        if norm.affine:
            return (centred * (scale * norm.weight).view(shape) + norm.bias.view(shape)).to(x.dtype)
        return (centred * scale.view(shape)).to(x.dtype)

    @torch.no_grad()
    def _remember(self, middle: Tensor, variance: Tensor, samples: int) -> None:
        norm = self._norm
        assert norm.running_mean is not None and norm.running_var is not None and norm.momentum is not None
        norm.running_mean.lerp_(middle, norm.momentum)
        norm.running_var.lerp_(variance * (samples / (samples - 1)), norm.momentum)
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
