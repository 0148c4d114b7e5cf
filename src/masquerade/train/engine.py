"""One plain loop that trains anything, and picks up exactly where a killed run left off.

What is trained hides behind `Training`: it may hold one network and one optimizer, or the two of a GAN. The batch of a
step depends on the step alone, random numbers are seeded by the step, and a checkpoint holds all state, so a run that
was killed and started again writes the same log as one that was not.

Several processes train as one (see `processes`): they take turns at making the batches, each is given its rows of
every batch, and the first writes.
"""

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any, Protocol

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset
from torch.utils.tensorboard import SummaryWriter

from masquerade.errors import MasqueradeError, OptionError
from masquerade.train import processes
from masquerade.train.data import whole_file
from masquerade.train.recipe import Schedule

Batch = Any
CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"


class Averaged:
    """An optimizer that takes one step for every `count`, along the mean of their gradients in all processes.

    A training goes on calling `zero_grad` and `step` as if each batch stood alone.
    """

    def __init__(self, optimizer: Optimizer, count: int) -> None:
        self._optimizer, self._count, self._seen = optimizer, count, 0

    def zero_grad(self) -> None:
        """Forget gradients, if they have been used."""
        if not self._seen:
            self._optimizer.zero_grad()

    def step(self) -> None:
        """One more batch; the last of `count` moves the weights."""
        self._seen = (self._seen + 1) % self._count
        if self._seen:
            return
        weights = [weight for group in self._optimizer.param_groups for weight in group["params"]]
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        if processes.count() > 1:
            flat = processes.mean(torch.cat([gradient.flatten() for gradient in gradients]))
            for gradient, part in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
                gradient.copy_(part.view_as(gradient))
        for gradient in gradients:
            gradient.div_(self._count)
        self._optimizer.step()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the optimizer has
        return getattr(self._optimizer, name)


class Training(Protocol):
    """What the engine trains.

    Attributes:
        modules: every module whose state a checkpoint must hold.
        optimizers: every optimizer; their learning rates are those of the flat part of the schedule.
        averaged: the modules, by the same names, whose weights are also kept as a running average.
    """

    @property
    def modules(self) -> Mapping[str, nn.Module]: ...

    @property
    def optimizers(self) -> dict[str, Any]: ...

    @property
    def averaged(self) -> tuple[str, ...]: ...

    def step(self, batch: Batch) -> Mapping[str, Tensor]:
        """One update of the weights from one batch; returns what to log, as scalars."""
        ...

    def validate(self, averages: Mapping[str, nn.Module]) -> Mapping[str, float]:
        """How good the averaged weights are."""
        ...


def device_of_choice() -> torch.device:
    """The GPU where there is one, else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = True
    return torch.device("cuda")


def precision_of_choice(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it natively (CUDA, AMX, AVX512-BF16), else float32."""
    native = device.type == "cuda" or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32


def fit(
    training: Training, batches: Dataset[Batch], schedule: Schedule, folder: Path, *, seed: int, workers: int = 1
) -> Mapping[str, nn.Module]:
    """Train to the end of the schedule, from the folder's checkpoint if there is one.

    Args:
        training: what to train, on its device.
        batches: item i is the batch of step i; its length is the number of steps.
        schedule: how the learning rate runs, and how often to save and to look.
        folder: gets `log.jsonl`, the same for TensorBoard, and `checkpoint.pt`.
        seed: of everything random in a step.
        workers: processes that make batches, for each that trains.

    Returns:
        The averaged modules.

    Raises:
        MasqueradeError: a loss is not a number any more; no such weights are saved.
        OptionError: a batch does not split evenly over the processes, two rows or more for each.
    """
    together = processes.count()
    # Torch 2.13's instance normalisation gives wrong gradients for a batch of one with channels last, on CPUs.
    if together > 1 and (schedule.batch % together or schedule.batch == together):
        hint = "Each takes as many rows, two or more"
        raise OptionError(f"a batch of {schedule.batch} does not split over {together} processes", hint=hint)
    main = processes.index() == 0
    folder.mkdir(parents=True, exist_ok=True)
    steps = len(batches)  # type: ignore[arg-type]
    averages = {name: deepcopy(training.modules[name]).requires_grad_(False) for name in training.averaged}
    first = _resume(training, averages, folder)
    for module in training.modules.values():
        processes.normalise_together(module)
    if schedule.accumulate > 1 or together > 1:
        for name, optimizer in training.optimizers.items():
            training.optimizers[name] = Averaged(optimizer, schedule.accumulate)
    base = {name: [group["lr"] for group in o.param_groups] for name, o in training.optimizers.items()}
    saved = time.monotonic()
    with _journal(folder, first) if main else nullcontext(lambda _: None) as note:
        for step, batch in _shown(_from(batches, first, workers), folder.name, first, steps):
            factor = rate(step, steps, schedule)
            _set_rates(training, base, factor)
            torch.manual_seed(seed * 1_000_003 + step)
            values = {name: processes.mean(value.float()) for name, value in training.step(batch).items()}
            _average(averages, training.modules, min(schedule.average, (1 + step) / (10 + step)))
            done = step + 1
            line = {}
            if done % schedule.log_every == 0 or done == steps:
                line = _finite({name: float(value) for name, value in values.items()})
            if main and (done % schedule.validate_every == 0 or done == steps):
                line |= training.validate(averages)
            if line:
                note({"step": done, "epoch": round(done / steps * schedule.epochs, 3), "rate": factor} | line)
            # Gradients are not saved, so a checkpoint waits until they have been used.
            whole = done % schedule.accumulate == 0
            if main and ((time.monotonic() - saved > 60 * schedule.save_minutes and whole) or done == steps):
                _finite({name: float(value) for name, value in values.items()})
                _set_rates(training, base, 1.0)
                _save(training, averages, done, folder)
                saved = time.monotonic()
    return averages


