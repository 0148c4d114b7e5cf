"""Training of the expression embedder (PAPER II, thesis 5.2): supervised contrast, valence and arousal, distillation.

Batches keep a person's pictures together, so that the hardest pairs of all are in each: one person with another
expression, and other people with the same one.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata, spearmanr
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from masquerade.faces.expression import CLASSES, MEASURES
from masquerade.nets.expression import Expression, ExpressionEmbedder, Projection
from masquerade.train import engine, processes
from masquerade.train.augment import degraded
from masquerade.train.data import Epochs, FaceSet, Joined, inputs, read_archive
from masquerade.train.expression_export import begun
from masquerade.train.expression_labels import AFFECT, Labels, read_labels, without_identity
from masquerade.train.losses.expression import alike, likeness, recognised, soft_classes
from masquerade.train.losses.supcon import class_weights, supcon, with_affect
from masquerade.train.recipe import ExpressionLoss, ExpressionRecipe, Schedule

_NEIGHBOURS = 10
_PAIRS = 200_000


class Lesson(NamedTuple):
    """What one step learns from.

    Attributes:
        faces: degraded, uint8 RGB (n, 112, 112, 3).
        people: (n,); a number of its own for a face of whom nobody knows who it is.
        classes: the teacher's probabilities, (n, 7).
        geometry: (n, measures), in standard deviations from the mean face.
    """

    faces: Tensor
    people: Tensor
    classes: Tensor
    geometry: Tensor


class ExpressionBatches(Dataset[Lesson]):
    """Item i is the batch of step i. Every epoch goes through all people in an order of its own."""

    def __init__(
        self,
        sets: list[FaceSet],
        people: NDArray[np.int64],
        labels: Labels,
        schedule: Schedule,
        *,
        seed: int,
        hardness: float,
    ) -> None:
        self._faces, self._labels, self._people = Joined([s.faces for s in sets]), labels, people
        self._hardness = hardness
        rows = np.arange(len(people))
        self._epochs = Epochs(rows, schedule.batch, schedule.epochs, seed, together=people)

    def __len__(self) -> int:
        return len(self._epochs)

    def __getitem__(self, step: int) -> Lesson:
        cv2.setNumThreads(1)
        rows, rng = self._epochs.at(step)
        faces = np.stack([degraded(self._faces[row], rng, self._hardness) for row in rows])
        return Lesson(
            *map(torch.from_numpy, (faces, self._people[rows], self._labels.classes[rows], self._labels.geometry[rows]))
        )


class ExpressionTraining:
    """What the engine trains: see `engine.Training`.

    Args:
        recipe: its losses and its rates.
        weights: of each class, (7,).
        validation: faces of other people, and what is known of them.
    """

    averaged = ("network",)

    def __init__(self, recipe: ExpressionRecipe, weights: Tensor, validation: "Examination") -> None:
        self._loss = recipe.loss
        self._device = engine.device_of_choice()
        self._precision = engine.precision_of_choice(self._device)
        if recipe.precision != "auto":
            self._precision = getattr(torch, recipe.precision)
        network = ExpressionEmbedder(len(CLASSES), len(MEASURES))
        self.modules: dict[str, nn.Module] = {
            "network": network.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
            "projection": Projection(),
        }
        for module in self.modules.values():
            module.to(self._device)
        self._weights, self._affect = weights.to(self._device), torch.from_numpy(AFFECT).to(self._device)
        parameters = [p for m in self.modules.values() for p in m.parameters()]
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "adamw": torch.optim.AdamW(groups, lr=recipe.learning_rate)
        }
        self._validation = validation

    def step(self, batch: Lesson) -> Mapping[str, Tensor]:
        faces, people, classes, geometry = (part.to(self._device, non_blocking=True) for part in batch)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._precision == torch.bfloat16):
            said = self.modules["network"](_network_input(faces))
            projected = self.modules["projection"](said.embedding)
        said, projected = Expression(*(part.float() for part in said)), projected.float()
        every = processes.everyones
        losses = self._losses(Expression(*map(every, said)), *map(every, (projected, people, classes, geometry)))
        self.optimizers["adamw"].zero_grad()
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        self.optimizers["adamw"].step()
        return {name: value.detach() for name, value in losses.items()}

    def _losses(
        self, said: Expression, projected: Tensor, people: Tensor, classes: Tensor, geometry: Tensor
    ) -> dict[str, Tensor]:
        weigh: ExpressionLoss = self._loss
        surest = classes.max(1)
        labels = torch.where(surest.values >= weigh.certain, surest.indices, -1)
        wanted = likeness(classes, geometry)
        contrast = supcon(projected, labels, weights=self._weights, people=people, temperature=weigh.temperature)
        losses = {
            "contrast": with_affect(contrast, said.affect, classes @ self._affect),
            "classes": soft_classes(said.classes, classes, self._weights),
            "geometry": functional.smooth_l1_loss(said.geometry, geometry),
            "likeness": alike(said.embedding, wanted),
            "recognised": recognised(said.embedding, wanted, labels, people),
        }
        losses["loss"] = torch.stack([getattr(weigh, name) * value for name, value in losses.items()]).sum()
        return losses

    def validate(self, averages: Mapping[str, nn.Module]) -> Mapping[str, float]:
        return self._validation.of(express(averages["network"], self._validation.faces, self._device))


class Examination:
    """What an embedder of expressions should know and should not, asked of faces of people it never saw.

    Args:
        faces: uint8 RGB (n, 112, 112, 3).
        people: (n,), several pictures of each.
        labels: of these faces, geometry in standard deviations.
        certain: probability from which a class counts as known.
    """

    def __init__(self, faces: NDArray[np.uint8], people: NDArray[np.int64], labels: Labels, certain: float) -> None:
        self.faces = faces
        self._people, self._labels, self._hard = people, labels, labels.hard(certain)

    def of(self, said: Expression) -> dict[str, float]:
        """Figures of what a network said of the faces.

        Returns:
            `accuracy`, `balanced`: of the class head, and its mean over classes. `neighbours`: balanced accuracy of a
            vote of the 10 nearest faces of other people. `measures`: mean correlation of the geometry. `order`: rank
            correlation of distance and unlikeness, over pairs of different people. `identity`: how well distance
            tells one person from another among faces of one class (area under ROC; 0.5 is chance, and the goal).
        """
        embedding, hard = said.embedding.numpy(), self._hard
        known = hard >= 0
        found = said.classes.argmax(1).numpy()
        cosines = embedding @ embedding.T
        strangers = self._people[:, None] != self._people
        nearest = np.argsort(np.where(strangers & known, -cosines, np.inf), 1)[:, :_NEIGHBOURS]
        votes = np.eye(len(CLASSES))[hard[nearest]].sum(1).argmax(1)
        of_measures = [
            np.corrcoef(one, other)[0, 1]
            for one, other in zip(said.geometry.numpy().T, self._labels.geometry.T, strict=True)
        ]
        first, second = np.triu_indices(len(hard), 1)
        alike_in_class = known[first] & (hard[first] == hard[second])
        same = ~strangers[first, second]
        apart = np.flatnonzero(~same)
        some = np.random.default_rng(0).choice(apart, min(_PAIRS, len(apart)), replace=False)
        wanted = likeness(torch.from_numpy(self._labels.classes), torch.from_numpy(self._labels.geometry)).numpy()
        return {
            "accuracy": float((found == hard)[known].mean()),
            "balanced": _balanced(found[known], hard[known]),
            "neighbours": _balanced(votes[known], hard[known]),
            "measures": float(np.mean(of_measures)),
            "order": float(spearmanr(cosines[first[some], second[some]], wanted[first[some], second[some]])[0]),
            "identity": area_under_roc(cosines[first, second][alike_in_class], same[alike_in_class]),
        }


def _balanced(found: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    return float(np.mean([(found == truth)[truth == one].mean() for one in np.unique(truth)]))


def area_under_roc(scores: NDArray[np.float32], positive: NDArray[np.bool_]) -> float:
    """How often a positive one has the higher score than a negative one; a draw counts one half."""
    ranks, count = rankdata(scores)[positive], positive.sum()
    return float((ranks.mean() - (count + 1) / 2) / (len(scores) - count))


@torch.no_grad()
def express(network: nn.Module, faces: NDArray[np.uint8], device: torch.device, batch: int = 64) -> Expression:
    """What a network says of uint8 RGB crops (n, 112, 112, 3), on the CPU."""
    network.eval()
    parts = [
        network(_network_input(torch.from_numpy(faces[i : i + batch]).to(device))) for i in range(0, len(faces), batch)
    ]
    return Expression(*(torch.cat(part).float().cpu() for part in zip(*parts, strict=True)))


def train_expression(
    recipe: ExpressionRecipe, *, data: Path, teachers: Path, work: Path, workers: int = 1, start: Path | None = None
) -> nn.Module:
    """Train as the recipe says, resuming what `work` holds of an earlier run; returns the averaged network.

    Args:
        recipe: everything but places.
        data: folder of the archives, and of their labels where those are made already (see `expression_labels`).
        teachers: folder of the networks that make them.
        work: gets `cache/` (shared between recipes) and a folder of the recipe's name.
        workers: processes that degrade faces.
        start: exported weights, or a checkpoint of another run, whose averaged network a new run begins with.
    """
    cache = work / "cache"
    archives = [(recipe.data.labelled, True), *((name, False) for name in recipe.data.unlabelled)]
    sets = [read_archive(data / name, cache, labelled=known) for name, known in archives]
    read = [read_labels(name, faces, data, cache, teachers) for (name, _), faces in zip(archives, sets, strict=True)]
    people = _numbered(sets)
    classes = np.concatenate([labels.classes for labels in read])
    geometry = without_identity(np.concatenate([labels.geometry for labels in read]), classes, people)
    mean, deviation = geometry.mean(0), geometry.std(0)
    labels = Labels(classes, _standard(geometry, mean, deviation))
    validation = read_archive(data / recipe.data.validation, cache, labelled=True)
    known = read_labels(recipe.data.validation, validation, data, cache, teachers)
    cleaned = without_identity(known.geometry, known.classes, validation.people)
    examination = Examination(
        inputs(validation.faces),
        validation.people,
        Labels(known.classes, _standard(cleaned, mean, deviation)),
        recipe.loss.certain,
    )
    weights = class_weights(torch.from_numpy(labels.hard(recipe.loss.certain)), len(CLASSES), limit=recipe.loss.limit)
    torch.manual_seed(recipe.seed)
    training = ExpressionTraining(recipe, weights, examination)
    if start is not None:
        rows = np.random.default_rng(recipe.seed).choice(len(sets[0]), min(512, len(sets[0])), replace=False)
        some = _network_input(torch.from_numpy(inputs(sets[0].faces[np.sort(rows)])))
        training.modules["network"].load_state_dict(begun(start, some).state_dict())
    batches = ExpressionBatches(sets, people, labels, recipe.schedule, seed=recipe.seed, hardness=recipe.hardness)
    averages = engine.fit(training, batches, recipe.schedule, work / recipe.name, seed=recipe.seed, workers=workers)
    return averages["network"]


def _standard(
    geometry: NDArray[np.float32], mean: NDArray[np.float32], deviation: NDArray[np.float32]
) -> NDArray[np.float32]:
    """In standard deviations from the mean face; beyond three a mesh has more likely slipped than a mouth."""
    return np.asarray(((geometry - mean) / deviation).clip(-3, 3), np.float32)


def _numbered(sets: list[FaceSet]) -> NDArray[np.int64]:
    """People of all sets, (n,); who is unknown is a person of their own."""
    people = np.concatenate([s.people for s in sets])
    unknown = people < 0
    people[unknown] = people.max(initial=0) + 1 + np.arange(unknown.sum())
    return people


def _network_input(faces: Tensor) -> Tensor:
    """uint8 (n, h, w, 3) → float32 (n, 3, h, w) in [−1, 1], channels last in memory, which is how it comes."""
    return faces.permute(0, 3, 1, 2).float() / 127.5 - 1
