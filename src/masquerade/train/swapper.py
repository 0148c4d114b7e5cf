"""Training of a face swapper that anonymises: toward a source's identity, away from the target's, all else kept."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from masquerade.errors import InputError, MasqueradeError
from masquerade.identity.bank import IdentityModel, fit_distribution
from masquerade.models.cards import PACKAGED
from masquerade.nets.base import Generator
from masquerade.nets.discriminator import CompactDiscriminator
from masquerade.nets.generators import GENERATORS
from masquerade.train import engine
from masquerade.train.data import SIDE, FaceSet, derived, inputs, map_batches, read_archive
from masquerade.train.export import read_encoder, read_generator
from masquerade.train.grids import pixels, write_grid
from masquerade.train.losses import adversarial, reconstruction
from masquerade.train.losses.anonymity import repulsion
from masquerade.train.losses.feature_matching import weak_feature_matching
from masquerade.train.losses.identity import identity
from masquerade.train.losses.ifsr import ifsr
from masquerade.train.losses.scene import light, surroundings
from masquerade.train.recipe import Schedule, SwapperData, SwapperRecipe
from masquerade.train.recognisers import DriverRecogniser, FeatureRecogniser, Recogniser
from masquerade.train.teachers import both_ways, fr_feature
from masquerade.train.views import View

_MATCHED = 3
"""Layers of the discriminator before the logits that are compared."""
_SHOWN = 48
"""Faces that validation looks at."""
_COLUMNS = 12
"""Faces in a sample grid."""

Vectors = NDArray[np.float32]


class Swaps(NamedTuple):
    """What one step is made of.

    Attributes:
        step: its number.
        targets: uint8 RGB (n, 128, 128, 3).
        own: the targets' embeddings, unit vectors (n, 512).
        wanted: the sources', (n, 512).
        same: (n,), True where the source is the target.
    """

    step: int
    targets: Tensor
    own: Tensor
    wanted: Tensor
    same: Tensor


class SwapBatches(Dataset[Swaps]):
    """Item i is the batch of step i. Every epoch goes through all targets in an order of its own."""

    def __init__(
        self, sets: list[FaceSet], embeddings: Vectors, data: SwapperData, schedule: Schedule, *, seed: int
    ) -> None:
        self._sets = sets
        self._starts = np.cumsum([0, *(len(s) for s in sets)])
        self._embeddings = embeddings
        self._population: IdentityModel = fit_distribution(embeddings)
        self._data, self._batch, self._seed = data, schedule.batch, seed
        self._an_epoch = len(embeddings) // schedule.batch
        if not self._an_epoch:
            raise InputError(f"{len(embeddings)} faces do not fill a batch of {schedule.batch}")
        self._steps = max(1, round(schedule.epochs * self._an_epoch))

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> Swaps:
        cv2.setNumThreads(1)
        epoch, place = divmod(step, self._an_epoch)
        order = np.random.default_rng((self._seed, epoch)).permutation(len(self._embeddings))
        rows = order[place * self._batch : (place + 1) * self._batch]
        rng = np.random.default_rng((self._seed, epoch, place))
        own = self._embeddings[rows]
        same = np.arange(self._batch) < round(self._data.same * self._batch)
        wanted = np.where(same[:, None], own, np.stack([self._stranger(vector, rng) for vector in own]))
        targets = np.stack([jittered(self._face(row), rng) for row in rows])
        return Swaps(step, *map(torch.from_numpy, (targets, own, wanted, same)))

    def _face(self, row: int) -> NDArray[np.uint8]:
        which = int(np.searchsorted(self._starts, row, "right")) - 1
        face: NDArray[np.uint8] = self._sets[which].faces[row - self._starts[which]]
        return face

    def _stranger(self, own: Vectors, rng: np.random.Generator) -> Vectors:
        """An identity for this target: the farther of two, so that it is hardly ever the same person."""
        drawn = self._identities(2, rng)
        farther: Vectors = drawn[int(np.argmin(drawn @ own))]
        return farther

    def _identities(self, count: int, rng: np.random.Generator) -> Vectors:
        first, second = self._embeddings[rng.integers(len(self._embeddings), size=(2, count))]
        kind, share = rng.random(), rng.uniform(0.3, 0.7)
        if kind < self._data.fabricated / 2:
            between = share * first + (1 - share) * second
            return np.asarray(between / np.linalg.norm(between, axis=1, keepdims=True), np.float32)
        return self._population.sample(count, rng) if kind < self._data.fabricated else first


def jittered(face: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The face as other landmarks would have aligned it, perhaps mirrored; nothing from outside the crop is made up."""
    if rng.random() < 0.5:
        face = face[:, ::-1]
    size = SIDE * rng.uniform(0.92, 1.0)
    x, y = rng.uniform(0, SIDE - size, 2)
    scale = size / SIDE
    warp = np.array([[scale, 0, x + (scale - 1) / 2], [0, scale, y + (scale - 1) / 2]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(face, warp, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


class SwapperTraining:
    """What the engine trains: see `engine.Training`."""

    averaged = ("generator",)

    def __init__(
        self, recipe: SwapperRecipe, generator: Generator, recognisers: list[Recogniser], samples: "Samples"
    ) -> None:
        self._loss = recipe.loss
        self._device = engine.device_of_choice()
        self._precision = engine.precision_of_choice(self._device)
        if recipe.precision != "auto":
            self._precision = getattr(torch, recipe.precision)
        self.modules: dict[str, nn.Module] = {
            "generator": self._placed(generator),
            "discriminator": self._placed(CompactDiscriminator()),
        }
        self._recognisers = [self._placed(recogniser) for recogniser in recognisers]
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            name: torch.optim.Adam(module.parameters(), lr=recipe.learning_rate, betas=(0.0, 0.99))
            for name, module in self.modules.items()
        }
        self._samples = samples
        self._done = 0

    def _placed(self, module: nn.Module) -> nn.Module:
        return module.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def step(self, batch: Swaps) -> Mapping[str, Tensor]:
        targets = _network_input(batch.targets.to(self._device, non_blocking=True))
        own, wanted, same = (part.to(self._device, non_blocking=True) for part in batch[2:])
        judge = self.modules["discriminator"]
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._precision == torch.bfloat16):
            made = self.modules["generator"](targets, wanted).crops.float()
            # What the judge says of the targets serves twice: here to be matched, below to be learnt from.
            of_targets = judge(targets)
            judge.requires_grad_(False)
            of_made = judge(made)
            judge.requires_grad_(True)
            losses = self._recognised(targets, made, own, wanted, same)
        losses |= {
            "adversarial": adversarial.hinge_generator(of_made[-1].float()),
            "matching": weak_feature_matching([of_targets], [of_made], _MATCHED),
            "reconstruction": reconstruction.absolute(targets, made, same),
            "light": light(targets, made),
            "surroundings": surroundings(targets, made),
        }
        total = torch.stack([getattr(self._loss, name) * value.float() for name, value in losses.items()]).sum()
        self._update("generator", total)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._precision == torch.bfloat16):
            of_made = judge(made.detach())
        game = adversarial.hinge_discriminator(of_targets[-1].float(), of_made[-1].float())
        self._update("discriminator", game + self._smoothness(targets, batch.step))
        self._done = batch.step + 1
        losses |= {
            "loss": total,
            "discriminator": game,
            "real": of_targets[-1].mean(),
            "made": of_made[-1].mean(),
        }
        return {name: value.detach() for name, value in losses.items()}

    def _recognised(
        self, targets: Tensor, made: Tensor, own: Tensor, wanted: Tensor, same: Tensor
    ) -> dict[str, Tensor]:
        """What the recognisers say of the results, each the mean over them."""
        weights, parts = self._loss, []
        for recogniser, margins in zip(self._recognisers, weights.margins, strict=True):
            view = View(len(targets))
            with torch.no_grad():
                kept, self_seen = recogniser(view(targets))
            maps, seen = recogniser(view(made))
            parts.append(
                torch.stack(
                    [
                        identity(wanted, seen),
                        (repulsion(own, seen, ~same, weights.limit) + repulsion(self_seen, seen, ~same, weights.limit))
                        / 2,
                        ifsr([m.float() for m in kept], [m.float() for m in maps], margins),
                    ]
                )
            )
        return dict(zip(("identity", "repulsion", "ifsr"), torch.stack(parts).mean(0), strict=True))

    def _smoothness(self, targets: Tensor, step: int) -> Tensor | float:
        if step % self._loss.r1_every or not self._loss.r1:
            return 0.0
        targets = targets.detach().requires_grad_()
        logits = self.modules["discriminator"](targets)[-1]
        return adversarial.r1(logits.mean((1, 2, 3)), targets, self._loss.r1) * self._loss.r1_every

    def _update(self, name: str, loss: Tensor) -> None:
        if not torch.isfinite(loss):
            raise MasqueradeError(
                f"the loss of the {name} is {loss.item()}",
                hint="The last checkpoint is whole: lower the learning rate and go on from it",
            )
        self.optimizers[name].zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizers[name].step()

    def validate(self, averages: Mapping[str, nn.Module]) -> Mapping[str, float]:
        """What the guard, which takes no part, sees in faces of people nobody trained on; draws a grid of them."""
        return self._samples.look(averages["generator"], self._done, self._device)


