"""What a training step of a swapper costs, by share: `python benchmarks/swapper_step.py --teachers ../shared/models`.

Each part is timed alone, forwards and backwards, on random pictures, on the GPU if there is one; processor time on a
CPU, so that other programs hardly disturb it. R1 is counted with its share of the steps.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import nn

from masquerade.nets.discriminator import CompactDiscriminator
from masquerade.nets.generators import GENERATORS
from masquerade.train import engine
from masquerade.train.losses.adversarial import r1
from masquerade.train.recipe import SwapperRecipe, read_recipe
from masquerade.train.swapper import RECOGNISERS
from masquerade.train.views import View


def seconds(part: Callable[[], object], device: torch.device, rounds: int) -> float:
    """Of one call, the best of several after one that does not count."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    taken = []
    for _ in range(rounds + 1):
        start = clock()
        part()
        if device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(clock() - start)
    return min(taken[1:])


def main(
    teachers: Annotated[Path, typer.Option(help="Folder of the recognisers.")],
    recipe: Annotated[str, typer.Option(help="A swapper's recipe.")] = "swapper-128",
    rounds: int = 3,
) -> None:
    """Print milliseconds a face and share of each part."""
    read = read_recipe(recipe)
    assert isinstance(read, SwapperRecipe)
    device, batch = engine.device_of_choice(), read.schedule.batch
    place = {"device": device, "memory_format": torch.channels_last}
    generator = GENERATORS[read.network]().to(**place)  # type: ignore[call-overload]
    judge = CompactDiscriminator().to(**place)  # type: ignore[call-overload]
    crops, identities, _ = generator.examples(batch)
    crops, identities = crops.to(**place), identities.to(device)
    frozen = {name: RECOGNISERS[name](teachers).to(**place) for name in read.loss.recognisers}  # type: ignore[call-overload]

    def of_faces() -> torch.Tensor:
        copy: torch.Tensor = crops.clone()
        return copy.requires_grad_()

    def generate() -> None:
        generator(crops, identities).crops.square().mean().backward()

    def please() -> None:
        judge.requires_grad_(False)
        judge(of_faces())[-1].mean().backward()
        judge.requires_grad_(True)

    def tell() -> None:
        (judge(crops)[-1].mean() - judge(crops)[-1].square().mean()).backward()

    def smooth() -> None:
        faces = of_faces()
        r1(judge(faces)[-1].mean((1, 2, 3)), faces).backward()  # type: ignore[no-untyped-call]

    def recognise(net: nn.Module) -> None:
        view = View(batch)
        with torch.no_grad():
            net(view(crops))
        net(view(of_faces()))[1].sum().backward()

    parts: dict[str, Callable[[], None]] = {
        "generator": generate,
        "discriminator, seen by the generator": please,
        "discriminator, its own step": tell,
        f"R1, every {read.loss.r1_every} steps": smooth,
        **{f"{name}, target and result": lambda net=net: recognise(net) for name, net in frozen.items()},  # type: ignore[misc]
    }
    taken = {name: seconds(part, device, rounds) / batch for name, part in parts.items()}
    taken[f"R1, every {read.loss.r1_every} steps"] /= read.loss.r1_every
    total = sum(taken.values())
    print("| part | ms a face | share |\n|---|---|---|")
    for name, one in taken.items():
        print(f"| {name} | {1000 * one:.1f} | {100 * one / total:.0f} % |")
    print(f"| all | {1000 * total:.1f} | {1 / total:.1f} faces a second and core |")


if __name__ == "__main__":
    typer.run(main)
