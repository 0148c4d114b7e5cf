"""Training of everything that makes faces: the compact network that ships and the networks of the thesis.

One step serves all of them. Which losses count, and how much, a recipe says; `SwapperTraining.step` says what they are.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from masquerade.errors import InputError
from masquerade.faces.expression import MEASURES
from masquerade.identity.bank import IdentityModel, fit_distribution
from masquerade.models.cards import PACKAGED
from masquerade.nets.base import Generator
from masquerade.nets.discriminator import CompactDiscriminator, FeatureDiscriminator
from masquerade.nets.facedancer import Discriminator as FaceDancerDiscriminator
from masquerade.nets.faceshifter import FaceShifter
from masquerade.nets.generators import GENERATORS
from masquerade.nets.patches import PatchDiscriminator
from masquerade.swap.defences import low_resolution
from masquerade.train import engine
from masquerade.train.augment import blinking, covered, lit, poor
from masquerade.train.conditions import conditions
from masquerade.train.data import (
    INPUT,
    SIDE,
    Epochs,
    FaceSet,
    Joined,
    at_side,
    derived,
    inputs,
    map_batches,
    read_archive,
    resized,
)
from masquerade.train.export import read_encoder, read_generator
from masquerade.train.expression_labels import read_geometry, read_lids
from masquerade.train.grids import pixels, write_grid
from masquerade.train.losses import adversarial, reconstruction
from masquerade.train.losses.anonymity import repulsion
from masquerade.train.losses.counterfactual import counterfactual, mask_area
from masquerade.train.losses.cycle import cycle
from masquerade.train.losses.expression_geometry import expression_geometry
from masquerade.train.losses.feature_matching import attribute_matching, weak_feature_matching
from masquerade.train.losses.identity import identity
from masquerade.train.losses.ifsr import ifsr
from masquerade.train.losses.perceptual import perceptual
from masquerade.train.losses.scene import features, light, surroundings
from masquerade.train.mesh import FaceMesh, convert
from masquerade.train.recipe import Discriminator, Schedule, SwapperData, SwapperLoss, SwapperRecipe
from masquerade.train.recognisers import DriverRecogniser, FeatureRecogniser, Recogniser
from masquerade.train.teachers import both_ways, fr_feature, poses
from masquerade.train.truncated import Told
from masquerade.train.views import View

_SHOWN = 48
"""Faces that validation looks at."""
_COLUMNS = 12
"""Faces in a sample grid."""
TURNED = 25.0
"""Degrees of yaw from which on a face is rare and hard."""
NARROW = 0.22
"""Height by width of the eyes below which they are nearly shut, or cannot be seen; of CelebA's faces 3 in 100."""
VEILS = (8, 16)
"""Sides of the coarsest and the finest veil."""

Vectors = NDArray[np.float32]


class Swaps(NamedTuple):
    """What one step is made of.

    Attributes:
        step: its number.
        targets: uint8 RGB (n, side, side, 3).
        own: the targets' embeddings, unit vectors (n, 512).
        wanted: the sources', (n, 512).
        same: (n,), True where the source is the target.
        given: what the generator is told of the sources: `wanted`, or their numbers, one-hot.
        front: where something lies in front of a face, uint8 (n, side, side), 0 or 255.
        seen: what the generator is shown of the targets, as these.
    """

    step: int
    targets: Tensor
    own: Tensor
    wanted: Tensor
    same: Tensor
    given: Tensor
    front: Tensor
    seen: Tensor


class Numbered(NamedTuple):
    """The people of a network whose identities are numbers.

    Attributes:
        rows: where in the archive a picture of each lies, (k,).
        vectors: their mean embeddings, unit vectors (k, 512).
    """

    rows: NDArray[np.int64]
    vectors: Vectors


def numbered(people: NDArray[np.int64], embeddings: Vectors, count: int) -> Numbered:
    """The `count` people with the most pictures, most first.

    Raises:
        InputError: there are not that many.
    """
    found, first, pictures = np.unique(people, return_index=True, return_counts=True)
    if len(found) < count:
        raise InputError(f"{len(found)} people, {count} are to be numbered")
    chosen = np.argsort(-pictures, kind="stable")[:count]
    means = np.stack([embeddings[people == person].mean(0) for person in found[chosen]])
    return Numbered(first[chosen], means / np.linalg.norm(means, axis=1, keepdims=True))


