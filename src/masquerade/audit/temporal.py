"""Does one person keep one face through a video? M_tc, the thesis's temporal identity consistency (table 5.6).

The thesis gives "10 frames per video", a mean and a standard deviation; the rest is **our** definition: of each person
ten frames are taken, evenly from their first to their last detection, and M_tc is the cosine distance of each to the
next. Mean and standard deviation are over all those distances of a video, or of all videos, pooled. All pairs of the
ten frames are told beside it: a face that drifts slowly is near its neighbours and far from where it began.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from masquerade.audit.verification import Floats, cosine_distance
from masquerade.faces.embed import Encoder
from masquerade.media import open_video
from masquerade.pipeline.progress import Progress, silent
from masquerade.plan import Plan
from masquerade.types import Points, Provenance

SAMPLES = 10
"""Frames of each person, as in table 5.6."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and standard deviation of so many cosine distances."""

    mean: float
    std: float
    count: int


@dataclass(frozen=True, slots=True)
class Consistency:
    """How alike people stay.

    Attributes:
        people: with two or more sampled frames.
        steps: M_tc, distances of consecutive sampled frames.
        pairs: distances of all pairs of a person's sampled frames.
    """

    people: int
    steps: Spread
    pairs: Spread


def consistency(people: Sequence[NDArray[np.floating]]) -> Consistency | None:
    """M_tc of people, pooled; None where nobody was seen twice.

    Args:
        people: of each their vectors in order of time, shape (frames, dimensions); those with fewer than two are left
            out.
    """
    seen = [vectors for vectors in people if len(vectors) >= 2]
    if not seen:
        return None
    steps = [cosine_distance(vectors[:-1], vectors[1:]) for vectors in seen]
    rows = [np.triu_indices(len(vectors), 1) for vectors in seen]
    pairs = [cosine_distance(vectors[i], vectors[j]) for vectors, (i, j) in zip(seen, rows, strict=True)]
    return Consistency(len(seen), _spread(np.concatenate(steps)), _spread(np.concatenate(pairs)))


def evenly(count: int, samples: int = SAMPLES) -> list[int]:
    """Which of `count` things are taken: first, last and others evenly between them, or all where there are few."""
    if not count:
        return []
    return [int(i) for i in np.unique(np.linspace(0, count - 1, min(samples, count)).round())]


def people_over_time(
    path: Path, plan: Plan, encoders: Sequence[Encoder], progress: Progress = silent, *, min_face: float = 0
) -> list[list[NDArray[np.float32]]]:
    """What encoders see of each person of a Plan in the sampled frames of its video.

    Args:
        path: the video.
        plan: of it.
        encoders: who look.
        progress: told of every frame.
        min_face: only faces at least this wide or high, in pixels: of smaller ones an encoder sees little but noise.

    Returns:
        For each encoder, for each person with a detected face, unit vectors of shape (up to `SAMPLES`, dimensions).

    Raises:
        InputError: the video cannot be read to its end.
    """
    sampled = sampled_faces(plan, min_face)
    rows: list[dict[int, list[NDArray[np.float32]]]] = [{} for _ in encoders]
    with open_video(path) as reader:
        for frame in reader:
            if people := sampled.get(frame.index):
                picture = frame.thumbnail(frame.width, frame.height)
                for encoder, vectors in zip(encoders, rows, strict=True):
                    for person, vector in zip(people, encoder.embed(picture, list(people.values())), strict=True):
                        vectors.setdefault(person, []).append(vector)
            progress("embed", frame.index + 1, plan.source.frames)
    return [[np.stack(seen) for seen in vectors.values()] for vectors in rows]


def sampled_faces(plan: Plan, min_face: float) -> dict[int, dict[int, Points]]:
    """For each sampled frame the landmarks of the people who are looked at in it, by their number.

    Args:
        plan: of the video.
        min_face: as for `people_over_time`.
    """
    sampled: dict[int, dict[int, Points]] = {}
    for person in plan.people:
        detected = [
            (tracked.frame, tracked.face.landmarks)
            for tracked in person.faces
            if tracked.provenance is Provenance.DETECTED
            and tracked.face.landmarks is not None
            and max(tracked.face.box.width, tracked.face.box.height) >= min_face
        ]
        for i in evenly(len(detected)):
            frame, landmarks = detected[i]
            sampled.setdefault(frame, {})[person.id] = landmarks
    return sampled


def _spread(distances: Floats) -> Spread:
    return Spread(float(distances.mean()), float(distances.std()), len(distances))
