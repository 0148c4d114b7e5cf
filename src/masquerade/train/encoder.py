"""Training of an identity encoder: a margin softmax over people, and a teacher's opinion of each face."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from masquerade.audit.verification import threshold_at_far
from masquerade.nets.encoder import ENCODERS, Driver, Guard
from masquerade.train import engine, processes
from masquerade.train.augment import degraded
from masquerade.train.data import Epochs, FaceSet, Joined, derived, inputs, map_batches, read_archive
from masquerade.train.export import read_encoder, settle
from masquerade.train.losses import distill
from masquerade.train.losses.margin import arcface, cosface
from masquerade.train.muon import Muon
from masquerade.train.recipe import EncoderLoss, EncoderRecipe, Schedule
from masquerade.train.teachers import TEACHERS, Look, both_ways, look_of

MARGINS = {"arcface": arcface, "cosface": cosface}


class Lesson(NamedTuple):
    """What one step learns from.

    Attributes:
        faces: degraded, uint8 RGB (n, 112, 112, 3).
        people: (n,), −1 where nobody knows or a face is mixed.
        teacher: its unit vectors, (n, d); those of mixed faces are still to be asked for.
        mixed: the first m of the faces before they were degraded, which show two people in one, (m, 128, 128, 3).
    """

    faces: Tensor
    people: Tensor
    teacher: Tensor
    mixed: Tensor


class FaceBatches(Dataset[Lesson]):
    """Item i is the batch of step i. Every epoch goes through all faces in an order of its own."""

    def __init__(
        self,
        sets: list[FaceSet],
        targets: NDArray[np.float32],
        schedule: Schedule,
        *,
        seed: int,
        hardness: float,
        mixed: float = 0.0,
    ) -> None:
        self._faces = Joined([s.faces for s in sets])
        self._targets = targets
        self._people = np.concatenate([s.people for s in sets])
        self._hardness = hardness
        self._mixed = round(mixed * schedule.batch)
        self._epochs = Epochs(np.arange(len(self._people)), schedule.batch, schedule.epochs, seed)

    def __len__(self) -> int:
        return len(self._epochs)

    def __getitem__(self, step: int) -> Lesson:
        cv2.setNumThreads(1)
        rows, rng = self._epochs.at(step)
        clean = [self._faces[row] for row in rows]
        others = rng.integers(len(self._people), size=self._mixed)
        mixed = [mix(one, self._faces[other], rng) for one, other in zip(clean, others, strict=False)]
        faces = np.stack([degraded(face, rng, self._hardness) for face in [*mixed, *clean[self._mixed :]]])
        people = np.where(np.arange(len(rows)) < self._mixed, -1, self._people[rows])
        asked = np.stack(mixed) if mixed else np.empty((0, *clean[0].shape), np.uint8)
        return Lesson(*map(torch.from_numpy, (faces, people, self._targets[rows], asked)))


class EncoderTraining:
    """What the engine trains: see `engine.Training`. `ask` is asked for the teacher's view of mixed faces."""

    averaged = ("encoder",)

    def __init__(
        self, recipe: EncoderRecipe, encoder: Driver | Guard, prototypes: Tensor, validation: FaceSet, ask: Look
    ) -> None:
        self._ask = ask
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

    def step(self, batch: Lesson) -> Mapping[str, Tensor]:
        faces, people, teacher = (part.to(self._device, non_blocking=True) for part in batch[:3])
        if len(batch.mixed):
            said = self._ask(batch.mixed.to(self._device, non_blocking=True)).to(self._device)
            teacher = torch.cat([said, teacher[len(said) :]])
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._precision == torch.bfloat16):
            embeddings = self.modules["encoder"](_network_input(faces))
        losses = self._losses(*map(processes.everyones, (embeddings.float(), people, teacher)))
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
        ways, embed = ("2", lambda some: both_ways(teacher, some)) if recipe.loss.both_ways else ("1", teacher)
        stored = cache / f"{Path(name).stem}.{recipe.loss.teacher}{ways}.npy"
        return derived(stored, lambda: map_batches(embed, faces.faces))

    targets = np.concatenate([opinions(name, s) for (name, _), s in zip(archives, sets, strict=True)])
    centre = recipe.loss.centred * targets.mean(0)
    targets = centred(targets, centre)
    validation = read_archive(data / recipe.data.validation, cache, labelled=True)
    torch.manual_seed(recipe.seed)
    encoder = ENCODERS[recipe.network]()
    if start is not None:
        encoder = read_encoder(start, recipe.network)
    encoder.side = recipe.side
    if start is not None:
        rows = np.random.default_rng(recipe.seed).choice(len(sets[0]), min(512, len(sets[0])), replace=False)
        settle(encoder, _network_input(torch.from_numpy(inputs(sets[0].faces[np.sort(rows)]))))
    look = look_of(recipe.loss.teacher, teachers)

    def ask(some: Tensor) -> Tensor:
        said = look(some)
        if recipe.loss.both_ways:
            said = functional.normalize(said + look(some.flip(2)))
        return functional.normalize(said - torch.from_numpy(centre).to(said.device))

    training = EncoderTraining(recipe, encoder.train(), _prototypes(sets[0].people, targets), validation, ask)
    batches = FaceBatches(
        sets, targets, recipe.schedule, seed=recipe.seed, hardness=recipe.hardness, mixed=recipe.data.mixed
    )
    averages = engine.fit(training, batches, recipe.schedule, work / recipe.name, seed=recipe.seed, workers=workers)
    return averages["encoder"]


def mix(one: NDArray[np.uint8], other: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Two aligned crops (h, w, 3) in one: half of the time the one through the other, else a part of each."""
    share = rng.uniform(0.3, 0.7)
    if rng.random() < 0.5:
        return np.asarray(cv2.addWeighted(one, share, other, 1 - share, 0), np.uint8)
    made, cut = one.copy(), int(share * len(one))
    if rng.random() < 0.5:
        made[cut:] = other[cut:]
    else:
        made[:, cut:] = other[:, cut:]
    return made


def centred(vectors: NDArray[np.float32], centre: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit vectors (n, d) seen from `centre`, (d,), as unit vectors again."""
    moved = vectors - centre
    return np.asarray(moved / np.linalg.norm(moved, axis=1, keepdims=True), np.float32)


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
