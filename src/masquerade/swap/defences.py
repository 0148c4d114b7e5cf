"""Defences against reconstruction (thesis 5.4, table 5.8), around any swapper.

`Defended` is a swapper itself: what it wraps sees a changed target, or its result is changed before it is blended into
the picture. The guard looks at what comes out, as always. How each defence holds, and against whom, `train.defences`
measures; noise that an adversary can learn to expect is no defence.

Not here: adversarial noise needs the gradient of a network it defends against, which only training has; parameter noise
needs the weights.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from masquerade.errors import OptionError
from masquerade.swap.base import Swapped, Swapper

Crops: TypeAlias = NDArray[np.uint8]
"""RGB, (n, side, side, 3)."""

Kind = Literal["low_resolution", "quantised", "noise", "jpeg", "again"]


@dataclass(frozen=True, slots=True)
class Defence:
    """One defence.

    Attributes:
        kind: to the target: "low_resolution" (strength: pixels a side that are left), "quantised" (levels a channel);
            to the result: "noise" (ε, where the whole range is 2), "jpeg" (quality, 1 to 100), "again" (more passes).
        strength: see `kind`.

    Raises:
        OptionError: the strength is out of its range.
    """

    kind: Kind
    strength: float

    def __post_init__(self) -> None:
        low, high = _RANGES[self.kind]
        if not low <= self.strength <= high:
            raise OptionError(f"{self.kind} takes {low:g} to {high:g}, not {self.strength:g}")

    def __str__(self) -> str:
        return f"{self.kind.replace('_', '-')}-{self.strength:g}"


_RANGES: dict[Kind, tuple[float, float]] = {
    "low_resolution": (1, 4096),
    "quantised": (2, 256),
    "noise": (0, 2),
    "jpeg": (1, 100),
    "again": (1, 8),
}


def read_defences(said: str) -> tuple[Defence, ...]:
    """Defences by name and strength, in their order: "low-resolution-16+jpeg-30".

    Raises:
        OptionError: one of them is not here, or its strength is out of its range.
    """
    return tuple(_read(name) for name in said.split("+"))


def _read(name: str) -> Defence:
    kind, _, strength = name.replace("_", "-").rpartition("-")
    for known in _RANGES:
        if known == kind.replace("-", "_"):
            with suppress(ValueError):
                return Defence(known, float(strength))
    raise OptionError(f"there is no defence {name!r}", hint="For example low-resolution-16, jpeg-30, or both with a +")


class Defended:
    """A swapper behind defences; see `swap.base.Swapper`.

    Args:
        swapper: what is defended.
        defences: those of the target first, then those of the result, each in the given order.
        seed: of the noise. Whoever knows it can take the noise away; None: nobody knows it, and no two pictures are
            alike.
    """

    def __init__(self, swapper: Swapper, defences: Sequence[Defence], *, seed: int | None = None) -> None:
        self._swapper, self._defences = swapper, tuple(defences)
        self._rng = np.random.default_rng(seed)

    @property
    def side(self) -> int:
        """Of the crops."""
        return self._swapper.side

    @property
    def dimensions(self) -> int:
        """Of the identities."""
        return self._swapper.dimensions

    def swap(self, crops: NDArray[np.float32], identities: NDArray[np.float32]) -> Swapped:
        """See `swap.base.Swapper`."""
        for defence in self._defences:
            if defence.kind in TARGETS:
                crops = _in_range(TARGETS[defence.kind](_in_8_bits(crops), defence.strength))
        made = self._swapper.swap(crops, identities)
        for defence in self._defences:
            made = Swapped(self._after(made.crops, identities, defence), made.masks)
        return made

    def _after(
        self, crops: NDArray[np.float32], identities: NDArray[np.float32], defence: Defence
    ) -> NDArray[np.float32]:
        if defence.kind == "again":
            for _ in range(round(defence.strength)):
                crops = self._swapper.swap(crops, identities).crops
        elif defence.kind == "noise":
            crops = _in_range(uniform_noise(_in_8_bits(crops), defence.strength, self._rng))
        elif defence.kind == "jpeg":
            crops = _in_range(jpeg(_in_8_bits(crops), defence.strength))
        return crops


def low_resolution(crops: Crops, side: float) -> Crops:
    """Bottleneck: brought down to `side` pixels and back, so that no finer detail is left."""
    small = (round(side),) * 2
    down = [cv2.resize(crop.astype(np.float32), small, interpolation=cv2.INTER_AREA) for crop in crops]
    up = [cv2.resize(crop, crops.shape[2:0:-1], interpolation=cv2.INTER_LINEAR) for crop in down]
    return np.asarray(np.rint(np.stack(up)), np.uint8)


def quantised(crops: Crops, levels: float) -> Crops:
    """Bottleneck: `levels` steps a channel, evenly spread over black to white."""
    steps = 255 / (levels - 1)
    return np.asarray(np.rint(np.rint(crops / steps) * steps), np.uint8)


def uniform_noise(crops: Crops, size: float, rng: np.random.Generator) -> Crops:
    """X + ε · U(−1, 1) for X in [−1, 1], clipped (table 5.8, "Noise Defense")."""
    noise = rng.uniform(-127.5 * size, 127.5 * size, crops.shape)
    return np.asarray(np.rint(crops + noise).clip(0, 255), np.uint8)


def jpeg(crops: Crops, quality: float) -> Crops:
    """Through a JPEG file of that quality."""
    how = [cv2.IMWRITE_JPEG_QUALITY, round(quality)]
    coded = [cv2.imencode(".jpg", crop[..., ::-1], how)[1] for crop in crops]
    return np.stack([np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR_RGB), np.uint8) for file in coded])


TARGETS: dict[Kind, Callable[[Crops, float], Crops]] = {"low_resolution": low_resolution, "quantised": quantised}
"""What is done before the swapper sees the face."""


def _in_8_bits(crops: NDArray[np.float32]) -> Crops:
    """(n, 3, side, side) in [−1, 1] → (n, side, side, 3)."""
    return np.rint((crops.transpose(0, 2, 3, 1).clip(-1, 1) + 1) * 127.5).astype(np.uint8)


def _in_range(crops: Crops) -> NDArray[np.float32]:
    """The way back."""
    return np.ascontiguousarray(crops.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(127.5) - 1)
