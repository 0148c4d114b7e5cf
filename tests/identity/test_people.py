"""People keep their numbers: by appearance and motion, online and offline, and never at the cost of coverage."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masquerade.audit.crowds import DRIVER, EVERY, RATE, SCENES, TEACHER, glances
from masquerade.audit.tracking import tracking_figures
from masquerade.errors import FaceError
from masquerade.identity.merging import merge
from masquerade.identity.running import Likeness, Running
from masquerade.identity.tracker import START_SCORE, Tracker
from masquerade.identity.trails import united
from masquerade.types import Box, Provenance, TrackedFace

from .test_tracker import contains, face, frames_of

# Thresholds of the packaged driver, and of an encoder as `TEACHER` is one.
LIKENESS = {DRIVER: Likeness(0.555, 0.465), TEACHER: Likeness(0.62, 0.55)}
ONE, TWO = np.eye(2, 8, dtype=np.float32)


def between(a, b, distance):
    """The unit vector at a cosine distance from `a`, toward `b` at right angles."""
    return ((1 - distance) * a + np.sqrt(1 - (1 - distance) ** 2) * b).astype(np.float32)


def walk(scene, seed, shades, likeness="own"):
    """Truth, ids told online, and tracks."""
    likeness = LIKENESS[shades] if likeness == "own" else likeness
    seen = list(glances(SCENES[scene](seed), seed, shades))
    tracker = Tracker(frame_rate=RATE, likeness=likeness)
    told = []
    for look in seen:
        known = {"embeddings": look.embeddings, "qualities": look.qualities} if likeness else {}
        told.append(tracker.update(look.frame, look.faces, cut=look.cut, **known))
    return seen, told, tracker.finish(seen[-1].frame + EVERY)


def owners(seen, tracks):
    """For each track the people in it, by its detections."""
    who = {
        (look.frame, id(f.landmarks)): person
        for look in seen
        for person, f in zip(look.people, look.faces, strict=True)
    }
    return [
        {who[x.frame, id(x.face.landmarks)] for x in one.faces if x.provenance is Provenance.DETECTED} for one in tracks
    ]


@pytest.mark.parametrize("scene", ["crossing", "meeting and turning back", "behind a bar", "the light goes"])
@pytest.mark.parametrize("shades", [DRIVER, TEACHER], ids=["driver", "well trained"])
def test_in_one_scene_nobody_changes_numbers(scene, shades):
    seen, told, tracks = walk(scene, 1, shades)
    truth = [dict(zip(look.people, (f.box for f in look.faces), strict=True)) for look in seen]
    online = [dict(zip(ids, (f.box for f in look.faces), strict=True)) for ids, look in zip(told, seen, strict=True)]
    figures = tracking_figures(truth, online)
    assert (figures.switches, figures.idf1) == (0, 1)
    assert sorted(owners(seen, tracks), key=min) == [{1}, {2}]


@pytest.mark.parametrize("scene", ["leaving and returning", "cuts"])
def test_who_returns_is_known_again(scene):
    seen, told, tracks = walk(scene, 1, TEACHER)
    whole = owners(seen, tracks)
    assert sorted(whole, key=min) == [{person} for person in range(1, len(whole) + 1)]
    numbers = {person: set() for look in seen for person in look.people}
    for look, ids in zip(seen, told, strict=True):
        for person, number in zip(look.people, ids, strict=True):
            numbers[person].add(number)
    assert all(len(one) == 1 for one in numbers.values()), "live, too"


def test_motion_alone_is_fooled_where_appearance_is_not():
    seen, _, tracks = walk("meeting and turning back", 1, DRIVER, likeness=None)
    assert owners(seen, tracks) == [{1, 2}, {1, 2}]


def test_seven_people_who_cross_leave_and_return():
    seen, _, tracks = walk("crowd of 7", 2, TEACHER)
    assert sorted(owners(seen, tracks), key=min) == [{person} for person in range(1, 8)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shades", [DRIVER, TEACHER], ids=["driver", "well trained"])
def test_look_alikes_never_become_one(shades, seed):
    seen, _, tracks = walk("look-alikes", seed, shades)
    assert all(len(one) == 1 for one in owners(seen, tracks))


def test_tracks_know_their_person_in_memory():
    seen, _, tracks = walk("crossing", 1, DRIVER)
    for one, (person,) in zip(tracks, owners(seen, tracks), strict=True):
        crops = [
            (quality, vector)
            for look in seen
            for who, vector, quality in zip(look.people, look.embeddings, look.qualities, strict=True)
            if who == person
        ]
        mean = sum(quality * vector for quality, vector in crops)
        assert one.identity == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)
        assert one.identity.dtype == np.float32
    _, _, nameless = walk("crossing", 1, DRIVER, likeness=None)
    assert all(one.identity is None for one in nameless)


def two_looks(distance, *, apart=0.0, quality=0.9):
    """A face, and 0.25 s later one `apart` pixels away whose embedding is `distance` away."""
    tracker = Tracker(frame_rate=24, likeness=LIKENESS[DRIVER])
    vectors = ONE[None], between(ONE, TWO, distance)[None]
    ids = [tracker.update(0, [face(100, 80)], embeddings=vectors[0], qualities=[0.9])]
    ids += [tracker.update(6, [face(100 + apart, 80)], embeddings=vectors[1], qualities=[quality])]
    return [number for (number,) in ids], tracker.finish(12)


def test_who_fits_by_motion_and_is_clearly_somebody_else_is_refused():
    assert two_looks(0.2, apart=20)[0] == [1, 1]
    assert two_looks(0.6, apart=20)[0] == [1, 1], "doubtful: motion decides"
    assert two_looks(1.0, apart=20)[0] == [1, 2]
    assert two_looks(1.0, apart=20, quality=0.1)[0] == [1, 1], "a bad crop says nothing"
    assert two_looks(0.8)[0] == [1, 1], "nobody changes into another on the spot"


@pytest.mark.parametrize("first", [10, 40])
def test_who_takes_anothers_place_unseen_by_motion_leaves_a_track_that_is_nobodys(first):
    """As in a cross-fade from one portrait to the next."""
    fade = [between(ONE, TWO, d) for d in (0.3, 0.6)]
    seen = [ONE] * first + fade + [TWO] * 12

    def track(vectors):
        tracker = Tracker(frame_rate=24, likeness=LIKENESS[DRIVER])
        for i, vector in enumerate(vectors):
            tracker.update(3 * i, [face(100, 80)], embeddings=vector[None], qualities=[0.9])
        (one,) = tracker.finish(3 * len(vectors))
        return one

    assert track(seen).mixed
    assert not track([ONE] * first + [TWO, TWO] + [ONE] * 12).mixed, "a bad moment"
    assert not track([ONE] * first + fade + fade[::-1] + [ONE] * 3).mixed, "somebody who turns away and back"


def test_who_is_refused_leaves_the_way_covered():
    (plain,) = two_looks(0.2, apart=20)[1]
    one, other = two_looks(1.0, apart=20)[1]
    for seen in plain.faces:
        boxes = [x.face.box for track in (one, other) for x in track.faces if x.frame == seen.frame]
        assert any(contains(box, seen.face.box) for box in boxes)


def test_who_looks_alike_and_could_not_have_got_there_is_another():
    assert two_looks(0.1, apart=600)[0] == [1, 2]
    assert len(two_looks(0.1, apart=600)[1]) == 2
    assert two_looks(0.1, apart=130)[0] == [1, 1], "a step aside, too far for motion alone"


def test_one_bad_crop_does_not_poison():
    running = Running.of(ONE, 0.8)
    for _ in range(3):
        running.add(between(ONE, TWO, 0.1), 0.8)
    before = running.unit
    running.add(TWO, 0.05)
    assert 1 - before @ running.unit < 0.001
    assert running.last == pytest.approx(between(ONE, TWO, 0.1)), "nor is it what one is compared with next"
    assert running.good and not Running.of(ONE, 0.2).good
    running.sum[:] = 0
    assert Running.of(ONE, 0.5).joined(Running.of(TWO, 0.5)).unit[:2] == pytest.approx([np.sqrt(0.5)] * 2)


def test_thresholds():
    likeness = Likeness(0.555, 0.465)
    assert (likeness.margin, likeness.same, likeness.apart) == pytest.approx((0.045, 0.42, 0.7775))
    assert likeness.same_among(1) == likeness.same_among(5) == pytest.approx(0.465 + 0.09 * np.log10(1e-3 / 3e-4))
    assert likeness.same_among(12) == pytest.approx(0.465 + 0.09 * np.log10(0.01 / 66 / 3e-4))
    assert likeness.same_among(1000) < likeness.same_among(100) < likeness.same


def test_hidden_for_a_moment_behind_a_doubtful_detection_is_one_person():
    """A hand leaves half of the face to see: a smaller, doubtful face beside it, which opens a way of its own."""
    tracker = Tracker(frame_rate=24)
    half = replace(face(118, 92, 24), score=0.22)
    for frame in range(0, 12, 3):
        assert tracker.update(frame, [face(100, 80)]) == [1]
    for frame in (12, 15):
        assert tracker.update(frame, [half]) == [0]
    for frame in range(18, 27, 3):
        tracker.update(frame, [face(112, 88, 30)])
    (one,) = tracker.finish(27)
    assert frames_of(one) == list(range(27))
    assert all(any(contains(x.face.box, half.box) for x in one.faces if x.frame == frame) for frame in (12, 15))


def test_united_covers_what_all_cover():
    a, b = face(50, 50), face(60, 50)
    ways = (
        [TrackedFace(3, a, Provenance.EXTRAPOLATED), TrackedFace(1, a, Provenance.DETECTED)],
        [TrackedFace(3, b, Provenance.DETECTED)],
    )
    first, third = united(*ways)
    assert first.face is a
    assert third.provenance is Provenance.DETECTED and third.face.landmarks is b.landmarks
    assert third.face.box == Box(a.box.x1, a.box.y1, b.box.x2, b.box.y2)


def test_who_may_be_in_two_places_has_no_landmarks_of_one():
    a, b = face(50, 50), face(75, 50)
    (both,) = united([TrackedFace(3, a, Provenance.EXTRAPOLATED)], [TrackedFace(3, b, Provenance.DETECTED)])
    assert both.face.box == Box(a.box.x1, a.box.y1, b.box.x2, b.box.y2)
    assert both.face.landmarks is None, "a swap would leave the other place open"


def test_what_does_not_fit():
    tracker = Tracker(frame_rate=24, likeness=LIKENESS[DRIVER])
    with pytest.raises(FaceError, match="2 faces"):
        tracker.update(0, [face(50, 50), face(150, 50)], embeddings=ONE[None], qualities=[1.0])
    with pytest.raises(ValueError, match="likeness"):
        Tracker(frame_rate=24).update(0, [face(50, 50)], embeddings=ONE[None], qualities=[1.0])
    nothing = np.full((1, 8), np.nan, np.float32)
    assert tracker.update(0, [face(50, 50)], embeddings=nothing, qualities=[0.0]) == [1]
    assert tracker.finish(1)[0].identity is None


class TestMerge:
    LIKENESS = Likeness(0.55, 0.45)

    def groups(self, vectors, apart=()):
        return merge(
            [Running.of(vector, 0.9) for vector in vectors],
            self.LIKENESS,
            lambda a, b: (a, b) in apart or (b, a) in apart,
        )

    def test_near_ones_are_one(self):
        third = np.eye(8, dtype=np.float32)[2]
        assert self.groups([ONE, TWO, between(ONE, third, 0.3)]) == [[0, 2], [1]]
        assert self.groups([ONE, between(ONE, TWO, 0.55)]) == [[0], [1]]
        assert self.groups([]) == []

    def test_who_is_apart_stays_apart(self):
        assert self.groups([ONE, between(ONE, TWO, 0.1)], apart={(0, 1)}) == [[0], [1]]

    def test_of_two_look_alikes_who_returns_may_be_either(self):
        left, right = between(ONE, TWO, 0.02), between(ONE, -TWO, 0.02)
        assert self.groups([left, right, ONE], apart={(0, 1)}) == [[0], [1], [2]]
        far = between(ONE, -TWO, 0.4)
        assert self.groups([left, far, ONE], apart={(0, 1)}) == [[0, 2], [1]]

    @settings(max_examples=50, deadline=None)
    @given(st.integers(0, 2**32 - 1), st.integers(1, 14))
    def test_always_a_partition_that_holds_what_it_must(self, seed, count):
        rng = np.random.default_rng(seed)
        vectors = rng.standard_normal((count, 3)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        pairs = list(itertools.combinations(range(count), 2))
        apart = {pair for pair in pairs if rng.random() < 0.2}
        groups = self.groups(vectors, apart)
        assert sorted(number for group in groups for number in group) == list(range(count))
        assert not any({*pair} <= {*group} for pair in apart for group in groups)
        assert groups == self.groups(vectors, apart)


sightings = st.dictionaries(
    st.integers(0, 60),
    st.lists(
        st.tuples(
            st.builds(face, st.floats(0, 300), st.floats(0, 200), st.floats(20, 80), st.floats(0, 1)),
            st.integers(0, 2),
            st.floats(0, 1),
        ),
        max_size=4,
    ),
    max_size=20,
)


@settings(max_examples=60, deadline=None)
@given(sightings, st.sets(st.integers(1, 60), max_size=2))
def test_whatever_embeddings_say_only_adds(found, cuts):
    tracker, alone = Tracker(frame_rate=24, likeness=LIKENESS[DRIVER]), Tracker(frame_rate=24)
    for frame in sorted(found.keys() | cuts):
        faces = [one for one, _, _ in found.get(frame, [])]
        vectors = np.array([np.eye(3)[who] for _, who, _ in found.get(frame, [])], np.float32).reshape(-1, 3)
        qualities = [quality for _, _, quality in found.get(frame, [])]
        told = tracker.update(frame, faces, cut=frame in cuts, embeddings=vectors, qualities=qualities)
        alone.update(frame, faces, cut=frame in cuts)
        assert len({number for number in told if number}) == sum(number > 0 for number in told), "nobody is there twice"
    tracks = tracker.finish(61)
    for one in tracks:
        seen = frames_of(one)
        assert seen == sorted(set(seen)) and seen[0] >= 0 and seen[-1] < 61
    assert len({one.id for one in tracks}) == len(tracks)
    covered = [(seen.frame, seen.face.box) for one in tracks for seen in one.faces]
    for frame, faces in found.items():
        for one, _, _ in faces:
            assert one.score < START_SCORE or any(at == frame and contains(box, one.box) for at, box in covered)
    for one in alone.finish(61):
        for seen in one.faces:
            assert any(at == seen.frame and contains(box, seen.face.box) for at, box in covered)
