"""The reconstruction attack (thesis 5.4; PAPER IV): a network learns to undo an anonymization. How far does it get?

The adversary is a black-box one. It owns faces, has them anonymized, each under fabricated identities drawn anew, and
learns from such pairs alone. Then it is shown anonymized faces of people it never saw, and recognisers that took no
part in any training are asked whether they find the original in what it makes of them (RA).
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from masquerade.audit.survey import Rate, rate
from masquerade.audit.verification import threshold_at_far
from masquerade.errors import InputError, WeightsError
from masquerade.identity.bank import fit_distribution
from masquerade.media.files import sha256
from masquerade.models.cards import PACKAGED
from masquerade.nets.base import Generator
from masquerade.nets.generators import GENERATORS
from masquerade.nets.reconstruction import ADVERSARIES, Reconstructor
from masquerade.train import engine, processes
from masquerade.train.anonymizer import Anonymizer
from masquerade.train.data import SIDE, FaceSet, at_side, derived, inputs, map_batches, read_archive, whole_file
from masquerade.train.encoder import embed
from masquerade.train.export import averaged_generator, export_generator, read_encoder, read_generator
from masquerade.train.grids import pixels, write_grid
from masquerade.train.losses import adversarial
from masquerade.train.losses.identity import identity
from masquerade.train.losses.ifsr import ifsr
from masquerade.train.recipe import AttackLoss, AttackRecipe, Victim
from masquerade.train.recognisers import DriverRecogniser, Recogniser
from masquerade.train.swapper import RECOGNISERS, SwapBatches, Swaps, build_discriminator, teacher_embeddings
from masquerade.train.teachers import TEACHERS, Embed
from masquerade.train.truncated import Told
from masquerade.train.views import View

Vectors = NDArray[np.float32]
Faces = NDArray[np.uint8]

FAR = 1e-3
LOOKED_AT = 240
"""Faces that validation during training looks at."""
JUDGED = 600
"""Faces that the attack is judged by at its end."""
OUTCOME, EXPORTED = "outcome.json", "adversary.onnx"
_COLUMNS = 12
"""Triplets in a grid."""
_BATCH = 24
SWAPPER = "swapper-128"
"""The run whose swapper is attacked where no other is named."""


class AttackTraining:
    """What the engine trains: see `engine.Training`.

    Args:
        anonymizer: what is attacked.
        encoder: says to the adversary who is seen in an anonymized face.
        recognisers: compare what it makes with the original.
        examination: how far it got; None where nobody asks.
        grids: folder for triplets as training goes on.
    """

    averaged = ("generator",)

    def __init__(
        self,
        recipe: AttackRecipe,
        generator: Generator,
        anonymizer: Anonymizer,
        encoder: nn.Module,
        recognisers: list[Recogniser],
        examination: "Examination | None" = None,
        grids: Path = Path(),
    ) -> None:
        self._loss = recipe.loss
        self._device = engine.device_of_choice()
        self._precision = engine.precision_of_choice(self._device)
        if recipe.precision != "auto":
            self._precision = getattr(torch, recipe.precision)
        self._anonymizer = self._placed(anonymizer)
        self._encoder = self._placed(encoder)
        self._recognisers = [self._placed(recogniser) for recogniser in recognisers]
        self._reconstruct = self._placed(Reconstructor(generator, self._encoder))
        self._examination, self._grids = examination, grids
        self.modules: dict[str, nn.Module] = {"generator": generator}
        if recipe.loss.adversarial:
            self.modules["discriminator"] = self._placed(build_discriminator(recipe.discriminator, recipe.side))
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            name: torch.optim.Adam(
                module.parameters(),
                lr=recipe.learning_rate,
                betas=(recipe.betas[0], recipe.betas[1]),
                fused=self._device.type == "cuda",
            )
            for name, module in self.modules.items()
        }
        self._done = 0

    def _placed(self, module: nn.Module) -> nn.Module:
        return module.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def _half(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._precision == torch.bfloat16)

    def step(self, batch: Swaps) -> Mapping[str, Tensor]:
        originals = _network_input(batch.targets.to(self._device, non_blocking=True))
        shown = self._anonymizer(originals, batch.wanted.to(self._device, non_blocking=True))
        with self._half():
            guess = self._reconstruct(shown).float()
            losses = {"reconstruction": functional.l1_loss(guess, originals)} | self._recognised(originals, guess)
            if self._loss.adversarial:
                judge = self.modules["discriminator"].requires_grad_(False)
                losses["adversarial"] = adversarial.GAMES[self._loss.game][0](_logits(judge(guess)))
                judge.requires_grad_(True)
        total = torch.stack([getattr(self._loss, name) * value.float() for name, value in losses.items()]).sum()
        self._update("generator", total)
        losses["loss"] = total
        if self._loss.adversarial:
            losses["discriminator"] = self._judged(originals, guess.detach(), batch.step)
        self._done = batch.step + 1
        return {name: value.detach() for name, value in losses.items()}

    def _recognised(self, originals: Tensor, guess: Tensor) -> dict[str, Tensor]:
        """What the recognisers say, each loss the mean over them. Both pictures are seen alike: see `views`."""
        parts = []
        for recogniser in self._recognisers:
            view = View(len(originals))
            with torch.no_grad():
                wanted, of_whom = recogniser(view(originals))
            maps, seen = recogniser(view(guess))
            parts.append(_of_one(self._loss, wanted, of_whom, maps, seen))
        return {name: torch.stack([part[name] for part in parts]).mean(0) for name in parts[0]}

    def _judged(self, originals: Tensor, guess: Tensor, step: int) -> Tensor:
        judge = self.modules["discriminator"]
        with self._half():
            game = adversarial.GAMES[self._loss.game][1](_logits(judge(originals)), _logits(judge(guess)))
        total = game
        if self._loss.r1 and step % self._loss.r1_every == 0:
            originals = originals.detach().requires_grad_()
            logits = _logits(judge(originals)).reshape(len(originals), -1).mean(1)
            total = game + adversarial.r1(logits, originals, self._loss.r1) * self._loss.r1_every
        self._update("discriminator", total)
        return game

    def _update(self, name: str, loss: Tensor) -> None:
        self.optimizers[name].zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizers[name].step()

    def validate(self, averages: Mapping[str, nn.Module]) -> Mapping[str, float]:
        """What those who take no part see in guesses at people nobody trained on; draws a grid of triplets."""
        if self._examination is None:
            return {}
        generator = averages["generator"]
        assert isinstance(generator, Generator)
        picture = self._grids / f"{self._done:07d}.png"
        found = self._examination.look(Reconstructor(generator, self._encoder), self._anonymizer, picture)
        return {
            f"{one.recogniser}_{name}": getattr(one, name).share for one in found for name in ("id", "ra", "chance")
        }


def _of_one(
    weights: AttackLoss, wanted: list[Tensor], of_whom: Tensor, maps: list[Tensor], seen: Tensor
) -> dict[str, Tensor]:
    """What one recogniser says: `wanted` and `of_whom` are its maps and its vectors of the originals."""
    wanted, maps = [m.float() for m in wanted], [m.float() for m in maps]
    formulas: dict[str, Callable[[], Tensor]] = {
        "perceptual": lambda: torch.stack([functional.l1_loss(a, b) for a, b in zip(maps, wanted, strict=True)]).sum(),
        "identity": lambda: identity(of_whom, seen),
        "ifsr": lambda: ifsr(wanted, maps),
    }
    return {name: formula() for name, formula in formulas.items() if getattr(weights, name)}


def _logits(said: Tensor | list[Tensor]) -> Tensor:
    """What a discriminator says, without its inner maps."""
    return (said if isinstance(said, Tensor) else said[-1]).float()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one recogniser finds, as shares at the threshold of a FAR of 1e-3 on all pairs of the archive.

    Attributes:
        recogniser: who is asked; it took no part in training, neither of the anonymizer nor of the adversary.
        threshold: its cosine distance.
        id: the original is found in the anonymized face.
        neg_id: it is found in the negated embedding of it.
        ra: the original is found in what the adversary makes of it.
        ra_elsewhere: another picture of the person is; None where there is none.
        elsewhere: another picture of the person is found in the original itself: as much as one can ask for; or None.
        chance: another person's picture is found in what the adversary makes.
        first: of all pictures of the archive, the nearest to the adversary's shows the person.
    """

    recogniser: str
    threshold: float
    id: Rate
    neg_id: Rate
    ra: Rate
    ra_elsewhere: Rate | None
    elsewhere: Rate | None
    chance: Rate
    first: Rate


