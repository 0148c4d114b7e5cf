"""How old a face looks, and how much like a man's or a woman's: read off its identity by a linear probe.

Soft scores, never classes, for one purpose: that a fabricated face may fit the person who wears it. Labels of "race",
which the same archives have, are left alone: they are crude classes of people, and no measure of a skin's tone.
"""

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from masquerade.errors import OptionError, WeightsError
from masquerade.media.files import atomic_output
from masquerade.models.cards import PACKAGED

NAMES = ("age", "sex")
"""Age: years / 100. Sex: 0 looks like a man, 1 like a woman."""
STEPS = np.array([0.1, 0.25], np.float32)
"""In which wearers' scores are told: ten years, and quarters of the way from a man's face to a woman's. So that
somebody looks the same in every file, and a Plan says no more than a glance at the result does."""
WEIGHTS = np.array([2.0, 1.0], np.float32)
"""What a whole step of each score costs: fifty years count as much as the sexes."""

_RIDGE = 0.1
_HELD_OUT = 5
"""One picture in so many measures the probe and takes no part in that fit."""

Vectors = NDArray[np.float32]


class ProbeInfo(BaseModel):
    """How well a probe reads pictures that it was not fitted to.

    Attributes:
        pictures: it was fitted to, at last to those held out as well.
        age_error: mean error in years.
        age_chance: that of always saying the median.
        sex_right: share of pictures on whose side of one half the score lies.
        sex_chance: that of always saying the commoner.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    pictures: Annotated[int, Field(gt=0)]
    age_error: float
    age_chance: float
    sex_right: float
    sex_chance: float


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """Identities → scores.

    Attributes:
        info: its figures.
        weights: (2, d + 1), a row for each of `NAMES`, the constant last; float16.
    """

    info: ProbeInfo
    weights: NDArray[np.float16]

    def scores(self, identities: Vectors) -> Vectors:
        """Scores from 0 to 1, shape (n, 2), of unit vectors (n, d)."""
        weights = self.weights.astype(np.float32)
        return (identities @ weights[:, :-1].T + weights[:, -1]).clip(0, 1)

    def save(self, path: Path, encoder: str) -> None:
        """Write it, for the encoder with that SHA-256.

        Raises:
            OutputError: it cannot be written there.
        """
        header = json.dumps({"encoder": encoder, "info": self.info.model_dump()}, indent=1).encode()
        with atomic_output(path) as temporary, temporary.open("wb") as file:
            np.savez(file, header=np.frombuffer(header, np.uint8), weights=self.weights)

    @classmethod
    def load(cls, path: Path, encoder: str) -> Self:
        """Read one back.

        Raises:
            WeightsError: it is of another encoder than the one with that SHA-256.
        """
        with np.load(path, allow_pickle=False) as file:
            header, weights = json.loads(bytes(file["header"])), file["weights"]
        if header["encoder"] != encoder:
            raise WeightsError("reads age and sex off another encoder's embeddings", path=path)
        return cls(ProbeInfo.model_validate(header["info"]), weights)


READER = PACKAGED / "guard-attributes.npz"
"""The probe of the packaged guard. Wearers are read by the guard and not by the driver, in whose embeddings there is
little of age and sex: off CelebA's photos the driver's probe read the sex that dlib's did in 60 of 100, the guard's in
99 (`benchmarks/attributes.py`)."""


def coarse(scores: Vectors) -> Vectors:
    """Scores (..., 2), in `STEPS`."""
    return np.asarray((scores / STEPS).round() * STEPS, np.float32)


def read_label(name: str) -> tuple[float, float] | None:
    """Age and sex as UTKFace's file names have them, `<age>_<sex>_<race>_*`, as scores; None where they do not."""
    age, sex, *rest = [*PurePosixPath(name).name.split("_"), ""]
    if not (age.isdecimal() and sex in ("0", "1") and len(rest) > 1):
        return None
    return min(int(age) / 100, 1.0), float(sex)


def fit_probe(embeddings: Vectors, labels: NDArray[np.float64]) -> Probe:
    """Ridge regression from identities to labels.

    Args:
        embeddings: unit vectors (n, d), a picture each.
        labels: (n, 2), as `read_label` gives them.

    Raises:
        OptionError: fewer than a hundred pictures.
    """
    if len(embeddings) < 100:
        raise OptionError(f"{len(embeddings)} pictures with an age and a sex are too few", hint="Give thousands")
    order = np.random.default_rng(0).permutation(len(embeddings))
    held, rest = order[::_HELD_OUT], np.delete(order, np.s_[::_HELD_OUT])
    read = Probe(_NOTHING, _ridge(embeddings[rest], labels[rest])).scores(embeddings[held])
    age, sex = labels[held].T
    info = ProbeInfo(
        pictures=len(embeddings),
        age_error=round(100 * float(np.abs(read[:, 0] - age).mean()), 2),
        age_chance=round(100 * float(np.abs(np.median(labels[rest, 0]) - age).mean()), 2),
        sex_right=round(float(((read[:, 1] > 0.5) == (sex > 0.5)).mean()), 4),
        sex_chance=round(float(max(sex.mean(), 1 - sex.mean())), 4),
    )
    return Probe(info, _ridge(embeddings, labels))


_NOTHING = ProbeInfo(pictures=1, age_error=0, age_chance=0, sex_right=0, sex_chance=0)


def _ridge(embeddings: Vectors, labels: NDArray[np.float64]) -> NDArray[np.float16]:
    x = np.column_stack([embeddings.astype(np.float64), np.ones(len(embeddings))])
    penalty = np.diag([*[_RIDGE] * embeddings.shape[1], 0.0])
    weights: NDArray[np.float64] = np.linalg.solve(x.T @ x + penalty, x.T @ labels).T
    return weights.astype(np.float16)