class Samples:
    """A few faces to look at while training runs.

    Args:
        targets, sources: uint8 RGB (n, 128, 128, 3), of other people in each row.
        wanted: the sources' embeddings, (n, 512).
        guard: a recogniser that takes no part in training.
        folder: gets a grid each time: targets, sources, results, and the first source on every target.
    """

    def __init__(
        self, targets: NDArray[np.uint8], sources: NDArray[np.uint8], wanted: Vectors, guard: nn.Module, folder: Path
    ) -> None:
        self._targets, self._sources = targets, sources
        self._wanted, self._guard, self._folder = torch.from_numpy(wanted), guard, folder

    @torch.no_grad()
    def look(self, generator: nn.Module, step: int, device: torch.device) -> dict[str, float]:
        """Cosines by the guard between result and target, result and source, target and source."""
        made = self._made(generator, self._wanted, device)
        target, source, result = (self._embedded(faces, device) for faces in (self._targets, self._sources, made))
        one = self._made(generator, self._wanted[:1].expand(len(made[:_COLUMNS]), -1), device)
        rows = [self._targets[:_COLUMNS], self._sources[:_COLUMNS], made[:_COLUMNS], one]
        write_grid(rows, self._folder / f"{step:07d}.png")
        return {
            "guard_target": float((result * target).sum(1).mean()),
            "guard_source": float((result * source).sum(1).mean()),
            "guard_strangers": float((target * source).sum(1).mean()),
        }

    def _made(self, generator: nn.Module, wanted: Tensor, device: torch.device) -> NDArray[np.uint8]:
        generator.eval()
        targets = _network_input(torch.from_numpy(self._targets[: len(wanted)]).to(device))
        return np.concatenate(
            [
                pixels(generator(some, z).crops)
                for some, z in zip(*(torch.split(part, _COLUMNS) for part in (targets, wanted.to(device))), strict=True)
            ]
        )

    def _embedded(self, faces: NDArray[np.uint8], device: torch.device) -> Tensor:
        return functional.normalize(self._guard(_network_input(torch.from_numpy(inputs(faces)).to(device))).float())