class SwapBatches(Dataset[Swaps]):
    """Item i is the batch of step i. Every epoch goes through all targets in an order of its own."""

    def __init__(
        self,
        sets: list[FaceSet],
        embeddings: Vectors,
        data: SwapperData,
        schedule: Schedule,
        *,
        seed: int,
        side: int = SIDE,
        people: Numbered | None = None,
        yaws: Vectors | None = None,
        eyes: Vectors | None = None,
        lids: Vectors | None = None,
    ) -> None:
        self._faces = Joined([faces.faces for faces in sets])
        self._side, self._people, self._lids = side, people, lids
        self._embeddings = embeddings
        self._population: IdentityModel = fit_distribution(embeddings)
        self._data, self._batch = data, schedule.batch
        rows = np.arange(len(embeddings))
        if yaws is not None:
            rows = np.concatenate([rows, np.repeat(np.flatnonzero(np.abs(yaws) > TURNED), data.turned)])
        if eyes is not None:
            rows = np.concatenate([rows, np.repeat(np.flatnonzero(eyes < NARROW), data.narrow)])
        self._epochs = Epochs(rows, schedule.batch, schedule.epochs, seed)
        if not self._epochs.an_epoch:
            raise InputError(f"{len(embeddings)} faces do not fill a batch of {schedule.batch}")

    def __len__(self) -> int:
        return len(self._epochs)

    def __getitem__(self, step: int) -> Swaps:
        cv2.setNumThreads(1)
        rows, rng = self._epochs.at(step)
        own = self._embeddings[rows]
        same = np.arange(self._batch) < round(self._data.same * self._batch)
        if self._people is None:
            wanted = np.where(same[:, None], own, np.stack([self._stranger(vector, rng) for vector in own]))
            given = wanted
        else:
            numbers = rng.integers(len(self._people.rows), size=self._batch)
            wanted, given = self._people.vectors[numbers], one_hot(numbers, len(self._people.rows))
        views = [self._view(self._face(row, rng), rng) for row in rows]
        targets, front = np.stack([view for view, _ in views]), np.stack([front for _, front in views])
        seen = np.stack([veiled(target, rng) if rng.random() < self._data.veiled else target for target in targets])
        return Swaps(step, *map(torch.from_numpy, (targets, own, wanted, same, given, front, seen)))

    def _view(self, face: NDArray[np.uint8], rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """A target, and where something lies in front of it."""
        face = resized(jittered(face, rng) if self._data.jitter else face, self._side)
        front = np.zeros(face.shape[:2], np.uint8)
        # What is never drawn takes no draw, so that recipes from before give the batches that they gave.
        if self._data.lit and rng.random() < self._data.lit:
            face = lit(face, rng)
        if rng.random() < self._data.covered:
            face, front = covered(face, rng)
        if rng.random() < self._data.poor:
            face = poor(face, rng)
        return face, front

    def _face(self, row: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        face = self._faces[row]
        if self._lids is not None and rng.random() < self._data.blinking:
            return blinking(face, self._lids[row], rng)
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


def one_hot(numbers: NDArray[np.int64], count: int) -> Vectors:
    """(n,) → (n, count)."""
    return np.asarray(numbers[:, None] == np.arange(count), np.float32)


def jittered(face: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The face as other landmarks would have aligned it, perhaps mirrored; nothing from outside the crop is made up."""
    side = len(face)
    if rng.random() < 0.5:
        face = face[:, ::-1]
    size = side * rng.uniform(0.92, 1.0)
    x, y = rng.uniform(0, side - size, 2)
    scale = size / side
    warp = np.array([[scale, 0, x + (scale - 1) / 2], [0, scale, y + (scale - 1) / 2]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(face, warp, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


def veiled(face: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The face as `swap.defences.low_resolution` shows it to a swapper, the veil drawn."""
    shown: NDArray[np.uint8] = low_resolution(face[None], int(rng.integers(*VEILS, endpoint=True)))[0]
    return shown


def build_generator(recipe: SwapperRecipe) -> Generator:
    """The recipe's network, not yet trained."""
    sizes = {"side": recipe.side, "width": recipe.width, "people": recipe.data.people}
    return GENERATORS[recipe.network](**{name: size for name, size in sizes.items() if size})


def build_discriminator(recipe: Discriminator, side: int) -> nn.Module:
    """The recipe's, for crops of that side, not yet trained."""
    if recipe.kind == "compact":
        widths = (recipe.width, 2 * recipe.width, 4 * recipe.width, 4 * recipe.width)
        return (
            FeatureDiscriminator(side=side, widths=widths) if recipe.features else CompactDiscriminator(widths=widths)
        )
    if recipe.kind == "patches":
        return PatchDiscriminator(scales=recipe.scales, width=recipe.width)
    return FaceDancerDiscriminator(side=side, width=recipe.width)


class SwapperTraining:
    """What the engine trains: see `engine.Training`."""

    averaged = ("generator",)

    def __init__(
        self,
        recipe: SwapperRecipe,
        generator: Generator,
        recognisers: list[Recogniser],
        samples: "Samples",
        mesh: FaceMesh | None = None,
    ) -> None:
        self._loss = recipe.loss
        self._generator_game, self._discriminator_game = adversarial.GAMES[recipe.loss.game]
        self._device = engine.device_of_choice()
        self._precision = engine.precision_of_choice(self._device)
        if recipe.precision != "auto":
            self._precision = getattr(torch, recipe.precision)
        self.modules: dict[str, nn.Module] = {
            "generator": self._placed(generator),
            "discriminator": self._placed(build_discriminator(recipe.discriminator, recipe.side)),
        }
        self._generator = generator
        self._recognisers = [self._placed(recogniser) for recogniser in recognisers]
        self._mesh = mesh and mesh.to(self._device)
        rates = {"generator": recipe.learning_rate}
        rates["discriminator"] = recipe.discriminator.learning_rate or recipe.learning_rate
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            name: torch.optim.Adam(
                module.parameters(),
                lr=rates[name],
                betas=(recipe.betas[0], recipe.betas[1]),
                fused=self._device.type == "cuda",
            )
            for name, module in self.modules.items()
        }
        self._samples = samples
        self._told = Told() if recipe.data.truncated else None
        self._ahead = recipe.discriminator.ahead
        self._done = 0

    def _placed(self, module: nn.Module) -> nn.Module:
        return module.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def step(self, batch: Swaps) -> Mapping[str, Tensor]:
        targets = _network_input(batch.targets.to(self._device, non_blocking=True))
        own, wanted, same, given, front, seen = (part.to(self._device, non_blocking=True) for part in batch[2:])
        generator, judge = self.modules["generator"], self.modules["discriminator"]
        if self._told is not None:
            given = self._told(targets, wanted)
            wanted = functional.normalize(given)
        told = conditions(self._generator, len(targets), self._device)
        self._done = batch.step + 1
        if batch.step < self._ahead:
            with self._autocast():
                with torch.no_grad():
                    made = generator(_network_input(seen), given, **told).crops.float()
                of_targets = _scales(judge(targets))
            return self._judged(targets, of_targets, made, batch.step)
        with self._autocast():
            made, mask = generator(_network_input(seen), given, **told)
            made = made.float()
            # What the judge says of the targets serves twice: here to be matched, below to be learnt from.
            of_targets = _scales(judge(targets))
            judge.requires_grad_(False)
            of_made = _scales(judge(made))
            judge.requires_grad_(True)
            recognised, found = self._recognised(targets, made, own, wanted, same)
            # Back to the target: FIVA gets away from whom the result shows, all others are given the target.
            back = found if self._loss.counterfactual else own
            formulas: dict[str, Callable[[], Tensor]] = {
                "adversarial": lambda: _sum(self._generator_game(maps[-1].float()) for maps in of_made),
                "matching": lambda: weak_feature_matching(of_targets, of_made, self._loss.matched),
                "reconstruction": lambda: reconstruction.absolute(targets, made, same),
                "reconstruction_squared": lambda: reconstruction.squared(targets, made, same),
                "perceptual": lambda: perceptual(self._looked_at, targets[same], made[same], same[same]),
                "cycle": lambda: cycle(targets, generator(made, back, **told).crops.float()),
                "attributes": lambda: attribute_matching(_attributes(generator, targets), _attributes(generator, made)),
                "area": lambda: mask_area(mask),
                "light": lambda: light(targets, made),
                "expression": lambda: self._expressed(targets, made),
                "features": lambda: features(targets, made),
                "surroundings": lambda: surroundings(targets, made, front.float() / 255),
            }
            losses = recognised | {name: formula() for name, formula in formulas.items() if getattr(self._loss, name)}
        total = torch.stack([getattr(self._loss, name) * value.float() for name, value in losses.items()]).sum()
        self._update("generator", total)
        losses |= {"loss": total} | self._judged(targets, of_targets, made, batch.step)
        return {name: value.detach() for name, value in losses.items()}

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._precision == torch.bfloat16)

    def _judged(self, targets: Tensor, of_targets: list[list[Tensor]], made: Tensor, step: int) -> dict[str, Tensor]:
        """The discriminator learns from one batch, and what it says."""
        with self._autocast():
            of_made = _scales(self.modules["discriminator"](made.detach()))
        game = _sum(
            self._discriminator_game(real[-1].float(), fake[-1].float())
            for real, fake in zip(of_targets, of_made, strict=True)
        )
        self._update("discriminator", game + self._smoothness(targets, step))
        return {
            "discriminator": game.detach(),
            "real": torch.stack([maps[-1].mean() for maps in of_targets]).mean().detach(),
            "made": torch.stack([maps[-1].mean() for maps in of_made]).mean().detach(),
        }

    def _recognised(
        self, targets: Tensor, made: Tensor, own: Tensor, wanted: Tensor, same: Tensor
    ) -> tuple[dict[str, Tensor], Tensor]:
        """What the recognisers say of the results, each loss the mean over them; and whom they see in the results."""
        weights, parts, vectors = self._loss, [], []
        each = weights.margins or [[]] * len(self._recognisers)
        for recogniser, margins in zip(self._recognisers, each, strict=True):
            view = View(len(targets))
            with torch.no_grad():
                kept, self_seen = recogniser(view(targets))
            maps, seen = recogniser(view(made))
            parts.append(_of_one(weights, margins, own, wanted, ~same, kept, self_seen, maps, seen))
            vectors.append(seen)
        if not parts:
            return {}, own
        means = {name: torch.stack([part[name] for part in parts]).mean(0) for name in parts[0]}
        return means, functional.normalize(torch.stack(vectors).mean(0))

    def _looked_at(self, crops: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self._recognisers[0](functional.interpolate(crops, (INPUT, INPUT), mode="bilinear"))[0]
        return maps

    def _expressed(self, targets: Tensor, made: Tensor) -> Tensor:
        assert self._mesh is not None
        return expression_geometry(self._mesh, targets, made)

    def _smoothness(self, targets: Tensor, step: int) -> Tensor | float:
        if step % self._loss.r1_every or not self._loss.r1:
            return 0.0
        targets = targets.detach().requires_grad_()
        logits = [
            maps[-1].reshape(len(targets), -1).mean(1) for maps in _scales(self.modules["discriminator"](targets))
        ]
        return adversarial.r1(_sum(logits), targets, self._loss.r1) * self._loss.r1_every

    def _update(self, name: str, loss: Tensor) -> None:
        self.optimizers[name].zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizers[name].step()

    def validate(self, averages: Mapping[str, nn.Module]) -> Mapping[str, float]:
        """What the guard, which takes no part, sees in faces of people nobody trained on; draws a grid of them."""
        generator = averages["generator"]
        assert isinstance(generator, Generator)
        return self._samples.look(generator, self._done, self._device)


def _of_one(
    weights: SwapperLoss,
    margins: list[float],
    own: Tensor,
    wanted: Tensor,
    different: Tensor,
    kept: list[Tensor],
    self_seen: Tensor,
    maps: list[Tensor],
    seen: Tensor,
) -> dict[str, Tensor]:
    """What one recogniser says: `kept` and `self_seen` are its maps and its vectors of the targets."""
    limit = weights.limit
    formulas: dict[str, Callable[[], Tensor]] = {
        "identity": lambda: identity(wanted, seen),
        "counterfactual": lambda: counterfactual(own, seen),
        "repulsion": lambda: (
            (repulsion(own, seen, different, limit) + repulsion(self_seen, seen, different, limit)) / 2
        ),
        "ifsr": lambda: ifsr([m.float() for m in kept], [m.float() for m in maps], margins),
    }
    return {name: formula() for name, formula in formulas.items() if getattr(weights, name)}


def _scales(maps: Tensor | list[Tensor] | list[list[Tensor]]) -> list[list[Tensor]]:
    """What any discriminator says, as for each scale the maps of all layers, the logits last."""
    if isinstance(maps, Tensor):
        return [[maps]]
    return maps if isinstance(maps[0], list) else [maps]


def _attributes(generator: nn.Module, crops: Tensor) -> list[Tensor]:
    assert isinstance(generator, FaceShifter)
    maps: list[Tensor] = generator.attributes(crops)
    return maps


def _sum(parts: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(parts)).sum(0)


class Samples:
    """A few faces to look at while training runs.

    Args:
        targets, sources: uint8 RGB (n, side, side, 3), of other people in each row.
        given: what the generator is told of the sources, (n, dimensions).
        guard: a recogniser that takes no part in training.
        folder: gets a grid each time: targets, sources, results, and the first source on every target.
    """

    def __init__(
        self, targets: NDArray[np.uint8], sources: NDArray[np.uint8], given: Vectors, guard: nn.Module, folder: Path
    ) -> None:
        self._targets, self._sources = targets, sources
        self._given, self._guard, self._folder = given, guard, folder

    @torch.no_grad()
    def look(self, generator: Generator, step: int, device: torch.device) -> dict[str, float]:
        """Cosines by the guard between result and target, result and source, target and source."""
        made = swapped(generator, self._targets, self._given, device)
        target, source, result = (self._embedded(faces, device) for faces in (self._targets, self._sources, made))
        first = self._targets[:_COLUMNS]
        one = swapped(generator, first, self._given[:1].repeat(len(first), axis=0), device)
        rows = [at_side(row[:_COLUMNS], generator.side) for row in (self._targets, self._sources, made, one)]
        write_grid(rows, self._folder / f"{step:07d}.png")
        return {
            "guard_target": float((result * target).sum(1).mean()),
            "guard_source": float((result * source).sum(1).mean()),
            "guard_strangers": float((target * source).sum(1).mean()),
        }

    def _embedded(self, faces: NDArray[np.uint8], device: torch.device) -> Tensor:
        return functional.normalize(self._guard(_network_input(torch.from_numpy(inputs(faces)).to(device))).float())


@torch.no_grad()
def swapped(generator: Generator, faces: NDArray[np.uint8], given: Vectors, device: torch.device) -> NDArray[np.uint8]:
    """What a generator makes of aligned crops, a dozen at a time.

    Args:
        faces: uint8 RGB (n, h, h, 3), of any side.
        given: (n, dimensions).

    Returns:
        uint8 RGB (n, side, side, 3), side being the generator's.
    """
    generator.eval()
    made = []
    for start in range(0, len(faces), _COLUMNS):
        some = torch.from_numpy(at_side(faces[start : start + _COLUMNS], generator.side)).to(device)
        z = torch.from_numpy(given[start : start + _COLUMNS]).to(device)
        made.append(pixels(generator(_network_input(some), z, **conditions(generator, len(some), device)).crops))
    return np.concatenate(made)


def train_swapper(
    recipe: SwapperRecipe, *, data: Path, teachers: Path, work: Path, workers: int = 1, start: Path | None = None
) -> nn.Module:
    """Train as the recipe says, resuming what `work` holds of an earlier run; returns the averaged generator.

    Args:
        recipe: everything but places.
        data: folder of the archives; where `<archive>.fr_feature2.npy` or `<archive>.yaw.npy` lies beside one, its
            embeddings (float16 will do) or yaws are taken from there instead of being computed.
        teachers: folder of the recognisers that are not in the package.
        work: gets `cache/` (shared between recipes) and a folder of the recipe's name.
        workers: processes that prepare batches.
        start: what a new run begins with: a checkpoint of another run, or an exported generator.
    """
    cache, side = work / "cache", max(SIDE, recipe.side)
    names, count = recipe.data.faces, recipe.data.people
    sets = [read_archive(data / name, cache, labelled=bool(count), side=side) for name in names]
    embeddings = np.concatenate(
        [teacher_embeddings(n, s, data, cache, teachers) for n, s in zip(names, sets, strict=True)]
    )
    people = numbered(sets[0].people, embeddings, count) if count else None
    yaws = None
    if recipe.data.turned:
        yaws = np.concatenate([yaws_of(n, s, data, cache, teachers) for n, s in zip(names, sets, strict=True)])
    eyes = None
    if recipe.data.narrow:
        eyes = np.concatenate([eyes_of(n, s, data, cache, teachers) for n, s in zip(names, sets, strict=True)])
    lids = None
    if recipe.data.blinking:
        lids = np.concatenate([read_lids(n, s, data, cache, teachers) for n, s in zip(names, sets, strict=True)])
    validation = read_archive(data / recipe.data.validation, cache, labelled=True, side=side)
    torch.manual_seed(recipe.seed)
    generator = build_generator(recipe)
    recognisers = [RECOGNISERS[name](teachers) for name in recipe.loss.recognisers]
    targets, others = _shown(validation)
    if people is None:
        vectors = teacher_embeddings(recipe.data.validation, validation, data, cache, teachers)
        sources = validation.faces[others]
        # FIVA gets away from whom it is given: from the opposite of a source, to the source.
        given = -vectors[others] if recipe.loss.counterfactual else vectors[others]
    else:
        numbers = np.arange(len(targets)) % count
        sources, given = sets[0].faces[people.rows[numbers]], one_hot(numbers, count)
    guard = read_encoder(PACKAGED / "guard.onnx", "guard").to(engine.device_of_choice())
    samples = Samples(validation.faces[targets], sources, given, guard, work / recipe.name / "grids")
    mesh = face_mesh(teachers, cache) if recipe.loss.expression else None
    training = SwapperTraining(recipe, generator, recognisers, samples, mesh)
    if start is not None:
        _begin_with(training, start)
    batches = SwapBatches(
        sets,
        embeddings,
        recipe.data,
        recipe.schedule,
        seed=recipe.seed,
        side=recipe.side,
        people=people,
        yaws=yaws,
        eyes=eyes,
        lids=lids,
    )
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


def face_mesh(teachers: Path, cache: Path) -> FaceMesh:
    """From `face_mesh.npz` beside the teachers, from the cache, or made there of `face_landmark.tflite`."""
    path = teachers / "face_mesh.npz"
    if not path.is_file():
        path = cache / path.name
    if not path.is_file():
        convert(teachers / "face_landmark.tflite", path)
    return FaceMesh(path)


def yaws_of(name: str, faces: FaceSet, data: Path, cache: Path, teachers: Path) -> Vectors:
    """Degrees, (n,), by `fr_pose.onnx`: from `<archive>.yaw.npy` beside the archive, from the cache, or measured."""
    stored = f"{Path(name).stem}.yaw.npy"
    path = data / stored if (data / stored).is_file() else cache / stored
    return derived(path, lambda: poses(teachers / "fr_pose.onnx", at_side(faces.faces, SIDE))[:, 0])


def eyes_of(name: str, faces: FaceSet, data: Path, cache: Path, teachers: Path) -> Vectors:
    """How far the eyes are open, (n,): one of the measures that the expression embedder learns, kept where they are."""
    return read_geometry(name, faces, data, cache, teachers)[:, MEASURES.index("eyes open")]


def _shown(faces: FaceSet) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of targets and sources: the first faces of evenly picked people, each with another's."""
    first = np.unique(faces.people, return_index=True)[1]
    targets = first[np.unique(np.linspace(0, len(first) - 1, _SHOWN).astype(int))]
    return targets, np.roll(targets, len(targets) // 2)


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
