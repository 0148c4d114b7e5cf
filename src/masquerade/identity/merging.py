"""Which stretches of tracks are one person: agglomeration by identity, for a whole video at once.

Two clusters are as far apart as their quality-weighted means. The nearest pair is joined first, as long as

- it is nearer than `Likeness.same_among`, which knows how many chances there are to be wrong,
- nothing says that these are two people (they share a frame, or could not have been in both places), and
- neither has a rival: another cluster almost as near to one of the two, which cannot be the same person as the other.
  Of two look-alikes who stand side by side, one who returns may be either.

In doubt nothing is joined: two fabricated faces for one person are ugly, one for two people is wrong.
"""

import heapq
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from masquerade.identity.running import Likeness, Running

_ROWS = 512  # compared with all others at a time


def merge(
    identities: Sequence[Running],
    likeness: Likeness,
    apart: Callable[[int, int], bool],
) -> list[list[int]]:
    """Groups of one person each.

    Args:
        identities: of each item.
        likeness: how near is near.
        apart: whether two items are certainly two people.

    Returns:
        The numbers of the items, each once, ascending in each group; groups by their first.
    """
    if not identities:
        return []
    members = {number: [number] for number in range(len(identities))}
    known = list(identities)
    units = np.array([one.unit for one in identities])
    same = likeness.same_among(len(known))
    reach = same + likeness.margin
    near: dict[int, dict[int, float]] = {}
    for start in range(0, len(units), _ROWS):
        for row, distances in enumerate(_distances(units[start : start + _ROWS], units), start):
            near[row] = _within(distances, reach, row)
    queue = [(d, a, b) for a, others in near.items() for b, d in others.items() if a < b]
    heapq.heapify(queue)

    def never(a: int, b: int) -> bool:
        return any(apart(x, y) for x in members[a] for y in members[b])

    def rival(a: int, b: int, distance: float) -> bool:
        """Whether somebody who is not b is almost as near to a."""
        return any(c != b and d < distance + likeness.margin and never(c, b) for c, d in near[a].items())

    while queue:
        distance, a, b = heapq.heappop(queue)
        if distance >= same:
            break
        if near.get(a, {}).get(b) != distance:
            continue  # one of them has become part of a larger cluster
        if never(a, b) or rival(a, b, distance) or rival(b, a, distance):
            continue
        members[a] = sorted(members[a] + members.pop(b))
        known[a] = known[a].joined(known[b])
        units[a], units[b] = known[a].unit, 0  # at distance 1 from everyone: out of reach
        for c in (near[a] | near.pop(b)).keys() - {a, b}:
            near[c].pop(a, None)
            near[c].pop(b, None)
        near[a] = _within(_distances(units[a : a + 1], units)[0], reach, a)
        for c, d in near[a].items():
            near[c][a] = d
            heapq.heappush(queue, (d, min(a, c), max(a, c)))
    return sorted(members.values())


def _distances(some: NDArray[np.float32], units: NDArray[np.float32]) -> NDArray[np.float64]:
    return 1 - (some @ units.T).astype(np.float64)


def _within(distances: NDArray[np.float64], reach: float, own: int) -> dict[int, float]:
    """The numbers of those nearer than `reach`, with their distances."""
    return {column: float(distances[column]) for column in np.flatnonzero(distances < reach).tolist() if column != own}