def outcome(
    recogniser: str, known: Vectors, people: NDArray[np.int64], rows: NDArray[np.int64], shown: Vectors, guess: Vectors
) -> Outcome:
    """What a recogniser finds.

    Args:
        known: its unit vectors of the archive, (n, d).
        people: whom they show, (n,).
        rows: which of them were attacked, (m,).
        shown, guess: its vectors of the anonymized faces and of what the adversary made of them, (m, d).
    """
    first, second = np.triu_indices(len(people), 1)
    between = 1 - (known @ known.T)[first, second].astype(np.float64)
    threshold = threshold_at_far(between[people[first] != people[second]], FAR)

    def distances(vectors: Vectors) -> NDArray[np.float64]:
        return 1 - (vectors @ known.T).astype(np.float64)

    def found(matched: NDArray[np.bool_]) -> Rate:
        return rate(int(matched.sum()), matched.size)

    itself = np.arange(len(people)) == rows[:, None]
    person = people == people[rows][:, None]
    others = person & ~itself
    of_guess, of_shown = distances(guess), distances(shown)
    return Outcome(
        recogniser=recogniser,
        threshold=threshold,
        id=found(of_shown[itself] < threshold),
        neg_id=found(2 - of_shown[itself] < threshold),
        ra=found(of_guess[itself] < threshold),
        ra_elsewhere=found(of_guess[others] < threshold) if others.any() else None,
        elsewhere=found(distances(known[rows])[others] < threshold) if others.any() else None,
        chance=found(of_guess[~person] < threshold),
        first=found(people[of_guess.argmin(1)] == people[rows]),
    )


