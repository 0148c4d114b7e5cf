"""Faces between two looks, on a clip whose truth is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masquerade.pipeline import analyze
from masquerade.pipeline.refine import refine, steadied
from masquerade.plan import Person, Plan, Source
from masquerade.types import Box, Face, Provenance, TrackedFace

from ..scenes import background, placed, write_clip


def path_of(frame):
    """Fast swings, which no straight line between two looks follows."""
    return round(180 + 60 * np.sin(frame / 2.2)), round(40 + 25 * np.cos(frame / 1.7))


@pytest.mark.network
def test_landmarks_between_looks_come_from_their_own_frame(tmp_path, detector, astronaut):
    pictures, truth = zip(*(placed(astronaut, 0.7, *path_of(i), 640, 360) for i in range(40)), strict=True)
    clip = write_clip(tmp_path / "clip.mp4", pictures)
    supposed = analyze(clip, detector)
    refined = refine(clip, supposed, detector)

    def errors(plan):
        (person,) = plan.people
        at = np.array([tracked.face.landmarks.mean(axis=0) for tracked in person.faces])
        there = np.array([truth[tracked.frame].centre for tracked in person.faces])
        away = at - there
        return np.linalg.norm(away - np.median(away, axis=0), axis=1)

    assert np.percentile(errors(supposed), 90) > 6
    assert np.percentile(errors(refined), 90) < 4
    (before,), (after,) = supposed.people, refined.people
    assert [t.frame for t in before.faces] == [t.frame for t in after.faces]
    known = [t.provenance for t in after.faces]
    assert known.count(Provenance.DETECTED) > 0.95 * len(known)


@pytest.mark.network
def test_a_face_that_is_not_there_stays_supposed(tmp_path, detector, astronaut):
    pictures = [placed(astronaut, 0.7, 100, 20, 640, 360)[0] for _ in range(30)]
    for picture in pictures[12:18]:
        picture[:] = 60  # something passes before the camera
    clip = write_clip(tmp_path / "clip.mp4", pictures)
    plan = refine(clip, analyze(clip, detector), detector)
    hidden = [t.provenance for p in plan.people for t in p.faces if 12 <= t.frame < 18]
    assert Provenance.DETECTED not in hidden


class Finds:
    """A detector that finds the same face everywhere, wherever it looks."""

    name = "finds"

    def __init__(self, face):
        self._face = face

    def detect(self, images):
        return [[self._face] for _ in images]


def test_nobody_supposed_takes_the_face_of_who_was_seen_beside_them(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", [background(128, 128)] * 3)
    points = np.array([[40, 40], [60, 40], [50, 50], [42, 60], [58, 60]], np.float32)
    seen, hidden = Face(Box(30, 30, 70, 80), 0.9, points), Face(Box(48, 30, 88, 80), 0.9, points + np.float32(18))
    people = tuple(
        Person(id=number, faces=tuple(TrackedFace(i, face, known) for i in range(3)))
        for number, face, known in ((1, seen, Provenance.DETECTED), (2, hidden, Provenance.EXTRAPOLATED))
    )
    source = Source(name="clip.mp4", sha256="0" * 64, kind="video", width=128, height=128, frames=3)
    plan = Plan(made_by="a test", source=source, detector="finds", people=people)
    one, other = refine(clip, plan, Finds(seen)).people
    assert [t.face.box for t in one.faces] == [seen.box] * 3
    assert [(t.face.box, t.provenance) for t in other.faces] == [(hidden.box, Provenance.EXTRAPOLATED)] * 3
    (alone,) = refine(clip, plan.model_copy(update={"people": people[1:]}), Finds(seen)).people
    assert alone.faces[0].provenance is Provenance.DETECTED


@given(st.integers(1, 12), st.floats(-5, 5), st.floats(-5, 5))
def test_what_speeds_up_evenly_stays_as_it_is(frames, dx, dy):
    t = np.arange(frames)[:, None, None]
    way = t * np.array([dx, dy]) + t**2 * np.array([dy, dx]) / 10 + np.arange(10).reshape(1, 5, 2)
    np.testing.assert_allclose(steadied(way), way, atol=1e-9)


def test_a_tremble_becomes_smaller():
    noise = np.random.default_rng(0).normal(size=(200, 5, 2))
    # The variance that is left is the middle weight of the five: 17 / 35.
    assert abs(steadied(noise)[2:-2].var() - 17 / 35) < 0.05
