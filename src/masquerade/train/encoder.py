"""Training of an identity encoder: a margin softmax over people, and a teacher's opinion of each face."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from masquerade.audit.verification import threshold_at_far
from masquerade.nets.encoder import ENCODERS, Driver, Guard
from masquerade.train import engine
from masquerade.train.augment import degraded
from masquerade.train.data import FaceSet, derived, inputs, map_batches, read_archive
from masquerade.train.export import read_encoder, settle
from masquerade.train.losses import distill
from masquerade.train.losses.margin import arcface, cosface
from masquerade.train.muon import Muon
from masquerade.train.recipe import EncoderLoss, EncoderRecipe, Schedule
from masquerade.train.teachers import TEACHERS, both_ways

MARGINS = {"arcface": arcface, "cosface": cosface}


class FaceBatches(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Batch i of a run: degraded faces (n, 112, 112, 3) uint8, people (n,), the teacher's unit vectors (n, d).

    Every epoch goes through all faces in an order of its own.
    """

    def __init__(
        self, sets: list[FaceSet], targets: NDArray[np.float32], schedule: Schedule, *, seed: int, hardness: float
    ) -> None:
        self._sets = sets
        self._starts = np.cumsum([0, *(len(s) for s in sets)])
        self._targets = targets
        self._people = np.concatenate([s.people for s in sets])
        self._batch, self._seed, self._hardness = schedule.batch, seed, hardness
        self._an_epoch = len(self._people) // schedule.batch
        self._steps = max(1, round(schedule.epochs * self._an_epoch))

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        cv2.setNumThreads(1)
        epoch, place = divmod(step, self._an_epoch)
        order = np.random.default_rng((self._seed, epoch)).permutation(len(self._people))
        rows = order[place * self._batch : (place + 1) * self._batch]
        rng = np.random.default_rng((self._seed, epoch, place))
        faces = np.stack([degraded(self._face(row), rng, self._hardness) for row in rows])
        return torch.from_numpy(faces), torch.from_numpy(self._people[rows]), torch.from_numpy(self._targets[rows])

    def _face(self, row: int) -> NDArray[np.uint8]:
        which = int(np.searchsorted(self._starts, row, "right")) - 1
        face: NDArray[np.uint8] = self._sets[which].faces[row - self._starts[which]]
        return face


class EncoderTraining:
    """What the engine trains: see `engine.Training`."""

    averaged = ("encoder",)

    def __init__(self, recipe: EncoderRecipe, encoder: Driver | Guard, prototypes: Tensor, validation: FaceSet) -> None:
        self._loss = recipe.loss
        self._device = engine.device_of_choice()
        self._precision = engine.precision_of_choice(self._device)
        if recipe.precision != "auto":
            self._precision = getattr(torch, recipe.precision)
        self.modules: dict[str, nn.Module] = {
            "encoder": encoder.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
            "head": _Head(prototypes, encoder.dimensions),
        }
        for module in self.modules.values():
            module.to(self._device)
        weights = [p for m in self.modules.values() for p in m.parameters()]
        banks = [p for p in weights if p.ndim == 4 and p.shape[1] > 1] if recipe.filter_rate else []
        others = [p for p in weights if not any(p is bank for bank in banks)]
        groups = [
            {"params": [p for p in others if p.ndim > 1], "weight_decay": recipe.weight_decay},
            {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "adamw": torch.optim.AdamW(groups, lr=recipe.learning_rate)
        }
        if recipe.filter_rate:
            self.optimizers["muon"] = Muon(banks, lr=recipe.filter_rate)
        self._validation = validation

    def step(self, batch: tuple[Tensor, Tensor, Tensor]) -> Mapping[str, Tensor]:
        faces, people, teacher = (part.to(self._device, non_blocking=True) for part in batch)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._precision == torch.bfloat16):
            embeddings = self.modules["encoder"](_network_input(faces))
        losses = self._losses(embeddings.float(), people, teacher)
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        for optimizer in self.optimizers.values():
            optimizer.step()
        return {name: value.detach() for name, value in losses.items()}

    def _losses(self, embeddings: Tensor, people: Tensor, teacher: Tensor) -> dict[str, Tensor]:
        weights: EncoderLoss = self._loss
        projected, cosines = self.modules["head"](embeddings)
        known = people >= 0
        losses = {
            "distillation": distill.cosine(projected, teacher),
            "similarity": distill.similarity(embeddings, teacher),
            "margin": MARGINS[weights.margin](cosines[known], people[known], margin=weights.margin_size),
        }
        losses["loss"] = (
            weights.distillation * losses["distillation"]
            + weights.similarity * losses["similarity"]
            + weights.margin_weight * losses["margin"]
        )
        return losses

    def validate(self, averages: Mapping[str, nn.Module]) -> Mapping[str, float]:
        """TAR at FAR 1e-3 over all pairs of the validation set."""
        found = embed(averages["encoder"], inputs(self._validation.faces), self._device)
        first, second = np.triu_indices(len(found), 1)
        distances = 1 - (found @ found.T)[first, second]
        same = self._validation.people[first] == self._validation.people[second]
        threshold = threshold_at_far(distances[~same], 1e-3)
        return {"tar_1e-3": float((distances[same] < threshold).mean()), "distance_1e-3": threshold}


