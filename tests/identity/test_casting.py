from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masquerade.errors import OptionError
from masquerade.identity.casting import Limits, Reference, cast
from masquerade.identity.keyring import Keyring, Policy
from masquerade.identity.naming import resolve
from masquerade.plan import Plan, Source
from masquerade.types import Box, Face, Provenance, Track, TrackedFace
from tests.identity.population import unit
from tests.identity.test_keyring import BANK, ENCODER, VISITORS, a_bank, crowd

LIMITS = Limits(same=0.53, other=0.85, margin=0.04)
RNG = np.random.default_rng(0)


def track(id, identity, frames=range(10)):
    face = Face(Box(0, 0, 50, 60), 0.9)
    return Track(id, tuple(TrackedFace(f, face, Provenance.DETECTED) for f in frames), identity)


def at(z, distance, toward=None):
    """A unit vector at this distance from z."""
    other = unit(RNG.standard_normal(512)) if toward is None else toward
    across = unit(other - (other @ z) * z)
    return unit((1 - distance) * z + np.sqrt(1 - (1 - distance) ** 2) * across)


def plan_of(people, frames=100):
    source = Source(name="a.mp4", sha256="0" * 64, kind="video", width=9, height=9, frames=frames)
    return Plan(made_by="a test", source=source, detector="none", people=people)


Z = VISITORS.identities
MUM = Reference("mum.jpg", Z[0])


def actions(casting):
    return {person.id: person.action for person in casting.people}


class StandIn:
    """What `Limits.of` asks of an encoder."""

    def threshold(self, far):
        return {1e-4: 0.46, 1e-3: 0.56, 1e-2: 0.67}[far]


def test_the_limits_are_the_encoder_s_own():
    assert Limits.of(StandIn()) == Limits(pytest.approx(0.41), pytest.approx(0.835), pytest.approx(0.05))


def test_who_is_exempt_is_kept_and_nobody_else():
    tracks = [track(1, at(Z[1], 0.2)), track(2, at(Z[0], 0.3)), track(3, None), track(4, at(Z[2], 0.2))]
    casting = cast(tracks, exempt=[MUM], limits=LIMITS)
    assert actions(casting) == {1: "replace", 2: "keep", 3: "replace", 4: "replace"}
    [match] = casting.remarks.matches
    assert (match.reference, match.person, match.verdict) == ("mum.jpg", 2, "sure")
    assert match.distance == pytest.approx(0.3, abs=1e-5)
    assert [person.faces for person in casting.people] == [t.faces for t in tracks]


@pytest.mark.parametrize(
    ("distance", "verdict"),
    [(LIMITS.same - 1e-3, "sure"), (LIMITS.same + 1e-3, "doubtful"), (0.849, "doubtful"), (0.851, "nobody")],
)
def test_exempt_keeps_only_where_there_is_no_doubt(distance, verdict):
    casting = cast([track(7, at(Z[0], distance))], exempt=[MUM], limits=LIMITS)
    assert casting.remarks.matches[0].verdict == verdict
    assert actions(casting) == {7: "keep" if verdict == "sure" else "replace"}


def test_nobody_is_kept_whose_track_shows_another_as_well():
    half = replace(track(1, at(Z[0], 0.2)), mixed=True)
    assert actions(cast([half], exempt=[MUM], limits=LIMITS)) == {1: "replace"}
    assert cast([half], exempt=[MUM], limits=LIMITS).remarks.matches[0].verdict == "doubtful"
    away = track(1, at(Z[0], 0.95))
    for one, action in ((away, "keep"), (replace(away, mixed=True), "replace")):
        assert actions(cast([one], only=[MUM], limits=LIMITS)) == {1: action}


def test_of_two_who_are_near_only_the_nearer_is_kept():
    both = [track(1, at(Z[0], 0.4), range(10)), track(2, at(Z[0], 0.2), range(20, 30))]
    assert actions(cast(both, exempt=[MUM], limits=LIMITS)) == {1: "replace", 2: "keep"}


def test_of_two_side_by_side_who_are_as_near_none_is_kept():
    twins = [track(1, at(Z[0], 0.22)), track(2, at(Z[0], 0.2))]
    casting = cast(twins, exempt=[MUM], limits=LIMITS)
    assert actions(casting) == {1: "replace", 2: "replace"}
    assert casting.remarks.matches[0].verdict == "doubtful"
    apart = [twins[0], track(2, twins[1].identity, range(20, 30))]
    assert actions(cast(apart, exempt=[MUM], limits=LIMITS)) == {1: "replace", 2: "keep"}


def test_a_photo_of_nobody_there_is_said():
    casting = cast([track(1, at(Z[0], 1.1)), track(2, None)], exempt=[MUM], limits=LIMITS)
    assert actions(casting) == {1: "replace", 2: "replace"}
    assert casting.remarks.matches[0].verdict == "nobody"
    assert cast([track(2, None)], exempt=[MUM], limits=LIMITS).remarks.matches[0].person is None
    assert cast([], only=[MUM], limits=LIMITS).people == ()