class Examination:
    """Shows an adversary anonymized faces of people it never saw, and asks recognisers what they find.

    Args:
        faces: an archive of such people.
        known: name → a recogniser, and its unit vectors of all of `faces`.
        population: embeddings of the people that trained, from whose distribution identities are drawn.
        count: how many of the faces are attacked, evenly picked.
        side: of the crops that the anonymizer and the adversary take.
    """

    def __init__(
        self,
        faces: FaceSet,
        known: Mapping[str, tuple[Embed, Vectors]],
        population: Vectors,
        *,
        count: int,
        side: int,
        seed: int,
    ) -> None:
        self._faces, self._known, self._side, self._seed = faces, known, side, seed
        self.rows = np.unique(np.linspace(0, len(faces) - 1, count).astype(int))
        rng = np.random.default_rng(seed)
        self._identities = fit_distribution(population).sample(len(self.rows), rng)

    def look(self, reconstruct: nn.Module, anonymizer: nn.Module, picture: Path) -> list[Outcome]:
        """One outcome for each recogniser; draws some triplets."""
        shown = self.published(anonymizer)
        guess = self.guessed(reconstruct, shown)
        self.draw(shown, guess, picture)
        return self.outcomes(shown, guess)

    @torch.no_grad()
    def published(self, anonymizer: nn.Module) -> Faces:
        """The faces anonymized, uint8 RGB (n, side, side, 3); the same at every call."""
        torch.manual_seed(self._seed)
        return self._batchwise(self._faces.faces[self.rows], anonymizer, torch.from_numpy(self._identities))

    @torch.no_grad()
    def guessed(self, reconstruct: nn.Module, shown: Faces) -> Faces:
        """What an adversary makes of them, likewise."""
        return self._batchwise(shown, reconstruct.eval())

    def _batchwise(self, faces: Faces, network: nn.Module, *others: Tensor) -> Faces:
        device = engine.device_of_choice()
        made = []
        for start in range(0, len(faces), _BATCH):
            some = slice(start, start + _BATCH)
            crops = _network_input(torch.from_numpy(at_side(faces[some], self._side)).to(device))
            made.append(pixels(network(crops, *(other[some].to(device) for other in others))))
        return np.concatenate(made)

    def outcomes(self, shown: Faces, guess: Faces) -> list[Outcome]:
        """One for each recogniser, of what `published` and `guessed` give."""
        shown, guess = at_side(shown, SIDE), at_side(guess, SIDE)
        return [
            outcome(name, known, self._faces.people, self.rows, map_batches(ask, shown), map_batches(ask, guess))
            for name, (ask, known) in self._known.items()
        ]

    def draw(self, shown: Faces, guess: Faces, path: Path) -> None:
        """A picture of a dozen triplets, from top to bottom: original, anonymized, guess."""
        some = np.linspace(0, len(self.rows) - 1, _COLUMNS).astype(int)
        write_grid([at_side(row[some], SIDE) for row in (self.originals(), shown, guess)], path)

    def originals(self) -> Faces:
        """The faces that are attacked, uint8 RGB (n, 128, 128, 3)."""
        return at_side(self._faces.faces[self.rows], SIDE)