class _Head(nn.Module):
    """What an encoder has in training only: prototypes of people, and a way into the teacher's space if it differs."""

    def __init__(self, prototypes: Tensor, dimensions: int) -> None:
        super().__init__()
        self.into_teacher: nn.Module = nn.Identity()
        if dimensions != prototypes.shape[1]:
            self.into_teacher = nn.Linear(dimensions, prototypes.shape[1], bias=False)
            # The teacher's space begins as a subspace of the encoder's, and its prototypes lie in it.
            nn.init.orthogonal_(self.into_teacher.weight)
            prototypes = prototypes @ self.into_teacher.weight.detach()
        self.prototypes = nn.Parameter(functional.normalize(prototypes))

    def forward(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings in the teacher's space (n, teacher's d), and their cosines to all people (n, k)."""
        return functional.normalize(self.into_teacher(embeddings)), embeddings @ functional.normalize(self.prototypes).T


def train_encoder(
    recipe: EncoderRecipe, *, data: Path, teachers: Path, work: Path, workers: int = 1, start: Path | None = None
) -> nn.Module:
    """Train as the recipe says, resuming what `work` holds of an earlier run; returns the averaged encoder.

    Args:
        recipe: everything but places.
        data: folder of the archives.
        teachers: folder of the teachers' networks.
        work: gets `cache/` (shared between recipes) and a folder of the recipe's name.
        workers: processes that degrade faces.
        start: an exported encoder of the same network, whose weights a new run begins with.
    """
    cache = work / "cache"
    archives = [(recipe.data.labelled, True), *((name, False) for name in recipe.data.unlabelled)]
    sets = [read_archive(data / name, cache, labelled=labelled) for name, labelled in archives]
    teacher = TEACHERS[recipe.loss.teacher](teachers)

    def opinions(name: str, faces: FaceSet) -> NDArray[np.float32]:
        ways, look = ("2", lambda some: both_ways(teacher, some)) if recipe.loss.both_ways else ("1", teacher)
        stored = cache / f"{Path(name).stem}.{recipe.loss.teacher}{ways}.npy"
        return derived(stored, lambda: map_batches(look, faces.faces))

    targets = np.concatenate([opinions(name, s) for (name, _), s in zip(archives, sets, strict=True)])
    if recipe.loss.centred:
        targets = targets - recipe.loss.centred * targets.mean(0)
        targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    validation = read_archive(data / recipe.data.validation, cache, labelled=True)
    torch.manual_seed(recipe.seed)
    encoder = ENCODERS[recipe.network]()
    if start is not None:
        encoder = read_encoder(start, recipe.network)
        rows = np.random.default_rng(recipe.seed).choice(len(sets[0]), min(512, len(sets[0])), replace=False)
        settle(encoder, _network_input(torch.from_numpy(inputs(sets[0].faces[np.sort(rows)]))))
    training = EncoderTraining(recipe, encoder.train(), _prototypes(sets[0].people, targets), validation)
    schedule = recipe.schedule
    batches = FaceBatches(sets, targets, schedule, seed=recipe.seed, hardness=recipe.hardness)
    averages = engine.fit(training, batches, schedule, work / recipe.name, seed=recipe.seed, workers=workers)
    return averages["encoder"]


@torch.no_grad()
def embed(encoder: nn.Module, faces: NDArray[np.uint8], device: torch.device, batch: int = 64) -> NDArray[np.float32]:
    """Unit vectors (n, d) of uint8 RGB crops (n, 112, 112, 3)."""
    encoder.eval()
    parts = (torch.from_numpy(faces[i : i + batch]).to(device) for i in range(0, len(faces), batch))
    found: NDArray[np.float32] = torch.cat([encoder(_network_input(part)).float().cpu() for part in parts]).numpy()
    return found


def _network_input(faces: Tensor) -> Tensor:
    """uint8 (n, h, w, 3) → float32 (n, 3, h, w) in [−1, 1], channels last in memory, which is how it comes."""
    return faces.permute(0, 3, 1, 2).float() / 127.5 - 1


def _prototypes(people: NDArray[np.int64], targets: NDArray[np.float32]) -> Tensor:
    """The mean of the teacher's embeddings of each person, shape (k, d)."""
    sums = np.zeros((people.max() + 1, targets.shape[1]), np.float32)
    np.add.at(sums, people, targets[: len(people)])
    return torch.from_numpy(sums)
