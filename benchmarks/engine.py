"""What a training step costs, as a share of what the processor can do, and where its time goes.

    python benchmarks/engine.py --teachers ../shared/models [--batch 16] [--steps 4]

A run of the engine on random pictures, data and averages included, for each recipe. The peak is that of large matrix
products, measured in the same process; it, the step and the profile are of one thread. Where nothing else is said,
time is processor time, which other programs change little. Operations are those of convolutions and matrix products,
two for a multiply-add.
"""

import platform
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any
from unittest import mock

import numpy as np
import torch
import typer
from torch import Tensor, nn
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from masquerade.nets.encoder import ENCODERS
from masquerade.train import encoder, engine, swapper
from masquerade.train.data import SIDE, FaceSet
from masquerade.train.recipe import EncoderRecipe, Schedule, SwapperRecipe, read_recipe
from masquerade.train.teachers import fr_feature_in_torch, look_of

PEOPLE = 8343
"""Of the archive that the encoders learn from: as many prototypes, and that much work for the optimizer."""
_FROZEN = "recognisers and teachers, both ways"
_OWN = "engine: making the batch", "engine: running average", "engine: log and checkpoint"
_PRODUCTS = ("conv", "mm", "linear", "matmul", "bmm")


class Profiled:
    """A training that says when a step begins, and is never asked how good it is."""

    def __init__(self, training: engine.Training, tick: Callable[[], None]) -> None:
        self.modules, self.optimizers, self.averaged = training.modules, training.optimizers, training.averaged
        self._step, self._tick = training.step, tick

    def step(self, batch: engine.Batch) -> Mapping[str, Tensor]:
        """One step of the training."""
        self._tick()
        return self._step(batch)

    def validate(self, averages: Mapping[str, nn.Module]) -> Mapping[str, float]:
        """Nothing."""
        return {}


