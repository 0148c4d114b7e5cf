"""Does everyone keep their number? Identity switches, fragmentations and IDF1 against a known truth. Pure functions.

The truth and what was found are one mapping a frame, from a person's number to their box. Numbers need not agree.

- Frame by frame (CLEAR MOT, Bernardin and Stiefelhagen 2008): who was paired in the frame before stays paired while the
  boxes still overlap; the rest are paired so that they overlap most. An *identity switch* is a true person whose number
  is not the one they had when last found. A *fragmentation* is a true person who is found again after frames in which
  they were there and were not found.
- For the whole video (Ristani et al. 2016): every true person is paired with at most one number, so that the pairs have
  as many frames in common as possible. IDF1 is the F1 score of those frames.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy.optimize import linear_sum_assignment

from masquerade.faces.detect import iou
from masquerade.types import Box

Boxes: TypeAlias = Mapping[int, Box]
"""Person → box, of one frame."""


@dataclass(frozen=True, slots=True)
class TrackingFigures:
    """How well people were told apart.

    Attributes:
        switches: identity switches.
        fragmentations: times somebody was lost and found again.
        both: boxes that are true and found under their person's one number (IDTP).
        found: boxes found (IDTP + IDFP).
        true: boxes there are (IDTP + IDFN).
    """

    switches: int
    fragmentations: int
    both: int
    found: int
    true: int

    @property
    def idf1(self) -> float:
        """2 IDTP / (2 IDTP + IDFP + IDFN); 1 where there was nobody and nobody was found."""
        return 2 * self.both / (self.found + self.true) if self.found + self.true else 1.0

    def __add__(self, other: "TrackingFigures") -> "TrackingFigures":
        """Of two videos together."""
        return TrackingFigures(
            self.switches + other.switches,
            self.fragmentations + other.fragmentations,
            self.both + other.both,
            self.found + other.found,
            self.true + other.true,
        )


def tracking_figures(truth: Sequence[Boxes], found: Sequence[Boxes], overlap: float = 0.5) -> TrackingFigures:
    """Compares what was found with the truth.

    Args:
        truth, found: one mapping a frame, equally many.
        overlap: IoU from which two boxes may be the same face.
    """
    switches = fragmentations = 0
    last: dict[int, int] = {}
    lost: set[int] = set()
    together: Counter[tuple[int, int]] = Counter()
    paired: dict[int, int] = {}
    for there, seen in zip(truth, found, strict=True):
        paired = _pair(there, seen, paired, overlap)
        for person in there:
            number = paired.get(person)
            if number is None:
                if person in last:
                    lost.add(person)
                continue
            switches += last.get(person, number) != number
            fragmentations += person in lost
            lost.discard(person)
            last[person] = number
        together.update((p, n) for p, a in there.items() for n, b in seen.items() if iou(a, b) >= overlap)
    people, numbers = sorted({p for p, _ in together}), sorted({n for _, n in together})
    common = np.array([[together[p, n] for n in numbers] for p in people]).reshape(len(people), len(numbers))
    rows, columns = linear_sum_assignment(common, maximize=True)
    return TrackingFigures(
        switches,
        fragmentations,
        int(common[rows, columns].sum()),
        sum(map(len, found)),
        sum(map(len, truth)),
    )


def _pair(truth: Boxes, found: Boxes, before: Mapping[int, int], overlap: float) -> dict[int, int]:
    """Who is whom in one frame."""
    pairs = {
        person: number
        for person, number in before.items()
        if person in truth and number in found and iou(truth[person], found[number]) >= overlap
    }
    people = [person for person in truth if person not in pairs]
    numbers = [number for number in found if number not in pairs.values()]
    gain = np.array([[iou(truth[p], found[n]) for n in numbers] for p in people]).reshape(len(people), len(numbers))
    gain[gain < overlap] = 0
    rows, columns = linear_sum_assignment(gain, maximize=True)
    pairs |= {people[r]: numbers[c] for r, c in zip(rows, columns, strict=True) if gain[r, c] > 0}
    return pairs