def train_attack(
    recipe: AttackRecipe,
    *,
    data: Path,
    teachers: Path,
    work: Path,
    workers: int = 1,
    start: Path | None = None,
    swapper: Path | None = None,
) -> nn.Module:
    """Train as the recipe says, resuming what `work` holds of an earlier run; then write how far the attack gets.

    Args:
        recipe: everything but places.
        data, teachers, workers: as for `swapper.train_swapper`; dlib's network is asked if `teachers` holds it.
        work: gets `cache/` (shared between recipes) and a folder of the recipe's name, in it at the end
            `outcome.json`, `triplets.png` and the adversary, `adversary.onnx`.
        start: another attack's checkpoint or exported adversary to begin with, as somebody will who has broken an
            earlier version.
        swapper: the one that is attacked, a checkpoint or an exported file; None for that of the run `swapper-128`.

    Returns:
        The averaged generator of the adversary.

    Raises:
        InputError: the swapper, the surrogate or what to begin with is missing.
        WeightsError: it is of another network.
    """
    archives = Archives(recipe, data=data, teachers=teachers, work=work)
    torch.manual_seed(recipe.seed)
    generator = build_adversary(recipe)
    if start is not None:
        generator.load_state_dict(read_adversary(start, recipe).state_dict())
    anonymizer = build_anonymizer(recipe, recipe.victim, work, swapper)
    recognisers = [RECOGNISERS[name](teachers) for name in recipe.loss.recognisers]
    folder = work / recipe.name
    examination = archives.examination(LOOKED_AT, teachers, thorough=False)
    training = AttackTraining(
        recipe, generator, anonymizer, build_encoder(), recognisers, examination, folder / "grids"
    )
    batches = SwapBatches(
        archives.sets, archives.embeddings, recipe.data, recipe.schedule, seed=recipe.seed, side=recipe.side
    )
    averages = engine.fit(training, batches, recipe.schedule, folder, seed=recipe.seed, workers=workers)
    found = averages["generator"]
    assert isinstance(found, Generator)
    if processes.index() > 0:
        return found
    reconstruct = Reconstructor(found, build_encoder()).to(engine.device_of_choice())
    outcomes = archives.examination(JUDGED, teachers, thorough=True).look(
        reconstruct, anonymizer, folder / "triplets.png"
    )
    with whole_file(folder / OUTCOME) as part:
        part.write_text(json.dumps(as_json(outcomes), indent=1) + "\n")
    export_generator(found.cpu(), folder / EXPORTED)
    return found


class Archives:
    """The faces that a recipe names: `sets` to train with, their `embeddings`, and `validation`."""

    def __init__(self, recipe: AttackRecipe, *, data: Path, teachers: Path, work: Path) -> None:
        self._recipe, self._cache = recipe, work / "cache"
        side = max(SIDE, recipe.side)
        names = recipe.data.faces
        self.sets = [read_archive(data / name, self._cache, labelled=False, side=side) for name in names]
        self.embeddings = np.concatenate(
            [teacher_embeddings(n, s, data, self._cache, teachers) for n, s in zip(names, self.sets, strict=True)]
        )
        self.validation = read_archive(data / recipe.data.validation, self._cache, labelled=True, side=side)

    def examination(self, count: int, teachers: Path, *, thorough: bool) -> Examination:
        """By the guard; if `thorough`, by dlib's network too, where it is at hand."""
        device = engine.device_of_choice()
        guard = read_encoder(PACKAGED / "guard.onnx", "guard").to(device)
        asked: dict[str, Embed] = {"guard": lambda some: embed(guard, inputs(some), device)}
        if thorough:
            with suppress(WeightsError):  # third-party weights: who has none does without
                asked["dlib"] = TEACHERS["dlib"](teachers)
        faces = at_side(self.validation.faces, SIDE)
        stem = Path(self._recipe.data.validation).stem
        # The guard changes with the package, so what it says is stored by its weights.
        version = {"guard": sha256(PACKAGED / "guard.onnx")[:12]}
        known = {}
        for name, ask in asked.items():
            stored = self._cache / f"{stem}.{name}{version.get(name, 1)}.npy"
            known[name] = (ask, derived(stored, lambda ask=ask: map_batches(ask, faces)))  # type: ignore[misc]
        return Examination(
            self.validation,
            known,
            self.embeddings,
            count=count,
            side=self._recipe.side,
            seed=self._recipe.seed,
        )


