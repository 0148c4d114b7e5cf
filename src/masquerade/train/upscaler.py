"""Training of the upscaler: portraits, and the same as a swapper would have drawn them, at half the side.

A swapper draws softly, and what is softer than a picture of its size ought to be is sharpened before it is enlarged
(`swap.blend.sharpened`). So are the small crops here. The network first learns what is likeliest between their pixels,
then, against a discriminator of patches, what looks like skin and hair instead of their mean.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from masquerade.errors import InputError
from masquerade.nets.discriminator import detail
from masquerade.nets.upscaler import TIMES, Upscaler, enlarged
from masquerade.swap.blend import sharpened, to_pixels
from masquerade.train import engine
from masquerade.train.data import Epochs, FaceSet, read_archive, read_names, resized
from masquerade.train.grids import pixels, write_grid
from masquerade.train.losses import adversarial
from masquerade.train.losses.feature_matching import weak_feature_matching
from masquerade.train.recipe import Schedule, UpscalerData, UpscalerRecipe
from masquerade.train.swapper import build_discriminator

SIDE = 256
"""Pixels of the faces; the network is shown half as many."""
TYPICAL = 0.7
"""Sigma, in pixels of the small crop, of the softness of the crops that validation looks at."""
_SHOWN = 48
"""Faces that validation looks at."""
_COLUMNS = 8
"""Faces in a sample grid."""

Faces = NDArray[np.uint8]


class Patches(NamedTuple):
    """What one step is made of.

    Attributes:
        step: its number.
        small: what the network is shown, uint8 RGB (n, patch, patch, 3).
        large: what it should make of it, uint8 RGB (n, 2 patch, 2 patch, 3).
    """

    step: int
    small: Tensor
    large: Tensor


def held_out(names: list[str], share: float) -> NDArray[np.bool_]:
    """Which pictures are not trained on, (n,): by name, so that it stays the same when others are added."""
    numbers = [int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") for name in names]
    return np.array(numbers) < share * 2**32


def softened(face: Faces, sigma: float, *, sharpen: bool) -> Faces:
    """A face as a swapper would draw it: uint8 RGB (2 h, 2 h, 3) → (h, h, 3).

    Args:
        face: a sharp one.
        sigma: of a Gaussian, in pixels of the small one; 0 for none.
        sharpen: whether it is then as sharp by one measure as it was before, as swapped faces are.
    """
    clear = resized(face, len(face) // TIMES)
    if not sigma:
        return clear
    before = clear.astype(np.float32) / np.float32(127.5) - np.float32(1)
    soft = np.asarray(cv2.GaussianBlur(before, (9, 9), sigma), np.float32)
    return to_pixels(sharpened(soft, before, np.ones(soft.shape[:2], np.float32)) if sharpen else soft)


class PatchBatches(Dataset[Patches]):
    """Item i is the batch of step i: a patch of each face, whole epochs of them.

    Args:
        faces: to draw from.
        rows: of those to train on.
        data: how small crops are made.
        schedule: of the run.
        seed: of all that is drawn.
    """

    def __init__(
        self, faces: FaceSet, rows: NDArray[np.int64], data: UpscalerData, schedule: Schedule, *, seed: int
    ) -> None:
        self._faces, self._data = faces, data
        self._epochs = Epochs(rows, schedule.batch, schedule.epochs, seed)
        if not self._epochs.an_epoch:
            raise InputError(f"{len(rows)} faces do not fill a batch of {schedule.batch}")

    def __len__(self) -> int:
        return len(self._epochs)

    def __getitem__(self, step: int) -> Patches:
        cv2.setNumThreads(1)
        rows, rng = self._epochs.at(step)
        pairs = [self._pair(self._faces.faces[row], rng) for row in rows]
        return Patches(step, *(torch.from_numpy(np.stack(part)) for part in zip(*pairs, strict=True)))

    def _pair(self, face: Faces, rng: np.random.Generator) -> tuple[Faces, Faces]:
        """A patch as it is shown, and as it should become."""
        data, patch = self._data, self._data.patch
        if rng.random() < 0.5:
            face = face[:, ::-1]
        small = softened(face, rng.uniform(0, data.softest), sharpen=rng.random() < data.sharpened)
        if rng.random() < data.noisy:
            small = _picture((small + rng.normal(0, rng.uniform(0.5, 2.5), small.shape)).round().clip(0, 255))
        if rng.random() < data.coded:
            coded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(70, 96))])[1]
            small = _picture(cv2.imdecode(coded, cv2.IMREAD_COLOR))
        y, x = rng.integers(0, len(small) - patch + 1, 2)
        cut = [side * TIMES for side in (y, x, patch)]
        return small[y : y + patch, x : x + patch], face[cut[0] : cut[0] + cut[2], cut[1] : cut[1] + cut[2]]


class UpscalerTraining:
    """What the engine trains: see `engine.Training`.

    Args:
        recipe: its losses and its rates.
        network: the upscaler.
        samples: faces that are not trained on, uint8 RGB (n, 256, 256, 3).
        grids: folder for what it makes of some of them, plain enlargements above and originals below.
    """

    averaged = ("network",)

    def __init__(self, recipe: UpscalerRecipe, network: Upscaler, samples: Faces, grids: Path) -> None:
        self._loss = recipe.loss
        self._generator_game, self._discriminator_game = adversarial.GAMES[recipe.loss.game]
        self._device = engine.device_of_choice()
        self._precision = engine.precision_of_choice(self._device)
        if recipe.precision != "auto":
            self._precision = getattr(torch, recipe.precision)
        self.modules: dict[str, nn.Module] = {
            "network": self._placed(network),
            "discriminator": self._placed(build_discriminator(recipe.discriminator, TIMES * recipe.data.patch)),
        }
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            name: torch.optim.Adam(
                module.parameters(),
                lr=recipe.learning_rate,
                betas=(recipe.betas[0], recipe.betas[1]),
                fused=self._device.type == "cuda",
            )
            for name, module in self.modules.items()
        }
        self._large, self._grids = samples, grids
        self._small = np.stack([softened(face, TYPICAL, sharpen=True) for face in samples])
        self._done = 0

    def _placed(self, module: nn.Module) -> nn.Module:
        return module.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def _half(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._precision == torch.bfloat16)

    def step(self, batch: Patches) -> Mapping[str, Tensor]:
        small, large = (_network_input(part.to(self._device, non_blocking=True)) for part in batch[1:])
        judge, judged = self.modules["discriminator"], batch.step >= self._loss.plain
        with self._half():
            made = self.modules["network"](small).float()
            losses = {"reconstruction": functional.l1_loss(made, large)}
            if judged:
                # Shown all and not detail alone, the judge took no notice of detail for 250 steps.
                # What it says of the originals serves twice: here to be matched, below to be learnt from.
                of_large = judge(detail(large))
                judge.requires_grad_(False)
                of_made = judge(detail(made))
                judge.requires_grad_(True)
                losses["matching"] = weak_feature_matching([of_large], [of_made], self._loss.matched)
                losses["adversarial"] = self._generator_game(of_made[-1].float())
        losses["loss"] = torch.stack(
            [getattr(self._loss, name) * value.float() for name, value in losses.items()]
        ).sum()
        self._update("network", losses["loss"])
        if judged:
            with self._half():
                of_made = judge(detail(made.detach()))
            real, fake = of_large[-1].float(), of_made[-1].float()
            game = self._discriminator_game(real, fake)
            self._update("discriminator", game + self._smoothness(large, batch.step))
            losses |= {"discriminator": game, "real": real.mean(), "made": fake.mean()}
        self._done = batch.step + 1
        return {name: value.detach() for name, value in losses.items()}

    def _smoothness(self, large: Tensor, step: int) -> Tensor | float:
        if step % self._loss.r1_every or not self._loss.r1:
            return 0.0
        shown = detail(large).detach().requires_grad_()
        logits = self.modules["discriminator"](shown)[-1].flatten(1).mean(1)
        return adversarial.r1(logits, shown, self._loss.r1) * self._loss.r1_every

    def _update(self, name: str, loss: Tensor) -> None:
        self.optimizers[name].zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizers[name].step()

    def validate(self, averages: Mapping[str, nn.Module]) -> Mapping[str, float]:
        """Peak signal to noise of faces that nobody trained on, beside that of their plain enlargement; draws some."""
        network = averages["network"]
        assert isinstance(network, Upscaler)
        made = upscaled(network, self._small, self._device)
        plain = np.stack([pixels(enlarged(_network_input(torch.from_numpy(one[None]))))[0] for one in self._small])
        write_grid([faces[:_COLUMNS] for faces in (plain, made, self._large)], self._grids / f"{self._done:07d}.png")
        return {
            "psnr": float(psnr(made, self._large).mean()),
            "psnr_plain": float(psnr(plain, self._large).mean()),
            "fine": fine(made) / fine(self._large),
            "fine_plain": fine(plain) / fine(self._large),
        }


@torch.no_grad()
def upscaled(network: Upscaler, faces: Faces, device: torch.device, batch: int = 8) -> Faces:
    """What a network makes of small crops: uint8 RGB (n, h, h, 3) → (n, 2 h, 2 h, 3)."""
    network.eval()
    return np.concatenate(
        [
            pixels(network(_network_input(torch.from_numpy(faces[i : i + batch]).to(device))))
            for i in range(0, len(faces), batch)
        ]
    )


def psnr(made: Faces, wanted: Faces) -> NDArray[np.float64]:
    """Peak signal to noise of each picture in decibels: uint8 (n, h, w, 3) → (n,)."""
    wrong = ((made.astype(np.float64) - wanted) ** 2).mean((1, 2, 3))
    return np.asarray(10 * np.log10(255**2 / wrong))


def fine(faces: Faces) -> float:
    """Root mean square of what a Gaussian of one pixel takes from the pictures, uint8 (n, h, w, 3), in levels."""
    bands = [face.astype(np.float32) - cv2.GaussianBlur(face.astype(np.float32), (9, 9), 1.0) for face in faces]
    return float(np.sqrt(np.mean([np.mean(band**2) for band in bands])))


def train_upscaler(
    recipe: UpscalerRecipe, *, data: Path, work: Path, workers: int = 1, start: Path | None = None
) -> nn.Module:
    """Train as the recipe says, resuming what `work` holds of an earlier run; returns the averaged network.

    Args:
        recipe: everything but places.
        data: folder of the archive.
        work: gets `cache/` (shared between recipes) and a folder of the recipe's name.
        workers: processes that prepare patches.
        start: a checkpoint of another run, whose averaged network and whose discriminator a new run begins with.
    """
    archive = data / recipe.data.faces
    faces = read_archive(archive, work / "cache", labelled=False, side=SIDE)
    unseen = held_out(read_names(archive), recipe.data.held_out)
    if not unseen.any():
        raise InputError("no picture is held out to look at", path=archive, hint="Raise held_out")
    torch.manual_seed(recipe.seed)
    training = UpscalerTraining(
        recipe, Upscaler(), faces.faces[np.flatnonzero(unseen)[:_SHOWN]], work / recipe.name / "grids"
    )
    if start is not None:
        state = torch.load(start, map_location="cpu", weights_only=True)
        for name, weights in (state["modules"] | state["averages"]).items():
            training.modules[name].load_state_dict(weights)
    batches = PatchBatches(faces, np.flatnonzero(~unseen), recipe.data, recipe.schedule, seed=recipe.seed)
    averages = engine.fit(training, batches, recipe.schedule, work / recipe.name, seed=recipe.seed, workers=workers)
    return averages["network"]


def _network_input(faces: Tensor) -> Tensor:
    """uint8 (n, h, w, 3) → float32 (n, 3, h, w) in [−1, 1], channels last in memory, which is how it comes."""
    return faces.permute(0, 3, 1, 2).float() / 127.5 - 1


def _picture(array: ArrayLike | None) -> Faces:
    return np.asarray(array, np.uint8)