def build(name: str, teachers: Path, batch: int, steps: int, seen: Callable[..., Any]) -> tuple[Any, Any, Schedule]:
    """A recipe's training on random pictures, their batches, and how long to go on.

    Args:
        seen: stands around every frozen network.
    """
    recipe = read_recipe(name)
    rng = np.random.default_rng(0)
    count = batch * steps
    faces = rng.integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)
    vectors = rng.standard_normal((count, 512)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    sets = [FaceSet(faces, rng.integers(0, PEOPLE, count))]
    changes = {"epochs": 1.0, "batch": batch, "accumulate": 1, "log_every": 1, "validate_every": count}
    schedule = recipe.schedule.model_copy(update=changes)
    torch.manual_seed(0)
    training: engine.Training
    if isinstance(recipe, EncoderRecipe):
        look = seen(look_of(recipe.loss.teacher, teachers))
        ask = (lambda some: look(some) + look(some.flip(2))) if recipe.loss.both_ways else look
        prototypes = torch.randn(PEOPLE, 512)
        training = encoder.EncoderTraining(recipe, ENCODERS[recipe.network]().train(), prototypes, sets[0], ask)
        sizes = {"hardness": recipe.hardness, "mixed": recipe.data.mixed}
        return training, encoder.FaceBatches(sets, vectors, schedule, seed=0, **sizes), schedule
    assert isinstance(recipe, SwapperRecipe)
    recognisers = [swapper.RECOGNISERS[one](teachers) for one in recipe.loss.recognisers]
    mesh = swapper.face_mesh(teachers, Path(tempfile.gettempdir())) if recipe.loss.expression else None
    training = swapper.SwapperTraining(recipe, swapper.build_generator(recipe), recognisers, None, mesh)  # type: ignore[arg-type]
    for frozen in [*recognisers, *([mesh] if mesh else [])]:
        frozen.forward = seen(frozen.forward)
    batches = swapper.SwapBatches(sets, vectors, recipe.data, schedule, seed=0, side=recipe.side, yaws=vectors[:, 0])
    return training, batches, schedule


def named(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Lets the profiler see a function under that name."""

    def around(function: Callable[..., Any]) -> Callable[..., Any]:
        def inner(*said: Any, **options: Any) -> Any:  # noqa: ANN401 - whatever the function takes
            with record_function(name):
                return function(*said, **options)

        return inner

    return around


@contextmanager
def named_engine() -> Iterator[None]:
    """The engine's own parts under their names."""
    with ExitStack() as stack:
        for part, name in {"_average": _OWN[1], "_finite": _OWN[2], "_save": _OWN[2]}.items():
            stack.enter_context(mock.patch.object(engine, part, named(name)(getattr(engine, part))))
        yield


def causes(event: FunctionEvent) -> Iterator[FunctionEvent]:
    """The event, what called it, what called that."""
    chain: FunctionEvent | None = event
    while chain is not None:
        yield chain
        chain = chain.cpu_parent


def kind(event: FunctionEvent, frozen: set[int]) -> str:
    """To which row of the table an event's own time counts."""
    backward = False
    for cause in causes(event):
        if cause.name.startswith("autograd::engine"):
            if cause.sequence_nr in frozen:
                return _FROZEN
            backward = True
        elif cause.name.startswith("Optimizer."):
            return "optimizers"
        elif cause.name.startswith("enumerate(DataLoader)"):
            return _OWN[0]
        elif cause.name in (*_OWN, _FROZEN):
            return str(cause.name)
    product = any(word in event.name.lower() for word in _PRODUCTS)
    what = "convolutions and matrix products" if product else "norms, elementwise, copies"
    return f"{what}, {'backward' if backward else 'forward'}"


def convolution_backward(*said: Any, out_shape: Any = None, **_: Any) -> int:  # noqa: ANN401 - torch's arguments
    """Each of the two gradients takes what the pass forward did; torch's own count errs where there are groups."""
    of_output, of_input, weights, transposed, wanted = said[0], said[1], said[2], said[7], said[10]
    return conv_flop_count(of_input, weights, of_output, transposed) * (int(wanted[0]) + int(wanted[1]))


def operations(name: str, teachers: Path, batch: int) -> int:
    """Floating-point operations of one step."""
    in_torch = mock.patch(f"{__name__}.look_of", lambda _, models: fr_feature_in_torch(models, torch.device("cpu")))
    with in_torch:
        training, batches, _ = build(name, teachers, batch, 1, lambda function: function)
    counted = {torch.ops.aten.convolution_backward: convolution_backward}
    with FlopCounterMode(display=False, custom_mapping=counted) as counter:
        # Not the step with R1, which a swapper's first is.
        training.step(batches[0]._replace(step=1) if name.startswith("swapper") else batches[0])
    return int(counter.get_total_flops())


def peak(kind: torch.dtype, side: int = 2048, rounds: int = 5) -> float:
    """Operations a second of a product of square matrices, the best of several."""
    a, b = (torch.randn(side, side).to(kind) for _ in range(2))
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        a @ b
        taken.append(time.process_time() - start)
    return 2 * side**3 / min(taken)


def measure(name: str, teachers: Path, batch: int, steps: int) -> tuple[float, float, dict[str, float]]:
    """Processor and wall seconds of a step, the first not counted, and the profile of all others in seconds."""
    # The last tick comes before the last step, so one more is made than is measured.
    training, batches, schedule = build(name, teachers, batch, steps + 2, named(_FROZEN))
    clocks: list[tuple[float, float]] = []
    only_once = torch.profiler.schedule(wait=0, warmup=1, active=steps, repeat=1)
    with (
        tempfile.TemporaryDirectory() as folder,
        named_engine(),
        profile(activities=[ProfilerActivity.CPU], schedule=only_once, on_trace_ready=lambda _: None) as profiler,
    ):

        def tick() -> None:
            if clocks:
                profiler.step()
            clocks.append((time.process_time(), time.perf_counter()))

        engine.fit(Profiled(training, tick), batches, schedule, Path(folder), seed=0, workers=0)
    processor, wall = ((clocks[-1][i] - clocks[1][i]) / steps for i in range(2))
    events = [event for event in profiler.events() or [] if not event.name.startswith("ProfilerStep")]
    frozen = {e.sequence_nr for e in events if e.sequence_nr >= 0 and any(cause.name == _FROZEN for cause in causes(e))}
    rows: defaultdict[str, float] = defaultdict(float)
    for event in events:
        rows[kind(event, frozen)] += event.self_cpu_time_total / 1e6 / steps
    return processor, wall, rows


def main(
    teachers: Annotated[Path, typer.Option(help="Folder of the recognisers and teachers.")],
    batch: Annotated[int, typer.Option(help="Faces a step.")] = 16,
    steps: Annotated[int, typer.Option(help="Steps that count.")] = 4,
    recipe: Annotated[list[str], typer.Option(help="Recipes to measure.")] = ["swapper-128", "encoder-driver"],  # noqa: B006
) -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    precision = engine.precision_of_choice(torch.device("cpu"))
    print(f"{platform.machine()}, one thread, torch {torch.__version__}, {precision}, batch {batch}, {steps} steps\n")
    print("| recipe | peak, GFLOP/s | GFLOP a face | s a step | wall s a step | share of peak |")
    print("|---|---|---|---|---|---|")
    found = {}
    for name in recipe:
        flops = operations(name, teachers, batch)
        best = peak(precision)
        processor, wall, rows = measure(name, teachers, batch, steps)
        best = max(best, peak(precision))
        figures = f"{flops / batch / 1e9:.2f} | {processor:.2f} | {wall:.2f} | {100 * flops / processor / best:.0f} %"
        print(f"| {name} | {best / 1e9:.0f} | {figures} |", flush=True)
        rows["Python, and what no row names"] = max(0.0, wall - sum(rows.values()))
        found[name] = rows
    table = {
        row: [100 * parts.get(row, 0) / sum(parts.values()) for parts in found.values()]
        for row in {row for parts in found.values() for row in parts}
    }
    print(f"\n| share of a step's wall time | {' | '.join(found)} |\n|---|{'---|' * len(found)}")
    for row, shares in sorted(table.items(), key=lambda one: -max(one[1])):
        print(f"| {row} | {' | '.join(f'{share:.1f} %' for share in shares)} |")


if __name__ == "__main__":
    typer.run(main)
