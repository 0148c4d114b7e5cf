"""Margins of IFSR for any encoder, and what its blocks know (thesis figure 5.8).

A swapper that is known to be good changes targets toward sources. Block by block of the encoder, the changed face (c)
is compared with its target (c2t) and its source (c2s), and target with source, who are two people (negative). Where
c2t and c2s are separable and c2t is less (equal error rate 0), the block holds what the swap kept; where they mix,
identity. The mean of c2t is the block's margin.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from masquerade.audit.verification import equal_error_rate
from masquerade.errors import InputError
from masquerade.train.figures import drawn
from masquerade.train.losses.ifsr import block_features, distances

_BINS = np.linspace(0, 1.5, 251)


@dataclass(frozen=True, slots=True)
class BlockDistances:
    """Cosine distances between the maps of one block, each (n,).

    Attributes:
        name: of the block, as in `encoder.named_modules()`.
        c2t: changed face to target.
        c2s: changed face to source.
        negative: target to source.
    """

    name: str
    c2t: NDArray[np.float64]
    c2s: NDArray[np.float64]
    negative: NDArray[np.float64]

    @property
    def margin(self) -> float:
        """m_i of IFSR: the mean of c2t."""
        return float(self.c2t.mean())

    @property
    def equal_error_rate(self) -> float:
        """Of telling c2t, taken for genuine, from c2s, taken for impostors.

        0 where all changed faces are nearer to their target than any to its source, 0.5 where they are as near to the
        one as to the other, 1 where all are nearer to their source.
        """
        return equal_error_rate(self.c2s, self.c2t)[0]


def measure(
    encoder: nn.Module, blocks: Sequence[str], triplets: Iterable[tuple[Tensor, Tensor, Tensor]]
) -> list[BlockDistances]:
    """Distances for every block.

    Args:
        encoder: any face encoder; put into evaluation mode.
        blocks: names as `encoder.named_modules()` has them, shallow first.
        triplets: batches of (targets, sources, changed faces), each (n, ...) as the encoder takes them, target and
            source of each row being two people.

    Raises:
        InputError: there are no triplets.
        AttributeError: the encoder has no block of that name.
    """
    encoder.eval()
    found: dict[str, list[Tensor]] = {name: [] for name in blocks}
    with torch.inference_mode():
        for triplet in triplets:
            target, source, changed = (block_features(encoder, blocks, faces) for faces in triplet)
            for name, t, s, c in zip(blocks, target, source, changed, strict=True):
                found[name].append(torch.stack([distances(c, t), distances(c, s), distances(t, s)]))
    if not any(found.values()):
        raise InputError("there are no triplets to measure margins on")
    joined = {name: torch.cat(parts, dim=1).double().numpy() for name, parts in found.items()}
    return [BlockDistances(name, *rows) for name, rows in joined.items()]


def table(blocks: Sequence[BlockDistances]) -> str:
    """Markdown, one row a block."""
    rows = [
        f"| {block.name} | {block.margin:.6f} | {block.c2s.mean():.6f} | {block.negative.mean():.6f} "
        f"| {block.equal_error_rate:.4f} |"
        for block in blocks
    ]
    return "\n".join(["| block | m_i (c2t) | c2s | negative | EER |", "|---|---|---|---|---|", *rows])


def draw(blocks: Sequence[BlockDistances], path: Path) -> None:
    """Figure 5.8: histograms of the first and the last block, and the equal error rate of every block.

    Args:
        path: `.png`, `.svg` or `.pdf`.

    Raises:
        MasqueradeError: matplotlib is missing.
    """
    with drawn(path, 15, 4) as figure:
        first, last, rates = figure.subplots(1, 3)
        for axes, block in [(first, blocks[0]), (last, blocks[-1])]:
            for label, values in [("c2t", block.c2t), ("c2s", block.c2s), ("negative", block.negative)]:
                axes.hist(values.clip(_BINS[0], _BINS[-1]), _BINS, density=True, alpha=0.6, label=label)
            axes.set(title=block.name, xlabel="cosine distance", ylabel="density")
            axes.legend()
        rates.plot(range(1, len(blocks) + 1), [block.equal_error_rate for block in blocks], marker="o")
        rates.set_xticks(range(1, len(blocks) + 1), [block.name for block in blocks], rotation=60, ha="right")
        rates.set(title="c2t against c2s", ylabel="equal error rate", ylim=(-0.02, 1.02))
