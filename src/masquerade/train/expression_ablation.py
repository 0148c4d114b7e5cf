"""Table 5.1 (PAPER II, thesis 5.2): an encoder is pretrained in one of several ways, frozen, and classified upon.

The recipes say which: supervised contrast (L_wtot; without weights, L_tot; without valence and arousal, L_wc), SimSiam,
an auto-encoder, or nothing at all, where encoder and classifier are trained together. The classifier is a multi-layer
perceptron under a weighted cross entropy. Its accuracy on the validation faces is the table's figure.

The thesis gives no sizes, rates or lengths: those of the recipes are ours.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from masquerade.nets.expression import Classifier, Contrast, Decoder, SimSiam, build_body
from masquerade.train import engine, processes
from masquerade.train.data import Epochs, whole_file
from masquerade.train.expression_affectnet import CLASSES, AffectNet, read_affectnet
from masquerade.train.figures import drawn
from masquerade.train.losses.supcon import class_weights, supcon, with_affect
from masquerade.train.recipe import AffectNetRecipe, Schedule

_BATCH = 64
"""Faces at a time where nothing is learnt."""


class Lesson(NamedTuple):
    """What one step learns from.

    Attributes:
        faces: uint8 RGB (n, side, side, 3).
        again: the same faces, seen in another way; what SimSiam compares them with.
        classes: (n,).
        affect: valence and arousal (n, 2).
    """

    faces: Tensor
    again: Tensor
    classes: Tensor
    affect: Tensor


class LessonBatches(Dataset[Lesson]):
    """Item i is the batch of step i; every epoch shows every face once, in an order of its own.

    Args:
        data: the faces.
        schedule: how many at a time, and how often.
        seed: of orders and views.
        cropped: whether views are crops of all sizes and other colours, as SimSiam wants them, or only mirrored.
    """

    def __init__(self, data: AffectNet, schedule: Schedule, *, seed: int, cropped: bool) -> None:
        self._data = data
        self._see = _cropped if cropped else _mirrored
        self._epochs = Epochs(np.arange(len(data)), min(schedule.batch, len(data)), schedule.epochs, seed)

    def __len__(self) -> int:
        return len(self._epochs)

    def __getitem__(self, step: int) -> Lesson:
        cv2.setNumThreads(1)
        rows, rng = self._epochs.at(step)
        views = [np.stack([self._see(self._data.faces[row], rng) for row in rows]) for _ in range(2)]
        return Lesson(*map(torch.from_numpy, (*views, self._data.classes[rows], self._data.affect[rows])))


def _mirrored(face: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    return np.ascontiguousarray(face[:, ::-1] if rng.random() < 0.5 else face)


def _cropped(face: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A square of a fifth of the picture or more, mirrored or not, its colours changed."""
    side = len(face)
    length = max(2, round(side * np.sqrt(rng.uniform(0.2, 1))))
    y, x = rng.integers(0, side - length + 1, 2)
    seen = cv2.resize(_mirrored(face[y : y + length, x : x + length], rng), (side, side)).astype(np.float32)
    seen = (seen - 128) * np.exp(rng.normal(0, 0.2)) + 128 + rng.normal(0, 25) + rng.normal(0, 12, 3)
    if rng.random() < 0.2:
        seen = np.repeat(seen.mean(2, keepdims=True), 3, 2)
    return seen.clip(0, 255).astype(np.uint8)


