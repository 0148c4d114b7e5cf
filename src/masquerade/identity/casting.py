"""Casting: who is kept, who is replaced, and which face each of those wears.

Tracks that know their person, and what was asked for → the people of a Plan. Every doubt ends in replacing: who cannot
be told to be the one to keep is replaced, and who cannot be told *not* to be the one to replace is replaced.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, Self

from masquerade.errors import OptionError
from masquerade.identity.keyring import Keyring, Policy
from masquerade.identity.naming import anchor_name
from masquerade.identity.running import Likeness
from masquerade.plan import Person
from masquerade.types import Embedding, Track

if TYPE_CHECKING:
    from masquerade.faces.embed import Encoder


@dataclass(frozen=True, slots=True)
class Reference:
    """A person shown by photos. Biometric data: in memory only.

    Attributes:
        name: of the photo, or of the folder of photos of one person.
        identity: the mean over the photos, unit vector (d,).
    """

    name: str
    identity: Embedding


@dataclass(frozen=True, slots=True)
class Limits:
    """When a person of a video is somebody's photo, in cosine distance.

    Attributes:
        same: at or below it there is no doubt that they are the same.
        other: above it there is no reasonable doubt that they are not.
        margin: who is the nearest must be nearer than the next by this.
    """

    same: float
    other: float
    margin: float

    @classmethod
    def of(cls, encoder: "Encoder") -> Self:
        """`Likeness.same` and `Likeness.margin`, and the middle between the threshold at FAR 1e-2 and 1.

        At 1 lie those who have nothing in common. About one stranger in nine is nearer than the middle.

        Raises:
            OptionError: the encoder was not calibrated at FAR 1e-2, 1e-3 and 1e-4.
        """
        likeness = Likeness.of(encoder)
        return cls(likeness.same, (encoder.threshold(1e-2) + 1) / 2, likeness.margin)


@dataclass(frozen=True, slots=True)
class Match:
    """What became of one reference in one file.

    Attributes:
        reference: its name.
        person: the nearest in the file, by number; None where nobody was seen well enough.
        distance: cosine distance to that person.
        verdict: "sure"; "doubtful" where it might be that person; "nobody" where it is none of those seen well enough.
    """

    reference: str
    person: int | None
    distance: float | None
    verdict: Literal["sure", "doubtful", "nobody"]


@dataclass(frozen=True, slots=True)
class Remarks:
    """What a person should be told about who is who in one file.

    Attributes:
        matches: one for each reference, in their order.
        doubtful: how many are replaced only because they might be one of those to replace, or were never seen well.
        dressed: how many were given a fabricated face; None where nobody was to have one.
        faceless: how many were not, though they should, for none was left in the bank. They are redacted.
        exchanged: how many wear another face than the first that was chosen, because the guard knew them in that one.
    """

    matches: tuple[Match, ...] = ()
    doubtful: int = 0
    dressed: int | None = None
    faceless: int = 0
    exchanged: int = 0


@dataclass(frozen=True, slots=True)
class Casting:
    """Who is who in one file.

    Attributes:
        people: for the Plan.
        remarks: for whoever asked.
    """

    people: tuple[Person, ...]
    remarks: Remarks


def cast(
    tracks: Sequence[Track],
    *,
    exempt: Sequence[Reference] = (),
    only: Sequence[Reference] = (),
    limits: Limits | None = None,
    keyring: Keyring | None = None,
    fitting: bool | None = None,
) -> Casting:
    """The people of a Plan.

    Args:
        tracks: one for each person, with identities by one encoder. Who has none is replaced.
        exempt: people to keep. Of those in the file only the one nearest to a reference is kept, only at `limits.same`
            or nearer, and only if nobody who is seen beside them comes nearly as near.
        only: the people to replace; everyone else is kept if farther than `limits.other` from all of them.
        limits: of that encoder; needed where there are references.
        keyring: gives those who are replaced a face each; None for redaction. For one file alone.
        fitting: faces shall fit the wearers' apparent age and sex; None: where the bank can tell.

    Raises:
        OptionError: there are people to exempt and people to replace only, or references without limits.
        BankError: there are not enough faces for those who are known, or `fitting` is asked of a bank that cannot tell
            age and sex.
        VaultError: the keyring's vault cannot be used.
    """
    if exempt and only:
        raise OptionError("people to exempt and people to replace only exclude each other", hint="Name one kind")
    if limits is None and (exempt or only):
        raise OptionError("references need an encoder whose thresholds are known", hint="Calibrate it")
    known = {track.id: track.identity for track in tracks if track.identity is not None}
    kept: set[int] = set()
    matches: list[Match] = []
    doubtful = 0
    if limits is not None and exempt:
        matches = [_exempted(reference, tracks, known, limits) for reference in exempt]
        kept = {match.person for match in matches if match.verdict == "sure" and match.person is not None}
    elif limits is not None and only:
        matches = [_sought(reference, known, limits) for reference in only]
        nearest = {id: min(_distance(z, reference.identity) for reference in only) for id, z in known.items()}
        mixed = {track.id for track in tracks if track.mixed}
        kept = {id for id, distance in nearest.items() if distance > limits.other} - mixed
        doubtful = len(tracks) - len(kept) - sum(distance <= limits.same for distance in nearest.values())
    names = {}
    if keyring is not None:
        if keyring.policy is Policy.PER_TRACK:
            tracks = _stretches(tracks, whole=kept)
        dressed = {t.id: t.identity for t in tracks if t.identity is not None and t.id not in kept}
        fits = keyring.bank.probe is not None if fitting is None else fitting
        penalties = {id: keyring.bank.misfit(z) for id, z in dressed.items()} if fits else None
        anchors = keyring.assign(dressed, penalties, bystanders=[known[id] for id in sorted(kept)])
        # Whom nobody knows is a person all the same, and each of their tracks one of its own.
        anchors |= keyring.assign_unknown([t.id for t in tracks if t.identity is None])
        names = {id: anchor_name(anchor, keyring.bank) for id, anchor in anchors.items()}
    people = tuple(
        Person(
            id=track.id, action="keep" if track.id in kept else "replace", anchor=names.get(track.id), faces=track.faces
        )
        for track in tracks
    )
    if keyring is None:
        return Casting(people, Remarks(tuple(matches), doubtful))
    return Casting(people, Remarks(tuple(matches), doubtful, len(names), len(tracks) - len(kept) - len(names)))


def _exempted(reference: Reference, tracks: Sequence[Track], known: Mapping[int, Embedding], limits: Limits) -> Match:
    """The nearest person; sure only if no other face in the same frames comes nearly as near, and the track is theirs
    from end to end."""
    match = _sought(reference, known, limits)
    if match.verdict != "sure" or match.person is None or match.distance is None:
        return match
    frames = {track.id: {face.frame for face in track.faces} for track in tracks}
    near = match.distance + limits.margin
    rivals = [id for id, z in known.items() if id != match.person and _distance(z, reference.identity) < near]
    beside = any(not frames[id].isdisjoint(frames[match.person]) for id in rivals)
    mixed = any(track.mixed for track in tracks if track.id == match.person)
    return replace(match, verdict="doubtful") if beside or mixed else match


def _sought(reference: Reference, known: Mapping[int, Embedding], limits: Limits) -> Match:
    """The nearest person and what to think of it."""
    if not known:
        return Match(reference.name, None, None, "nobody")
    distance, id = min((_distance(z, reference.identity), id) for id, z in known.items())
    verdict: Literal["sure", "doubtful", "nobody"] = "nobody"
    if distance <= limits.other:
        verdict = "sure" if distance <= limits.same else "doubtful"
    return Match(reference.name, id, distance, verdict)


def _distance(a: Embedding, b: Embedding) -> float:
    return 1 - float(a @ b)


def _stretches(tracks: Sequence[Track], *, whole: Collection[int]) -> list[Track]:
    """Each track cut where the person is out of sight, but for those that stay whole.

    The first stretch keeps the number, the others get new ones.
    """
    number = max((track.id for track in tracks), default=0)
    result = []
    for track in tracks:
        if track.id in whole:
            result.append(track)
            continue
        starts = [0, *(i for i, (a, b) in enumerate(pairwise(track.faces), 1) if b.frame > a.frame + 1)]
        for start, end in zip(starts, [*starts[1:], len(track.faces)], strict=True):
            number += start > 0
            result.append(replace(track, id=number if start else track.id, faces=track.faces[start:end]))
    return result