def rate(step: int, steps: int, schedule: Schedule) -> float:
    """The learning rate's factor at a step: a linear rise, a flat stretch, a linear fall to zero; and the decay.

    The flat stretch does not know where it ends, so a run can be made longer or shorter while it is on it.
    """
    rise = (step + 1) / max(1, schedule.warmup)
    fall = (steps - step) / max(1.0, schedule.fall * steps)
    return float(min(1.0, rise, fall) * schedule.decay ** (step / 100_000))


def _set_rates(training: Training, base: Mapping[str, list[float]], factor: float) -> None:
    for name, optimizer in training.optimizers.items():
        for group, lr in zip(optimizer.param_groups, base[name], strict=True):
            group["lr"] = lr * factor


def _from(batches: Dataset[Batch], first: int, workers: int) -> Iterator[tuple[int, Batch]]:
    rest = range(first, len(batches))  # type: ignore[arg-type]
    turns = processes.count()
    # Worker processes leave the cores to the training proper: OpenCV would start threads of its own in each.
    loader = DataLoader(
        batches,
        batch_size=None,
        sampler=rest[processes.index() :: turns],
        num_workers=workers,
        prefetch_factor=8 if workers else None,
        pin_memory=torch.cuda.is_available(),
    )
    made = iter(loader)
    for step in rest:
        maker = (step - first) % turns
        batch = next(made) if maker == processes.index() else None
        yield step, processes.own_part(processes.from_process(maker, batch))


def _shown(steps: Iterator[tuple[int, Batch]], name: str, first: int, count: int) -> Iterator[tuple[int, Batch]]:
    """The same, with a bar and the time left for whoever sits before a terminal."""
    quiet = not sys.stderr.isatty() or processes.index() > 0
    yield from track(steps, name, total=count, completed=first, console=Console(stderr=True), disable=quiet)


@contextmanager
def _journal(folder: Path, first: int) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Writes what a step has to say, to the log and to TensorBoard."""
    with (folder / LOG).open("a") as log, SummaryWriter(folder, purge_step=first + 1) as board:

        def note(line: Mapping[str, Any]) -> None:
            log.write(json.dumps({**line, "time": round(time.time(), 1)}) + "\n")
            log.flush()
            for name, value in line.items():
                board.add_scalar(name, value, line["step"])
            # What a checkpoint is past, nobody will write to the board again.
            board.flush()

        yield note


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    """The values, if training has not gone astray; asked now and then, since a GPU has to be waited for."""
    for name, value in values.items():
        if not math.isfinite(value):
            hint = "The last checkpoint is whole: lower the learning rate and go on from it"
            raise MasqueradeError(f"the loss is {value} ({name})", hint=hint)
    return dict(values)


@torch.no_grad()
def _average(averages: Mapping[str, nn.Module], modules: Mapping[str, nn.Module], decay: float) -> None:
    for name, average in averages.items():
        for mean, value in zip(average.state_dict().values(), modules[name].state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)


def _save(training: Training, averages: Mapping[str, nn.Module], step: int, folder: Path) -> None:
    state = {
        "step": step,
        "modules": {name: module.state_dict() for name, module in training.modules.items()},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in training.optimizers.items()},
        "averages": {name: average.state_dict() for name, average in averages.items()},
    }
    with whole_file(folder / CHECKPOINT) as part:
        torch.save(state, part)


def _resume(training: Training, averages: Mapping[str, nn.Module], folder: Path) -> int:
    """Load the checkpoint if there is one, and forget what the log says of later steps. Returns the step to do next."""
    step = 0
    if (folder / CHECKPOINT).is_file():
        state = torch.load(folder / CHECKPOINT, map_location="cpu", weights_only=True)
        step = int(state["step"])
        for group, stored in (
            (training.modules, "modules"),
            (training.optimizers, "optimizers"),
            (averages, "averages"),
        ):
            for name, stateful in group.items():
                stateful.load_state_dict(state[stored][name])
    if processes.index() > 0:
        return step
    for half_written in folder.glob(f".{CHECKPOINT}.*.part"):  # by a run that was killed while it saved
        half_written.unlink()
    log = folder / LOG
    if log.is_file():
        lines = [line for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        with whole_file(log) as part:
            part.write_text("".join(line for line in lines if json.loads(line)["step"] <= step))
    return step