class Pretraining:
    """What the engine trains first: see `engine.Training`. The encoder, and what its kind of pretraining puts on it.

    Args:
        recipe: how.
        weights: of each class, (classes,); None where all count alike.
    """

    averaged = ("encoder",)

    def __init__(self, recipe: AffectNetRecipe, weights: Tensor | None) -> None:
        self._recipe, self._device = recipe, engine.device_of_choice()
        self._weights = None if weights is None else weights.to(self._device)
        encoder = build_body(recipe.backbone)
        heads = {"contrast": Contrast, "simsiam": SimSiam}
        head = (
            Decoder(encoder.width, recipe.side)
            if recipe.pretraining == "autoencoder"
            else heads[recipe.pretraining](encoder.width)
        )
        self.modules: dict[str, nn.Module] = {"encoder": encoder.to(self._device), "head": head.to(self._device)}
        self.optimizers = {"adamw": _optimizer(self.modules, recipe)}
        self._losses = {"contrast": self._contrast, "simsiam": self._simsiam, "autoencoder": self._autoencoder}

    def step(self, batch: Lesson) -> Mapping[str, Tensor]:
        for module in self.modules.values():
            module.train()
        lesson = Lesson(*(part.to(self._device, non_blocking=True) for part in batch))
        loss = self._losses[self._recipe.pretraining](lesson)
        _descend(self.optimizers["adamw"], loss)
        return {"loss": loss.detach()}

    def _contrast(self, lesson: Lesson) -> Tensor:
        said = self.modules["head"](_features(self.modules["encoder"], lesson.faces))
        projected, affect, classes, truth = map(processes.everyones, (*said, lesson.classes, lesson.affect))
        loss = supcon(projected, classes, weights=self._weights, temperature=self._recipe.temperature)
        return with_affect(loss, affect, truth) if self._recipe.affect else loss

    def _simsiam(self, lesson: Lesson) -> Tensor:
        views = (_features(self.modules["encoder"], faces) for faces in (lesson.faces, lesson.again))
        loss: Tensor = self.modules["head"](*views)
        return loss

    def _autoencoder(self, lesson: Lesson) -> Tensor:
        made = self.modules["head"](_features(self.modules["encoder"], lesson.faces))
        return functional.mse_loss(made, _input(lesson.faces))

    def validate(self, averages: Mapping[str, nn.Module]) -> Mapping[str, float]:
        return {}  # what it is worth shows when it is classified upon


class Classification:
    """What the engine trains then: see `engine.Training`. A classifier, and the encoder too where that is not frozen.

    Args:
        recipe: its rates, and whether the encoder learns.
        encoder: it becomes part of this.
        weights: of each class, (classes,).
        validation: faces that decide.
    """

    averaged = ("encoder", "classifier")

    def __init__(self, recipe: AffectNetRecipe, encoder: nn.Module, weights: Tensor, validation: AffectNet) -> None:
        self._device = engine.device_of_choice()
        self._frozen, self._validation = recipe.pretraining != "none", validation
        self._weights = weights.to(self._device)
        classifier = Classifier(int(encoder.width), len(CLASSES)).to(self._device)  # type: ignore[arg-type]
        self.modules: dict[str, nn.Module] = {"encoder": encoder.to(self._device), "classifier": classifier}
        learns = {"classifier": classifier} if self._frozen else self.modules
        self.optimizers = {"adamw": _optimizer(learns, recipe)}

    def step(self, batch: Lesson) -> Mapping[str, Tensor]:
        encoder, classifier = self.modules["encoder"], self.modules["classifier"]
        encoder.train(not self._frozen)
        classifier.train()
        with torch.set_grad_enabled(not self._frozen):
            features = _features(encoder, batch.faces.to(self._device, non_blocking=True))
        said, classes = map(processes.everyones, (classifier(features), batch.classes.to(self._device)))
        loss = functional.cross_entropy(said, classes, self._weights)
        _descend(self.optimizers["adamw"], loss)
        return {"loss": loss.detach()}

    def validate(self, averages: Mapping[str, nn.Module]) -> Mapping[str, float]:
        found = classified(averages["encoder"], averages["classifier"], self._validation.faces)
        return confusion(found, self._validation.classes).figures


@dataclass(frozen=True, slots=True)
class Confusion:
    """What was taken for what.

    Attributes:
        counts: (classes, classes), row: what it was, column: what was said.
    """

    counts: NDArray[np.int64]

    @property
    def shares(self) -> NDArray[np.float64]:
        """Of each row, 0 to 1; rows of classes that do not occur are 0."""
        return np.asarray(self.counts / self.counts.sum(1, keepdims=True).clip(min=1), np.float64)

    @property
    def figures(self) -> dict[str, float]:
        """Accuracy, its mean over the classes that occur, and that of each."""
        there = self.counts.sum(1) > 0
        each = np.diag(self.shares)
        return {
            "accuracy": float(np.trace(self.counts) / self.counts.sum()),
            "balanced": float(each[there].mean()),
            **{name: float(share) for name, share, known in zip(CLASSES, each, there, strict=True) if known},
        }


def confusion(found: NDArray[np.int64], truth: NDArray[np.int64]) -> Confusion:
    """Of numbers in `CLASSES`, (n,) each."""
    counts = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    np.add.at(counts, (truth, found), 1)
    return Confusion(counts)


