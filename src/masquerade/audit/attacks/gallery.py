"""Who of these is it? Attacks with a list of candidates. Pure functions of unit vectors.

Where the circle is small (a school class, the staff of a firm), nobody needs a threshold: the most likely candidate is
taken. Chance is one in so many people, and that is what the attack has to be held against.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from masquerade.audit.intervals import Estimate, share_of
from masquerade.audit.verification import distance_matrix
from masquerade.errors import OptionError

Vectors = NDArray[np.float32]
People = NDArray[np.generic]

FIRST = 10
"""Candidates that somebody would look through by eye."""


@dataclass(frozen=True, slots=True)
class Guesses:
    """How often an adversary is right.

    Attributes:
        right: the first candidate is the person, share of the faces.
        among_first: one of the first ten is.
        chance: of being right without looking.
        people: candidates.
    """

    right: Estimate
    among_first: Estimate
    chance: float
    people: int


def nearest_neighbour(probes: Vectors, whose: People, gallery: Vectors, gallery_people: People) -> Guesses | None:
    """The naive attack: a recogniser compares anonymized faces with photos of all candidates.

    Args:
        probes: of anonymized faces, (n, dimensions).
        whose: who they are, (n,), each somebody of the gallery.
        gallery: of the candidates' photos, (m, dimensions).
        gallery_people: who they are, (m,).

    Returns:
        None where there are no probes.

    Raises:
        OptionError: somebody is not in the gallery.
    """
    names = _candidates(whose, gallery_people)
    distances = distance_matrix(probes, gallery)
    nearest = np.stack([distances[:, gallery_people == name].min(axis=1) for name in names], axis=1)
    return _guesses(-nearest, names, whose)


def parrot(
    lessons: Vectors, lesson_people: People, probes: Vectors, whose: People, *, ridge: float = 1e-2
) -> Guesses | None:
    """The parrot attack (Newton et al. 2005): a recogniser's head is trained anew on anonymized faces.

    The adversary anonymizes the photos she has of the candidates by the same tool and learns to tell the results apart:
    whatever a method does to all faces alike, she does too. The head is linear, W = (XᵀX + λnI)⁻¹ Xᵀ(Y − mean), with
    one column of the one-hot Y for each candidate.

    Args:
        lessons: of anonymized photos of the candidates, (m, dimensions).
        lesson_people: who they are, (m,).
        probes: of other anonymized photos, (n, dimensions).
        whose: who they are, (n,), each somebody of the lessons.
        ridge: λ.

    Returns:
        None where there are no probes.

    Raises:
        OptionError: somebody is not among the lessons.
    """
    names = _candidates(whose, lesson_people)
    x = lessons.astype(np.float64)
    y = (lesson_people[:, None] == names[None, :]).astype(np.float64)
    head = np.linalg.solve(x.T @ x + ridge * len(x) * np.eye(x.shape[1]), x.T @ (y - y.mean(axis=0)))
    return _guesses(probes @ head, names, whose)


def _candidates(whose: People, known: People) -> People:
    names = np.unique(known)
    if not np.isin(whose, names).all():
        raise OptionError("an adversary with a list can only find people who are on it")
    return names


def _guesses(scores: NDArray[np.floating], names: People, whose: People) -> Guesses | None:
    """Of scores (n, candidates), more for likelier."""
    own = scores[np.arange(len(whose)), np.searchsorted(names, whose)]
    # Where several are as likely, the person counts as guessed first: a privacy figure must not look too good.
    before = (scores > own[:, None]).sum(axis=1)
    right, among = share_of(before == 0, whose), share_of(before < FIRST, whose)
    return Guesses(right, among, 1 / len(names), len(names)) if right and among else None
