"""Tracking only adds coverage: what was found stays, gaps are filled, ends are prolonged, cuts are kept."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masquerade.errors import FaceError
from masquerade.identity.tracker import START_SCORE, Tracker, association_cost
from masquerade.types import Box, Face, Provenance, Track

RATE = 30.0


def face(x: float, y: float, size: float = 40.0, score: float = 0.9) -> Face:
    """A face around (x, y), with landmarks at fixed places in its box."""
    points = np.array([[-0.2, -0.1], [0.2, -0.1], [0, 0.1], [-0.15, 0.3], [0.15, 0.3]])
    box = Box(x - size / 2, y - size * 0.6, x + size / 2, y + size * 0.6)
    return Face(box, score, (points * [size, size * 1.2] + [x, y]).astype(np.float32))


def track(sightings: dict[int, list[Face]], frames: int, *, cuts: set[int] = frozenset(), **options) -> list[Track]:
    tracker = Tracker(frame_rate=RATE, **options)
    for frame in sorted(sightings.keys() | cuts):
        tracker.update(frame, sightings.get(frame, []), cut=frame in cuts)
    return tracker.finish(frames)


def contains(outer: Box, inner: Box) -> bool:
    return outer.x1 <= inner.x1 and outer.y1 <= inner.y1 and outer.x2 >= inner.x2 and outer.y2 >= inner.y2


def frames_of(one: Track) -> list[int]:
    return [seen.frame for seen in one.faces]


def test_a_gap_is_filled_along_the_way():
    found = {10: [face(100, 80)], 30: [face(140, 90, 48)]}
    (one,) = track(found, 100)
    by_frame = {seen.frame: seen for seen in one.faces}
    for frame in range(11, 30):
        seen = by_frame[frame]
        share = (frame - 10) / 20
        assert seen.provenance is Provenance.INTERPOLATED
        assert all(type(edge) is float for edge in seen.face.box)
        between = face(100 + 40 * share, 80 + 10 * share, 40 + 8 * share)
        assert contains(seen.face.box, between.box)
        assert seen.face.box.width < 1.4 * between.box.width
        assert seen.face.landmarks == pytest.approx(between.landmarks, abs=0.2)
    assert by_frame[10].face is found[10][0] and by_frame[30].face is found[30][0]
    assert by_frame[10].provenance is Provenance.DETECTED


def test_ends_are_prolonged_along_the_motion_and_grow():
    found = {frame: [face(100 + 4 * frame, 80)] for frame in range(20, 40)}
    (one,) = track(found, 200)
    assert frames_of(one) == list(range(20 - 12, 40 + 12))
    for seen in one.faces:
        truth = face(100 + 4 * seen.frame, 80)
        if seen.provenance is Provenance.EXTRAPOLATED:
            assert contains(seen.face.box.scaled(1.15), truth.box)
        assert math.dist(seen.face.box.centre, truth.box.centre) < 10


def test_nothing_reaches_beyond_the_video():
    (one,) = track({0: [face(50, 50)], 3: [face(50, 50)]}, 5)
    assert frames_of(one) == [0, 1, 2, 3, 4]


def test_one_frame_is_enough():
    (one,) = track({50: [face(50, 50, score=0.5)]}, 100)
    assert frames_of(one) == list(range(38, 63))


def test_a_weak_detection_continues_a_track_or_leads_to_one_but_starts_none():
    assert track({frame: [face(50, 50, score=0.22)] for frame in range(20)}, 50) == []

    (led,) = track({**{f: [face(50, 50, score=0.22)] for f in range(60, 90)}, 90: [face(50, 50)]}, 200)
    assert frames_of(led)[0] == 60 - 12 and led.faces[12].provenance is Provenance.DETECTED

    (kept,) = track({20: [face(50, 50)], **{f: [face(50, 50, score=0.25)] for f in range(21, 60)}}, 200)
    assert sum(seen.provenance is Provenance.DETECTED for seen in kept.faces) == 40

    assert all(len(one.faces) == 25 for one in track({50: [face(50, 50), face(300, 50, score=0.22)]}, 100))
    assert track({50: [face(50, 50, score=0.19)]}, 100) == []


def test_ids_are_told_as_they_come():
    tracker = Tracker(frame_rate=RATE)
    assert tracker.update(0, [face(50, 50, score=0.22), face(200, 50)]) == [0, 1]
    assert tracker.update(1, [face(200, 50), face(50, 50), face(400, 50, score=0.1)]) == [1, 2, 0]
    assert tracker.update(2, [face(50, 50, score=0.22), face(200, 50)]) == [2, 1]
    one, two = tracker.finish(3)
    assert (one.id, two.id) == (1, 2)
    assert frames_of(two) == [0, 1, 2]


def test_no_track_crosses_a_cut():
    found = {frame: [face(100, 80)] for frame in range(0, 60, 2)}
    tracks = track(found, 60, cuts={30})
    assert [(min(frames_of(one)), max(frames_of(one))) for one in tracks] == [(0, 29), (30, 59)]


def test_a_scene_without_faces_between_two_cuts():
    tracks = track({5: [face(100, 80)], 40: [face(100, 80)]}, 60, cuts={10, 35})
    assert [frames_of(one) for one in tracks] == [list(range(10)), list(range(35, 53))]


def test_lost_for_long_is_another_track():
    tracks = track({0: [face(100, 80)], 150: [face(100, 80)]}, 300)
    assert [len(one.faces) for one in tracks] == [13, 25]


def test_back_where_it_was_after_two_seconds_is_the_same():
    (one,) = track({0: [face(100, 80)], 60: [face(110, 80)]}, 100)
    assert frames_of(one) == list(range(73))


def test_two_who_cross_keep_their_ways():
    """They pass each other at different speeds; one is hidden by the other for a few frames."""

    def left(frame: int) -> Face:
        return face(60 + 5 * frame, 100)

    def right(frame: int) -> Face:
        return face(460 - 4 * frame, 112)

    found = {}
    for frame in range(90):
        hidden = abs(left(frame).box.centre[0] - right(frame).box.centre[0]) < 25
        found[frame] = [left(frame)] if hidden else [right(frame), left(frame)]
    a, b = track(found, 90)
    for one, way in ((a, right), (b, left)):
        assert frames_of(one) == list(range(90))
        assert all(math.dist(seen.face.box.centre, way(seen.frame).box.centre) < 15 for seen in one.faces)


def test_two_side_by_side_do_not_change_places():
    rng = np.random.default_rng(5)
    found = {}
    for frame in range(0, 90, 3):
        faces = [face(100 + rng.normal(0, 2), 80), face(150 + rng.normal(0, 2), 80)]
        found[frame] = faces[:: rng.choice([1, -1])][: rng.choice([1, 2, 2])]
    tracks = track(found, 90)
    assert len(tracks) == 2
    for one, x in zip(sorted(tracks, key=lambda one: one.faces[0].face.box.x1), (100, 150), strict=True):
        assert all(abs(seen.face.box.centre[0] - x) < 12 for seen in one.faces)


def test_camera_motion_is_taken_out():
    """A camera pans 25 pixels a frame over a face that stands still and is seen now and then."""
    rate, pan = 10.0, 25.0
    tracker = Tracker(frame_rate=rate)
    motion = np.array([[1, 0, -pan], [0, 1, 0]])
    truth = {frame: face(900 - pan * frame, 100) for frame in range(30)}
    for frame, one in truth.items():
        tracker.update(frame, [one] if frame in (4, 5, 14, 22) else [], motion=motion)
    (one,) = tracker.finish(30)
    assert frames_of(one) == list(range(0, 27))
    for seen in one.faces:
        assert seen.face.box.centre == pytest.approx(truth[seen.frame].box.centre)


def test_camera_motion_between_looks_is_shared_out():
    tracker = Tracker(frame_rate=RATE)
    tracker.update(0, [face(200, 100)])
    tracker.update(4, [], motion=np.array([[2, 0, 8], [0, 2, 0.0]]))
    tracker.update(8, [face(412, 200, 80)], motion=np.array([[1, 0, 4], [0, 1, 0.0]]))
    (one,) = tracker.finish(9)
    by_frame = {seen.frame: seen.face.box for seen in one.faces}
    assert by_frame[4].centre == pytest.approx((408, 200))
    assert by_frame[6].centre == pytest.approx((410, 200))
    assert by_frame[4].width == pytest.approx(80, rel=0.15)


def test_outside_the_picture_stays_outside():
    found = {frame: [face(30 - 6 * frame, 50)] for frame in range(10)}
    (one,) = track(found, 30)
    assert one.faces[9].face is found[9][0] and found[9][0].box.x1 < -40
    assert one.faces[-1].face.box.x2 < found[9][0].box.x2


def test_without_landmarks():
    found = {0: [face(50, 50)], 4: [replace(face(50, 50), landmarks=None)], 8: [face(50, 50)]}
    (one,) = track(found, 9)
    assert len(one.faces) == 9
    assert one.faces[2].face.landmarks is None and one.faces[6].face.landmarks is None


@pytest.mark.parametrize("box", [Box(0, 0, math.nan, 1), Box(0, 0, math.inf, 1), Box(3, 3, 3, 5), Box(5, 3, 3, 5)])
def test_bad_boxes(box):
    with pytest.raises(FaceError, match="box"):
        Tracker(frame_rate=RATE).update(0, [Face(box, 0.9)])


def test_frames_ascend():
    tracker = Tracker(frame_rate=RATE)
    tracker.update(4, [])
    with pytest.raises(ValueError, match="frame 4"):
        tracker.update(4, [])
    with pytest.raises(ValueError, match="frame 4"):
        tracker.finish(4)
    with pytest.raises(ValueError, match="rate"):
        Tracker(frame_rate=0)


def test_cost_by_hand():
    a, b = np.array([[10.0, 10, 8, 8]]), np.array([[14.0, 10, 8, 8]])
    # Half a face apart, a third in common, one second ago.
    assert association_cost(a, b, np.array([1.0])) == pytest.approx(np.array([[0.5 + 2 / 3 + 0.3]]))
    assert association_cost(a, a, np.array([0.0])) == pytest.approx(np.zeros((1, 1)))


sightings = st.dictionaries(
    st.integers(0, 120),
    st.lists(
        st.builds(
            face,
            st.floats(-60, 400),
            st.floats(-60, 300),
            st.floats(4, 90),
            st.floats(0, 1),
        ),
        max_size=4,
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(sightings, st.sets(st.integers(1, 120), max_size=3))
def test_only_adds(found, cuts):
    frames = 125
    tracks = track(found, frames, cuts=cuts)

    for frame, faces in found.items():
        covered = [seen.face.box for one in tracks for seen in one.faces if seen.frame == frame]
        for one in faces:
            assert one.score < START_SCORE or any(contains(box, one.box) for box in covered)

    edges = [0, *sorted(cuts), frames]
    for one in tracks:
        seen = frames_of(one)
        assert seen == list(range(seen[0], seen[-1] + 1)), "no gap, no frame twice"
        assert seen[0] >= 0 and seen[-1] < frames
        assert sum(a <= seen[0] < b and a <= seen[-1] < b for a, b in pairwise(edges)) == 1
        detected = [x for x in one.faces if x.provenance is Provenance.DETECTED]
        assert all(any(contains(x.face.box, y.box) for y in found[x.frame]) for x in detected)
        assert max(x.face.score for x in detected) >= START_SCORE
    assert [one.id for one in tracks] == sorted({one.id for one in tracks})
    used = [(x.frame, id(x.face.landmarks)) for one in tracks for x in one.faces if x.provenance is Provenance.DETECTED]
    assert len(used) == len(set(used)), "a face belongs to one track"


@settings(max_examples=60, deadline=None)
@given(sightings, st.sampled_from([0.25, 2.0, 8.0]))
def test_scale_does_not_matter(found, factor):
    def scaled(one: Face) -> Face:
        return Face(Box(*(edge * factor for edge in one.box)), one.score, one.landmarks * np.float32(factor))

    plain = track(found, 125)
    large = track({frame: [scaled(one) for one in faces] for frame, faces in found.items()}, 125)
    assert len(plain) == len(large)
    for a, b in zip(plain, large, strict=True):
        assert [(x.frame, x.provenance) for x in a.faces] == [(x.frame, x.provenance) for x in b.faces]
        for x, y in zip(a.faces, b.faces, strict=True):
            assert [*y.face.box] == pytest.approx([factor * edge for edge in x.face.box])


@settings(max_examples=30, deadline=None)
@given(sightings)
def test_the_same_again(found):
    assert [frames_of(one) for one in track(found, 125)] == [frames_of(one) for one in track(found, 125)]
