"""What the networks are made of, computed without running them.

python -m masquerade.nets.summary            one row a network
python -m masquerade.nets.summary fiva ...   and one row a stage of those named
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from masquerade.nets.base import Generator
from masquerade.nets.faceshifter import AttributeEncoder
from masquerade.nets.generators import GENERATORS


@dataclass(frozen=True, slots=True)
class Stage:
    """One part of a network.

    Attributes:
        name: as in `named_modules()`.
        shape: of its output for one crop: channels, height, width.
        parameters: how many numbers it learns.
    """

    name: str
    shape: tuple[int, ...]
    parameters: int


def build(name: str) -> Generator:
    """A network without memory for its weights: shapes can be asked of it, nothing else."""
    with torch.device("meta"):
        return GENERATORS[name]().eval()


def parameters(net: nn.Module) -> int:
    """How many numbers it learns."""
    return sum(weight.numel() for weight in net.parameters())


def multiply_adds(net: Generator) -> int:
    """Multiplications that are added up, for one crop; `net` as `build` makes it."""
    with FlopCounterMode(display=False) as counter:
        _run(net)
    return int(counter.get_total_flops()) // 2


def stages(net: Generator) -> list[Stage]:
    """The parts that give one map each, in the order in which they run; lists of parts are opened, blocks are not."""
    found: list[Stage] = []

    def watch(name: str, module: nn.Module) -> None:
        for child_name, child in module.named_children():
            if isinstance(child, nn.ModuleList | nn.Sequential | AttributeEncoder):
                watch(f"{name}{child_name}.", child)
            elif parameters(child):
                child.register_forward_hook(note(f"{name}{child_name}"))

    def note(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        return lambda module, _, output: found.append(Stage(name, tuple(output.shape[1:]), parameters(module)))

    watch("", net)
    _run(net)
    return found


def _run(net: Generator) -> None:
    with torch.device("meta"):
        crops, identities, conditions = net.examples()
        net(crops, identities, **conditions)


def main(names: list[str]) -> None:
    """Prints markdown tables."""
    lines = [
        "| network | crop | identity | conditions | parameters (M) | multiply-adds (G) |",
        "|---|---|---|---|---|---|",
    ]
    for name in GENERATORS:
        net = build(name)
        conditions = ", ".join(net.conditions) or "–"
        numbers = f"{parameters(net) / 1e6:.2f} | {multiply_adds(net) / 1e9:.2f}"
        lines.append(f"| {name} | {net.side} | {net.dimensions} | {conditions} | {numbers} |")
    for name in names:
        lines += ["", f"| {name}: stage | output | parameters |", "|---|---|---|"]
        lines += [f"| {s.name} | {'×'.join(map(str, s.shape))} | {s.parameters:,} |" for s in stages(build(name))]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