def test_only_replaces_who_is_sought_and_whoever_might_be():
    seen = [at(Z[0], 0.3), at(Z[0], 0.8), at(Z[0], 0.95), None]
    tracks = [track(i, z) for i, z in enumerate(seen, 1)]
    casting = cast(tracks, only=[MUM], limits=LIMITS)
    assert actions(casting) == {1: "replace", 2: "replace", 3: "keep", 4: "replace"}
    assert casting.remarks.doubtful == 2
    assert (casting.remarks.matches[0].person, casting.remarks.matches[0].verdict) == (1, "sure")
    dad = Reference("dad", seen[2])
    assert actions(cast(tracks, only=[MUM, dad], limits=LIMITS))[3] == "replace"


def test_what_makes_no_sense_is_refused():
    with pytest.raises(OptionError, match="exclude"):
        cast([], exempt=[MUM], only=[MUM], limits=LIMITS)
    with pytest.raises(OptionError, match="thresholds"):
        cast([], exempt=[MUM])


@settings(max_examples=300)
@given(st.data())
def test_whatever_is_in_a_video_doubt_replaces(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    ids = data.draw(st.lists(st.integers(1, 99), unique=True, max_size=8))
    distances = {id: data.draw(st.one_of(st.none(), st.floats(0.01, 1.5))) for id in ids}
    tracks = [
        track(id, None if d is None else at(Z[0], d), range(start := int(rng.integers(30)), start + 10))
        for id, d in distances.items()
    ]
    kept = {id for id, action in actions(cast(tracks, exempt=[MUM], limits=LIMITS)).items() if action == "keep"}
    assert len(kept) <= 1
    for id in kept:
        assert distances[id] is not None
        assert distances[id] <= LIMITS.same + 1e-5
        assert all(d is None or d >= distances[id] - 1e-5 for d in distances.values())
    sought = actions(cast(tracks, only=[MUM], limits=LIMITS))
    for id, d in distances.items():
        if d is None or d < LIMITS.other - 1e-5:
            assert sought[id] == "replace"
        elif d > LIMITS.other + 1e-5:
            assert sought[id] == "keep"


def test_everyone_gets_a_face_of_their_own_whether_seen_well_or_not():
    people = crowd(*range(20))
    tracks = [*(track(n + 1, z) for n, z in people.items()), track(30, None), track(31, None)]
    casting = cast(tracks, keyring=Keyring(BANK))
    assert (casting.remarks.dressed, casting.remarks.faceless) == (22, 0)
    worn = resolve(plan_of(casting.people), BANK)
    assert sorted(worn) == [*range(1, 21), 30, 31]
    assert len({anchor.member for anchor in worn.values()}) == 22
    for n, z in people.items():
        assert 0.76 - 1e-5 <= 1 - float(z @ worn[n + 1].face) <= 1.24 + 1e-5
    assert cast(tracks).remarks.dressed is None
    assert all(person.anchor is None for person in cast(tracks).people)


def test_for_whom_no_face_is_left_is_counted():
    small = a_bank(6)
    casting = cast([track(n, None) for n in range(1, 11)], keyring=Keyring(small))
    assert (casting.remarks.dressed, casting.remarks.faceless) == (6, 4)
    assert [person.anchor is None for person in casting.people] == [False] * 6 + [True] * 4


def test_who_is_kept_wears_nothing_and_nobody_looks_like_them():
    people = crowd(*range(40))
    tracks = [track(n + 1, z) for n, z in people.items()]
    casting = cast(
        tracks,
        exempt=[Reference(f"{n}.jpg", at(z, 0.1)) for n, z in people.items() if n < 25],
        limits=LIMITS,
        keyring=Keyring(BANK),
    )
    worn = resolve(plan_of(casting.people), BANK)
    assert sorted(worn) == list(range(26, 41))
    faces = np.stack([anchor.face for anchor in worn.values()])
    kept = np.stack([z for n, z in people.items() if n < 25])
    assert (1 - faces @ kept.T).min() > ENCODER.far_1e3


def test_per_track_a_person_who_comes_back_is_somebody_else():
    tracks = [track(1, Z[1], [0, 1, 2, 5, 6, 9]), track(4, Z[2], [0, 1])]
    casting = cast(tracks, keyring=Keyring(BANK, Policy.PER_TRACK))
    frames = {p.id: [f.frame for f in p.faces] for p in casting.people}
    assert frames == {1: [0, 1, 2], 5: [5, 6], 6: [9], 4: [0, 1]}
    assert len({p.anchor for p in casting.people}) == 4
    again = cast(tracks, keyring=Keyring(BANK))
    assert len({p.anchor for p in again.people}) == 2
    casting = cast(
        tracks, exempt=[Reference("me", at(Z[1], 0.2))], limits=LIMITS, keyring=Keyring(BANK, Policy.PER_TRACK)
    )
    assert actions(casting) == {1: "keep", 4: "replace"}
    assert casting.remarks.dressed == 1