def as_json(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    """Outcomes with their shares."""
    said = [asdict(one) for one in outcomes]
    for one in said:
        for value in one.values():
            if isinstance(value, dict):
                value["share"] = value["hits"] / value["of"]
    return said


def from_json(said: list[dict[str, Any]]) -> list[Outcome]:
    """Outcomes as `as_json` gives them."""

    def value(stored: Any) -> Any:  # noqa: ANN401 - what JSON holds
        return Rate(*(stored[field.name] for field in fields(Rate))) if isinstance(stored, dict) else stored

    return [Outcome(**{name: value(stored) for name, stored in one.items()}) for one in said]


def table(outcomes: list[Outcome]) -> str:
    """Markdown, a line for each recogniser."""
    head = ["recogniser", "ID", "¬ID", "RA", "RA, other photo", "original, other photo", "chance", "rank 1"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for one in outcomes:
        rates = [one.id, one.neg_id, one.ra, one.ra_elsewhere, one.elsewhere, one.chance, one.first]
        cells = [f"{r.share:.3f} ({r.low:.3f}–{r.high:.3f})" if r else "–" for r in rates]
        lines.append(f"| {one.recogniser} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def build_adversary(recipe: AttackRecipe) -> Generator:
    """The recipe's, not yet trained."""
    return GENERATORS[ADVERSARIES[recipe.network]](**_sizes(recipe))


def read_adversary(path: Path, recipe: AttackRecipe) -> Generator:
    """The averaged weights of an attack: of a run's folder, of a checkpoint, or as exported.

    Raises:
        InputError: there are none.
        WeightsError: they are of another network than the recipe's.
    """
    if path.is_dir():
        path = path / engine.CHECKPOINT if (path / engine.CHECKPOINT).is_file() else path / EXPORTED
    return _read(path, ADVERSARIES[recipe.network], **_sizes(recipe))


def build_encoder() -> nn.Module:
    """What tells the adversary who is seen: the packaged driver."""
    return DriverRecogniser(PACKAGED / "driver.onnx").encoder


def build_anonymizer(recipe: AttackRecipe, victim: Victim, work: Path, swapper: Path | None = None) -> Anonymizer:
    """What the victim says, ready to use.

    Args:
        recipe: of the attack.
        work: folder of the runs that hold the surrogate and, where `swapper` is None, the swapper.
        swapper: a checkpoint or an exported file.

    Raises:
        InputError: one of them is missing.
        WeightsError: one of them is of another network.
    """
    generator = None
    if victim.method == "swapper":
        generator = _read(swapper or work / SWAPPER / engine.CHECKPOINT, victim.network)
    reconstruct = None
    if victim.surrogate:
        surrogate = read_adversary(work / victim.surrogate, recipe)
        reconstruct = Reconstructor(surrogate, build_encoder()).requires_grad_(False)
    told = Told() if victim.truncated else None
    return Anonymizer(victim.method, generator, victim.defences, reconstruct, told)


def _read(path: Path, network: str, **sizes: int) -> Generator:
    if not path.is_file():
        raise InputError("no such weights", path=path, hint="Train them first, or name others with --swapper")
    if path.suffix == ".onnx":
        return read_generator(path, network)
    try:
        return averaged_generator(path, network, **sizes)
    except (RuntimeError, KeyError) as error:
        raise WeightsError(f"not the weights of {network}", path=path) from error


def _sizes(recipe: AttackRecipe) -> dict[str, int]:
    return {name: size for name, size in (("side", recipe.side), ("width", recipe.width)) if size}


def _network_input(faces: Tensor) -> Tensor:
    """uint8 (n, h, w, 3) → float32 (n, 3, h, w) in [−1, 1]."""
    return faces.permute(0, 3, 1, 2).float() / 127.5 - 1
