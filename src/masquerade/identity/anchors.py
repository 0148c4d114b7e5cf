"""Which fabricated face a person gets: near or far enough, but never anywhere a recogniser would find the person.

All of it happens on the unit sphere of one encoder and is counted in cosine distance d(a, b) = 1 − a·b, from 0 (the
same) over 1 (unrelated) to 2 (opposite).

Two kinds of generator follow an identity vector a, the anchor: a `swap` model (FaceDancer, SimSwap) gives the face a
itself, a `fiva` model was trained away from what it is given and gives −a. Here the *face* f that comes out is what is
chosen and promised about; `pipeline.tailor` knows what the generator has to be given for it.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from masquerade.errors import BankError, OptionError
from masquerade.types import Embedding

ON_THIS_SIDE = 0.3
"""What speaks against a face that is not far enough from the person, where others suit them better or worse."""
SHORTLIST = 256
"""Where some faces suit a person better than others, the key still picks among this many."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A fabricated identity, chosen for one person.

    Attributes:
        member: the row of the bank that it is, or toward which it was drawn.
        face: the identity that the output shall have, a unit vector. It is the bank's own member unless an exact
            distance was asked for; then it was computed from the person and must be kept as closely as an embedding
            (see `slerp_to_distance`).
    """

    member: int
    face: Embedding


def safe_window(threshold: float, safety: float = 0.0) -> tuple[float, float]:
    """The distances from a person at which an anchor is safe against matching, plain and negated.

    A recogniser says "the same" for d(x, y) ≤ t. An attacker has z, the person, and may also try −z (thesis 5.4: an
    output as far as possible from z is exactly the one that −z finds). For unit vectors (−x)·y = −(x·y), so

        d(−x, y) = 2 − d(x, y).                                                                 (1)

    Swap type, output y = a. Away from z: d(z, a) > t. Away from −z, by (1): 2 − d(z, a) > t, that is d(z, a) < 2 − t.
    FIVA type, output y = −a. Away from z, by (1): 2 − d(z, a) > t. Away from −z, by (1) twice: d(z, a) > t.
    Both give the same window

        t < d(z, a) < 2 − t,

    symmetric about 1 and so the same for the anchor as for the face that comes out. At the field's t = 0.63 (CosFace,
    FAR 1e-3) it is 0.63 to 1.37: the thesis's m = 0.7 for FIVA lies just inside and puts the output at 2 − 0.7 = 1.3.
    The widest berth on both sides is at d = 1.

    A generator only comes near what it is asked for; `safety` moves both edges inwards for that. It cannot be a proof
    (an output 40° off the anchor may go anywhere on that cone), which is why a guard measures the output itself.

    Args:
        threshold: t of the encoder in use, best at FAR 1e-3.
        safety: cosine distance to stay away from both edges.

    Returns:
        (low, high), the smallest and largest allowed distance.

    Raises:
        OptionError: nothing is left between the edges, or a number is negative.
    """
    low = threshold + safety
    if threshold < 0 or safety < 0 or low >= 1:
        raise OptionError(
            f"a threshold of {threshold:.3f} with a safety of {safety:.3f} leaves no safe distance",
            hint="Threshold plus safety must be below 1",
        )
    return low, 2 - low


def slerp_to_distance(identity: Embedding, toward: Embedding, distance: float) -> Embedding:
    """The unit vector at exactly `distance` from `identity`, on the great circle toward `toward`.

        f = cos α · z + sin α · u,   cos α = 1 − distance,   u = (b − (b·z) z) / |b − (b·z) z|

    Such a face knows the person: with f and b in hand the circle leads straight back to z. Where f may be seen
    exactly (not through a generator's noise), take a member of the bank as it is.

    Args:
        identity: z, unit vector (d,).
        toward: b, unit vector (d,) or several (n, d).
        distance: 0 to 2.

    Returns:
        Shaped as `toward`, float32.

    Raises:
        OptionError: the distance is not between 0 and 2.
        ValueError: `toward` is ±`identity`, through which there are endless great circles.
    """
    if not 0 <= distance <= 2:
        raise OptionError(f"{distance} is no cosine distance", hint="It lies between 0 and 2")
    z = identity.astype(np.float64)
    z /= np.linalg.norm(z)
    b = toward.astype(np.float64)
    across = b - (b @ z)[..., None] * z
    length = np.linalg.norm(across, axis=-1, keepdims=True)
    if (length < 1e-6).any():
        raise ValueError("no great circle: a bank identity is the person's own, or its opposite")
    cosine = 1 - distance
    face: NDArray[np.float64] = cosine * z + np.sqrt(1 - cosine**2) * (across / length)
    return face.astype(np.float32)


def choose_anchor(
    identity: Embedding | None,
    members: NDArray[np.float32],
    order: NDArray[np.int64],
    *,
    window: tuple[float, float],
    apart: float,
    avoid: NDArray[np.float32] | None = None,
    distance: float | None = None,
    beyond: float = 0.0,
    penalty: NDArray[np.float32] | None = None,
    refused: Collection[int] = (),
) -> Anchor:
    """The first face of the bank, in keyed order, that this person may wear.

    The choice depends on `identity` through comparisons, so call this once for a person (on the mean of what was seen)
    and keep what it gives; `keyring.Keyring` does.

    Args:
        identity: the person's running mean, unit vector (d,). None where nobody knows it: then `window` says nothing.
        members: the bank, unit vectors (n, d).
        order: a permutation of 0..n−1, the key's preference (`keyring.keyed_order`).
        window: smallest and largest distance from the person, from `safe_window`.
        apart: the face is farther than this from every row of `avoid`; the encoder's threshold.
        avoid: unit vectors (m, d): faces that others wear, and who else is there.
        distance: the exact distance that the face shall have from the person. The thesis's margin m for FIVA type
            models is 2 − m here, for swap type models m itself. None takes a member as it is, wherever in the window
            it lies: it then says nothing of the person but that they are not alike.
        beyond: members farther from the person than this come before others, unless those suit them far better
            (`ON_THIS_SIDE`); beside `distance` it says nothing.
        penalty: what speaks against each member, (n,), for instance `attribute_penalty`; 0.1 weighs as much as 0.1 of
            distance by which a member must be moved.
        refused: members that were tried and did not do.

    Raises:
        BankError: no member is left.
        OptionError: `distance` is outside the window.
        ValueError: an exact distance from somebody who is not known.
    """
    low, high = window
    natural = np.ones(len(members), np.float32) if identity is None else 1 - members @ identity
    if distance is None:
        faces = members
        fits = (low <= natural) & (natural <= high)
    elif identity is None:
        raise ValueError("nobody knows what is at a distance from an unknown person")
    elif low <= distance <= high:
        faces = slerp_to_distance(identity, members, distance)
        fits = np.ones(len(members), bool)
    else:
        raise OptionError(
            f"a face at distance {distance} could be recognised", hint=f"Choose one from {low:.3f} to {high:.3f}"
        )
    if avoid is not None and len(avoid):
        fits &= (1 - faces @ avoid.T).min(axis=1) > apart
    fits[list(refused)] = False
    if not fits.any():
        raise BankError(
            f"none of the {len(members)} fabricated faces is left for one more person",
            hint="Make a larger bank with 'masquerade bank make --count'",
        )
    near = np.zeros(len(members)) if distance is not None or identity is None else natural <= beyond
    if distance is not None or penalty is not None:
        cost = ON_THIS_SIDE * near + (0 if penalty is None else penalty.astype(np.float64))
        if distance is not None:
            cost = cost + np.abs(natural - distance)
        allowed = np.flatnonzero(fits)
        fits[:] = False
        fits[allowed[np.argsort(cost[allowed], kind="stable")[:SHORTLIST]]] = True
    elif (away := fits & (near == 0)).any():
        fits = away
    member = int(order[fits[order]][0])
    return Anchor(member, faces[member])


def attribute_penalty(
    person: NDArray[np.float32], members: NDArray[np.float32], weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    """How badly each fabricated face fits a person's coarse appearance: Σ_k w_k |p_k − m_k|.

    Attributes are soft scores (apparent age, sex, skin tone) of 0 to 1, never classes: one who lies between two gets a
    face from between them.

    Args:
        person: scores (k,), NaN for what is not known, which then does not count.
        members: scores of the bank's members, (n, k).
        weights: (k,), the penalty of a difference of 1 in each.

    Returns:
        (n,), for `choose_anchor`.
    """
    penalty: NDArray[np.float32] = np.nan_to_num(np.abs(members - person), nan=0.0) @ weights
    return penalty