def train_swapper(
    recipe: SwapperRecipe, *, data: Path, teachers: Path, work: Path, workers: int = 1, start: Path | None = None
) -> nn.Module:
    """Train as the recipe says, resuming what `work` holds of an earlier run; returns the averaged generator.

    Args:
        recipe: everything but places.
        data: folder of the archives; where `<archive>.fr_feature2.npy` lies beside one, its embeddings are taken from
            there (float16 will do) instead of being computed.
        teachers: folder of the recognisers that are not in the package.
        work: gets `cache/` (shared between recipes) and a folder of the recipe's name.
        workers: processes that prepare batches.
        start: what a new run begins with: a checkpoint of another run, or an exported generator.
    """
    cache = work / "cache"
    names = recipe.data.faces
    sets = [read_archive(data / name, cache, labelled=False) for name in names]
    embeddings = np.concatenate(
        [teacher_embeddings(n, s, data, cache, teachers) for n, s in zip(names, sets, strict=True)]
    )
    validation = read_archive(data / recipe.data.validation, cache, labelled=True)
    torch.manual_seed(recipe.seed)
    generator = GENERATORS[recipe.network]()
    recognisers = [RECOGNISERS[name](teachers) for name in recipe.loss.recognisers]
    vectors = teacher_embeddings(recipe.data.validation, validation, data, cache, teachers)
    device = engine.device_of_choice()
    samples = _samples(validation, vectors, device, work / recipe.name / "grids")
    training = SwapperTraining(recipe, generator, recognisers, samples)
    if start is not None:
        _begin_with(training, start)
    batches = SwapBatches(sets, embeddings, recipe.data, recipe.schedule, seed=recipe.seed)
    averages = engine.fit(training, batches, recipe.schedule, work / recipe.name, seed=recipe.seed, workers=workers)
    return averages["generator"]


