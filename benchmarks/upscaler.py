"""Is a face enlarged by the network nearer to one that was never small than an interpolated one is?

    python benchmarks/upscaler.py --data ../shared/data --work runs [--network upscaler.onnx]

Portraits that the network did not train on are brought to 128 px, softened as swapped faces are, and enlarged again.
Compared with the originals of 256 px: peak signal to noise; the distance in the inner maps of the guard, which took no
part in training, at the pictures' own resolution (0 is alike; per map, of vectors brought to length 1); how much
finest detail there is for each bit that the original has (1 is as much, less is soft, more is overdone); how far the
mean colour moves (CIE76, 2 can just be seen). With 95 % intervals, portraits resampled. Then processor time a face.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from masquerade.audit.intervals import bootstrap
from masquerade.audit.quality import colour_shift
from masquerade.models.cards import PACKAGED
from masquerade.swap.blend import to_pixels
from masquerade.swap.enlarge import enlarged_by, open_enlarger
from masquerade.train.data import read_archive, read_names
from masquerade.train.export import read_encoder
from masquerade.train.recipe import UpscalerRecipe, read_recipe
from masquerade.train.upscaler import SIDE, TYPICAL, fine, held_out, psnr, softened

Crop = NDArray[np.float32]
Faces = NDArray[np.uint8]

SOFTNESS = {"sharp": 0.0, f"soft, {TYPICAL:g} px": TYPICAL, "very soft, 1.2 px": 1.2}
"""Sigma of the blur at 128 px, which is sharpened again as a swapped face is."""
LOOKED_AT = 4
"""Layers of the guard whose maps are compared."""
RUNS = 40
MEASURES = ("PSNR, dB", "guard's maps", "finest detail", "colour, ΔE")


def interpolated(crop: Crop) -> Crop:
    """What is done without the network."""
    return np.asarray(cv2.resize(crop, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), np.float32)


@torch.no_grad()
def maps_apart(guard: nn.Module, made: Faces, wanted: Faces) -> NDArray[np.float64]:
    """Mean squared distance of unit vectors in the first maps of a guard, each picture's, (n,)."""
    a, b = (torch.from_numpy(faces).permute(0, 3, 1, 2).float() / 127.5 - 1 for faces in (made, wanted))
    found = []
    for number, layer in enumerate(list(guard.stack.children())[: LOOKED_AT + 1]):  # type: ignore[union-attr]
        a, b = layer(a), layer(b)
        if number:  # the first only folds pixels
            found.append((functional.normalize(a) - functional.normalize(b)).square().sum(1).mean((1, 2)))
    return np.asarray(torch.stack(found).mean(0).numpy(), np.float64)


def measured(
    guard: nn.Module, enlarge: Callable[[Crop], Crop], small: Faces, wanted: Faces
) -> tuple[NDArray[np.float64], ...]:
    """Each picture's measures in the order of `MEASURES`, each (n,)."""
    crops = [one.astype(np.float32) / np.float32(127.5) - np.float32(1) for one in small]
    made = np.stack([to_pixels(enlarge(crop)) for crop in crops])
    apart = [maps_apart(guard, made[i : i + 8], wanted[i : i + 8]) for i in range(0, len(made), 8)]
    detail = [fine(a[None]) / fine(b[None]) for a, b in zip(made, wanted, strict=True)]
    colour = [colour_shift(b, a) for a, b in zip(made, wanted, strict=True)]
    return psnr(made, wanted), np.concatenate(apart), np.array(detail), np.array(colour)


def told(values: NDArray[np.float64]) -> str:
    """Mean and interval."""
    low, high = bootstrap(len(values), lambda rows: float(values[rows].mean()))
    return f"{values.mean():.3f} ({low:.3f}–{high:.3f})"


def milliseconds(enlarge: Callable[[Crop], Crop], crop: Crop) -> float:
    """Processor time, median of a few runs: what else the machine does then counts less."""
    enlarge(crop)
    taken = []
    for _ in range(RUNS):
        start = time.process_time()
        enlarge(crop)
        taken.append(time.process_time() - start)
    return float(np.median(taken)) * 1000


def main(
    data: Annotated[Path, typer.Option(help="Folder of the training archives.")],
    work: Annotated[Path, typer.Option(help="Folder of caches.")] = Path("runs"),
    network: Annotated[Path | None, typer.Option(help="An exported upscaler; left out, the packaged one.")] = None,
    faces: Annotated[int | None, typer.Option(help="How many portraits at most.")] = None,
) -> None:
    """Print a table."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    recipe = read_recipe("upscaler")
    assert isinstance(recipe, UpscalerRecipe)
    archive = data / recipe.data.faces
    portraits = read_archive(archive, work / "cache", labelled=False, side=SIDE)
    unseen = np.flatnonzero(held_out(read_names(archive), recipe.data.held_out))
    wanted = portraits.faces[np.random.default_rng(0).permutation(unseen)[:faces]]
    guard = read_encoder(PACKAGED / "guard.onnx", "guard")
    ways = {"interpolated": interpolated, "network": enlarged_by(open_enlarger(network, threads=1))}
    print(f"{len(wanted)} portraits\n")
    print("| small crop | enlarged | " + " | ".join(MEASURES) + " |")
    print("|" + "---|" * (2 + len(MEASURES)))
    for name, sigma in SOFTNESS.items():
        small = np.stack([softened(face, sigma, sharpen=True) for face in wanted])
        for way, enlarge in ways.items():
            print(f"| {name} | {way} | " + " | ".join(map(told, measured(guard, enlarge, small, wanted))) + " |")
    crop = softened(wanted[0], TYPICAL, sharpen=True).astype(np.float32) / np.float32(127.5) - np.float32(1)
    print()
    for way, enlarge in ways.items():
        print(f"{way}: {milliseconds(enlarge, crop):.1f} ms of one core a face")


if __name__ == "__main__":
    typer.run(main)