@torch.no_grad()
def classified(encoder: nn.Module, classifier: nn.Module, faces: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The class of each face, uint8 RGB (n, side, side, 3); (n,)."""
    encoder.eval()
    classifier.eval()
    device = next(classifier.parameters()).device
    found = []
    for start in range(0, len(faces), _BATCH):
        some = torch.from_numpy(np.array(faces[start : start + _BATCH])).to(device)
        found.append(classifier(_features(encoder, some)).argmax(1).cpu().numpy())
    return np.concatenate(found)


def draw(found: Confusion, path: Path) -> None:
    """Figure 5.2: the confusion matrix, each row's shares.

    Args:
        path: `.png`, `.svg` or `.pdf`.

    Raises:
        MasqueradeError: matplotlib is missing.
    """
    with drawn(path, 6.5, 6) as figure:
        axes = figure.add_subplot()
        axes.imshow(found.shares, vmin=0, vmax=1, cmap="Blues")
        for (row, column), share in np.ndenumerate(found.shares):
            axes.text(column, row, f"{share:.2f}", ha="center", va="center", color="white" if share > 0.5 else "black")
        axes.set_xticks(range(len(CLASSES)), CLASSES, rotation=45, ha="right")
        axes.set_yticks(range(len(CLASSES)), CLASSES)
        axes.set(xlabel="said", ylabel="labelled", title=f"accuracy {100 * found.figures['accuracy']:.2f} %")


def train_affectnet(recipe: AffectNetRecipe, *, data: Path, work: Path, workers: int = 1) -> Confusion:
    """Pretrain, freeze and classify as the recipe says, resuming what `work` holds of an earlier run.

    Args:
        recipe: everything but places.
        data: folder that holds AffectNet's.
        work: gets `cache/` and a folder of the recipe's name, with a run in it for each of the two trainings,
            `confusion.svg` and `confusion.json`.
        workers: processes that prepare faces.

    Returns:
        What the classifier takes for what among the validation faces.
    """
    folder = work / recipe.name
    train, validation = (
        read_affectnet(data / recipe.data, part, work / "cache", side=recipe.side) for part in ("train", "val")
    )
    weights = class_weights(torch.from_numpy(train.classes), len(CLASSES))
    torch.manual_seed(recipe.seed)
    if recipe.pretraining == "none":
        encoder: nn.Module = build_body(recipe.backbone)
    else:
        pretraining = Pretraining(recipe, weights if recipe.weighted else None)
        lessons = LessonBatches(train, recipe.schedule, seed=recipe.seed, cropped=recipe.pretraining == "simsiam")
        averages = engine.fit(
            pretraining, lessons, recipe.schedule, folder / "pretraining", seed=recipe.seed, workers=workers
        )
        encoder = averages["encoder"]
    classification = Classification(recipe, encoder, weights, validation)
    lessons = LessonBatches(train, recipe.classifier, seed=recipe.seed, cropped=False)
    averages = engine.fit(
        classification, lessons, recipe.classifier, folder / "classifier", seed=recipe.seed, workers=workers
    )
    found = confusion(classified(averages["encoder"], averages["classifier"], validation.faces), validation.classes)
    if processes.index() > 0:
        return found
    draw(found, folder / "confusion.svg")
    with whole_file(folder / "confusion.json") as part:
        said = {"classes": CLASSES, "counts": found.counts.tolist(), **found.figures}
        part.write_text(json.dumps(said, indent=2) + "\n", "utf-8")
    return found


def _optimizer(modules: Mapping[str, nn.Module], recipe: AffectNetRecipe) -> torch.optim.Optimizer:
    """Weights decay, biases and normalisation do not."""
    parameters = [p for module in modules.values() for p in module.parameters()]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate)


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def _features(encoder: nn.Module, faces: Tensor) -> Tensor:
    """Of uint8 faces (n, side, side, 3), in single precision."""
    precision = engine.precision_of_choice(faces.device)
    with torch.autocast(faces.device.type, torch.bfloat16, enabled=precision == torch.bfloat16):
        features: Tensor = encoder(_input(faces))
    return features.float()


def _input(faces: Tensor) -> Tensor:
    """uint8 (n, h, w, 3) → float32 (n, 3, h, w) in [−1, 1]."""
    return faces.permute(0, 3, 1, 2).float() / 127.5 - 1