RECOGNISERS: dict[str, Callable[[Path], Recogniser]] = {
    "driver": lambda _: DriverRecogniser(PACKAGED / "driver.onnx"),
    "fr_feature": lambda teachers: FeatureRecogniser(teachers / "fr_feature_512d.onnx"),
}


def teacher_embeddings(name: str, faces: FaceSet, data: Path, cache: Path, teachers: Path) -> Vectors:
    """What fr_feature says of an archive's faces, unit vectors (n, 512).

    Taken from `<archive>.fr_feature2.npy` beside the archive where that is, else from the cache, else computed.

    Raises:
        InputError: the stored embeddings are not those of this archive.
    """
    stored = f"{Path(name).stem}.fr_feature2.npy"
    path = data / stored if (data / stored).is_file() else cache / stored

    def compute() -> Vectors:
        teacher = fr_feature(teachers)
        return map_batches(lambda some: both_ways(teacher, some), faces.faces)

    vectors = derived(path, compute).astype(np.float32)
    if len(vectors) != len(faces):
        raise InputError(f"holds {len(vectors)} embeddings of {len(faces)} faces", path=path, hint="Delete it")
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def _samples(faces: FaceSet, vectors: Vectors, device: torch.device, folder: Path) -> Samples:
    """Targets and sources: the first faces of evenly picked people, each with another's."""
    first = np.unique(faces.people, return_index=True)[1]
    targets = first[np.unique(np.linspace(0, len(first) - 1, _SHOWN).astype(int))]
    sources = np.roll(targets, len(targets) // 2)
    guard = read_encoder(PACKAGED / "guard.onnx", "guard").to(device)
    return Samples(faces.faces[targets], faces.faces[sources], vectors[sources], guard, folder)


def _begin_with(training: SwapperTraining, start: Path) -> None:
    """Weights of the generator and, from a checkpoint, of the discriminator; the averaged ones where there are any."""
    if not start.is_file():
        raise InputError("no such file", path=start)
    if start.suffix == ".onnx":
        training.modules["generator"].load_state_dict(read_generator(start).state_dict())
        return
    state = torch.load(start, map_location="cpu", weights_only=True)
    for name, weights in (state["modules"] | state["averages"]).items():
        training.modules[name].load_state_dict(weights)


def _network_input(faces: Tensor) -> Tensor:
    """uint8 (n, h, w, 3) → float32 (n, 3, h, w) in [−1, 1], channels last in memory, which is how it comes."""
    return faces.permute(0, 3, 1, 2).float() / 127.5 - 1
