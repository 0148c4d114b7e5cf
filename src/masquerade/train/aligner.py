"""Training of the aligner: aligned crops, moved by what is drawn, and asked how they were moved.

The archives' own landmarks are a detector's, too, and each a little off; what is learnt is their mean, so that faces
come to lie more alike than in the archives themselves.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from masquerade.errors import InputError
from masquerade.faces.align import invert, template, transform, warp
from masquerade.faces.aligner import CENTRE, SIDE, UNIT, movement, window
from masquerade.nets.aligner import Aligner
from masquerade.train import engine
from masquerade.train.augment import covered, lit, poor
from masquerade.train.data import Epochs, Joined, read_archive
from masquerade.train.recipe import AlignerData, AlignerRecipe, Schedule

_SPREAD = (0.04, 0.04, 0.09, np.deg2rad(4.5))
"""Standard deviations of what is drawn: shift, logarithm of the size, turn."""
_FARTHEST = 2.5
"""Of these."""
_SHOWN = 512
"""Faces that validation looks at."""

Faces = NDArray[np.uint8]


class Moved(NamedTuple):
    """What one step is made of.

    Attributes:
        step: its number.
        crops: what the network sees, uint8 RGB (n, 64, 64, 3).
        moved: how the faces lie, (n, 4), as the network is to say it.
    """

    step: int
    crops: Tensor
    moved: Tensor


def moved_face(face: Faces, rng: np.random.Generator) -> tuple[Faces, NDArray[np.float32]]:
    """A crop (128, 128, 3) as other landmarks would have aligned it: what the network sees of it, and how it lies.

    Only such movements are drawn that nothing from outside the crop would be seen; every third is a small one.
    """
    while True:
        drawn = rng.normal(0, _SPREAD) * (0.25 if rng.random() < 1 / 3 else 1.0)
        matrix = window() @ np.vstack([movement(drawn), [0, 0, 1]])
        corners = transform([[0, 0], [SIDE, 0], [SIDE, SIDE], [0, SIDE]], invert(matrix))
        far = (np.abs(drawn) > _FARTHEST * np.array(_SPREAD)).any()
        if not far and corners.min() >= 0 and corners.max() < len(face):
            return warp(face, matrix, (SIDE, SIDE)), drawn.astype(np.float32)


def points_of(moved: Tensor) -> Tensor:
    """Where the template's five points lie in a crop of 128 px whose face is moved so: (n, 4) → (n, 5, 2).

    The same as `faces.aligner.movement`, but with a gradient.
    """
    centre = torch.from_numpy(CENTRE).to(moved)
    points = torch.from_numpy(template(UNIT)).to(moved) - centre
    size, turn = moved[:, 2].exp(), moved[:, 3]
    cos, sin = (size * turn.cos())[:, None], (size * turn.sin())[:, None]
    x, y = points[None, :, 0], points[None, :, 1]
    turned = torch.stack([cos * x - sin * y, sin * x + cos * y], 2)
    placed: Tensor = turned + centre + UNIT * moved[:, None, :2]
    return placed


class MovedBatches(Dataset[Moved]):
    """Item i is the batch of step i. Every epoch goes through all faces in an order of its own."""

    def __init__(self, sets: list[Faces], data: AlignerData, schedule: Schedule, *, seed: int) -> None:
        self._faces, self._data = Joined(sets), data
        self._epochs = Epochs(np.arange(len(self._faces)), schedule.batch, schedule.epochs, seed)
        if not self._epochs.an_epoch:
            raise InputError(f"{len(self._faces)} faces do not fill a batch of {schedule.batch}")

    def __len__(self) -> int:
        return len(self._epochs)

    def __getitem__(self, step: int) -> Moved:
        cv2.setNumThreads(1)
        rows, rng = self._epochs.at(step)
        crops, moved = zip(*(moved_face(self._face(row, rng), rng) for row in rows), strict=True)
        return Moved(step, torch.from_numpy(np.stack(crops)), torch.from_numpy(np.stack(moved)))

    def _face(self, row: int, rng: np.random.Generator) -> Faces:
        face = self._faces[row]
        if rng.random() < 0.5:
            face = np.ascontiguousarray(face[:, ::-1])
        if rng.random() < self._data.lit:
            face = lit(face, rng)
        if rng.random() < self._data.covered:
            face, _ = covered(face, rng)
        return poor(face, rng) if rng.random() < self._data.poor else face


class AlignerTraining:
    """What the engine trains: see `engine.Training`.

    Args:
        recipe: its rates.
        network: the aligner.
        faces: that are not trained on, uint8 RGB (n, 128, 128, 3).
    """

    averaged = ("network",)

    def __init__(self, recipe: AlignerRecipe, network: Aligner, faces: Faces) -> None:
        self._device = engine.device_of_choice()
        self.modules: dict[str, nn.Module] = {"network": network.to(self._device)}
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "network": torch.optim.AdamW(
                network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
            )
        }
        rng = np.random.default_rng(recipe.seed)
        crops, moved = zip(*(moved_face(face, rng) for face in faces), strict=True)
        self._crops, self._moved = torch.from_numpy(np.stack(crops)), torch.from_numpy(np.stack(moved))

    def step(self, batch: Moved) -> Mapping[str, Tensor]:
        crops, moved = (part.to(self._device, non_blocking=True) for part in batch[1:])
        error = self._error(self.modules["network"], crops, moved).mean()
        self.optimizers["network"].zero_grad()
        error.backward()  # type: ignore[no-untyped-call]
        self.optimizers["network"].step()
        return {"error": error.detach()}

    @torch.no_grad()
    def validate(self, averages: Mapping[str, nn.Module]) -> Mapping[str, float]:
        """How far off the points are, in per cent of the distance of the eyes, and how far they had been moved."""
        crops, moved = self._crops.to(self._device), self._moved.to(self._device)
        eyes = float(template(UNIT)[1, 0] - template(UNIT)[0, 0])
        before = (points_of(torch.zeros_like(moved)) - points_of(moved)).norm(dim=2)
        after = self._error(averages["network"], crops, moved)
        return {name: 100 / eyes * float(value.mean()) for name, value in (("before", before), ("after", after))}

    @staticmethod
    def _error(network: nn.Module, crops: Tensor, moved: Tensor) -> Tensor:
        """Distances in pixels of a crop of 128, (n, 5)."""
        said = network(crops.permute(0, 3, 1, 2).float() / 127.5 - 1)
        error: Tensor = (points_of(said) - points_of(moved)).norm(dim=2)
        return error


def train_aligner(recipe: AlignerRecipe, *, data: Path, work: Path, workers: int = 1) -> nn.Module:
    """Train as the recipe says, resuming what `work` holds of an earlier run; returns the averaged network.

    Args:
        recipe: everything but places.
        data: folder of the archives.
        work: gets `cache/` (shared between recipes) and a folder of the recipe's name.
        workers: processes that prepare batches.
    """
    cache = work / "cache"
    sets = [read_archive(data / name, cache, labelled=False).faces for name in recipe.data.faces]
    shown = read_archive(data / recipe.data.validation, cache, labelled=False).faces
    torch.manual_seed(recipe.seed)
    rows = np.unique(np.linspace(0, len(shown) - 1, _SHOWN).astype(int))
    training = AlignerTraining(recipe, Aligner(), shown[rows])
    batches = MovedBatches(sets, recipe.data, recipe.schedule, seed=recipe.seed)
    averages = engine.fit(training, batches, recipe.schedule, work / recipe.name, seed=recipe.seed, workers=workers)
    return averages["network"]
