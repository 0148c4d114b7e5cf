import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masquerade.errors import PlanError
from masquerade.plan import ManualBox, Person, Plan, Scope, Source, Span, Treatment
from masquerade.types import Box, Face, Provenance, TrackedFace

SOURCE = Source(name="clip.mp4", sha256="ab" * 32, kind="video", width=640, height=360, frames=100)

numbers = st.floats(-2000, 2000).map(lambda v: round(v, 2))


@st.composite
def faces(draw):
    x, y = draw(numbers), draw(numbers)
    w, h = draw(st.floats(1, 500).map(lambda v: round(v, 2))), draw(st.floats(1, 500).map(lambda v: round(v, 2)))
    points = draw(st.none() | st.lists(st.tuples(numbers, numbers), min_size=5, max_size=5))
    landmarks = None if points is None else np.array(points, np.float32)
    return Face(Box(x, y, round(x + w, 2), round(y + h, 2)), round(draw(st.floats(0, 1)), 3), landmarks)


@st.composite
def people(draw):
    frames = sorted(draw(st.sets(st.integers(0, 99), min_size=1, max_size=5)))
    return tuple(TrackedFace(f, draw(faces()), draw(st.sampled_from(Provenance))) for f in frames)


def plan_of(*tracks, **rest):
    return Plan(
        made_by="test",
        source=SOURCE,
        detector="none",
        people=tuple(
            Person(id=i, faces=track, apparent=(0.3, 1.0) if i % 2 else None) for i, track in enumerate(tracks, 1)
        ),
        **rest,
    )


@given(st.lists(people(), max_size=3))
def test_what_is_written_is_what_is_read(tmp_path_factory, tracks):
    path = tmp_path_factory.mktemp("plan") / "plan.json"
    plan = plan_of(*tracks, scope=Scope(spans=(Span(start=1, end=2.5),), regions=(Box(0, 0, 10, 10),), min_face=12))
    path.write_text(plan.dumps(), encoding="utf-8")
    again = Plan.load(path)
    assert again.dumps() == plan.dumps()
    for person, before in zip(again.people, tracks, strict=True):
        for a, b in zip(person.faces, before, strict=True):
            assert (a.frame, a.provenance) == (b.frame, b.provenance)
            assert list(a.face.box) == pytest.approx(list(b.face.box), abs=0.006)
            if b.face.landmarks is None:
                assert a.face.landmarks is None
            else:
                np.testing.assert_allclose(a.face.landmarks, b.face.landmarks, atol=0.006)


def test_one_face_stands_on_one_line():
    track = tuple(TrackedFace(i, Face(Box(1, 2, 3, 4), 0.5), Provenance.DETECTED) for i in range(7))
    assert sum('"frame"' in line for line in plan_of(track).dumps().splitlines()) == 7


def test_a_person_may_write_the_short_form(tmp_path):
    plan = json.loads(plan_of().dumps())
    plan["people"] = [{"id": 4, "faces": [{"frame": 3, "box": [1, 2, 30, 40]}]}]
    plan["manual"] = [{"box": [5, 5, 20, 20], "start": 1.5}]
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan))
    read = Plan.load(path)
    assert read.people[0].faces[0].provenance is Provenance.MANUAL
    assert read.manual[0] == ManualBox(box=Box(5, 5, 20, 20), start=1.5)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda p: p.update(format="masquerade-plan/9"), "format"),
        (lambda p: p.update(colour="red"), "colour"),
        (lambda p: p["treatment"].update(method="mosaic"), "method"),
        (lambda p: p["people"][0]["faces"][0].update(box=[3, 2, 1, 4]), "no area"),
        (lambda p: p["people"][0]["faces"][0].update(box=[float("nan"), 2, 3, 4]), "finite"),
        (lambda p: p["people"][0]["faces"][0].update(landmarks=[[1, 1]]), "landmarks"),
        (lambda p: p["people"][0]["faces"][0].update(frame=5000), "beyond"),
        (lambda p: p["people"].append(p["people"][0]), "same id"),
        (lambda p: p["people"][0]["faces"].append(p["people"][0]["faces"][0]), "ascend"),
        (lambda p: p["people"][0]["faces"][0].update(box=[0, 0, 1e30, 9]), "not finite"),
        (lambda p: p.update(manual=[{"box": [1, 1, 9, 9], "start": 5, "end": 2}]), "before it starts"),
        (lambda p: p.update(scope={"spans": [{"start": 5, "end": 2}]}), "before it starts"),
    ],
)
def test_what_a_plan_cannot_mean_is_refused_with_a_reason(tmp_path, change, says):
    plan = json.loads(plan_of((TrackedFace(3, Face(Box(1, 2, 3, 4), 0.5), Provenance.DETECTED),)).dumps())
    change(plan)
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan))
    with pytest.raises(PlanError, match=says) as caught:
        Plan.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"null"])
def test_what_is_no_plan_is_refused(tmp_path, content):
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    with pytest.raises(PlanError, match="not a valid Plan"):
        Plan.load(path)


def test_a_missing_plan_is_named(tmp_path):
    with pytest.raises(PlanError, match=r"gone\.json: no such Plan"):
        Plan.load(tmp_path / "gone.json")


def test_scope():
    face = TrackedFace(0, Face(Box(100, 100, 120, 130), 1.0), Provenance.DETECTED)
    assert Scope().holds(face, 3.0)
    assert Scope(spans=(Span(start=2, end=3),)).holds(face, 3.0)
    assert not Scope(spans=(Span(start=2, end=3),)).holds(face, 3.01)
    assert Scope(spans=(Span(start=2, end=3),)).holds(face, None), "a photo is at no time"
    assert Scope(regions=(Box(0, 0, 101, 101),)).holds(face, 0), "a face that only touches a region is replaced"
    assert not Scope(regions=(Box(0, 0, 99, 99),)).holds(face, 0)
    assert Scope(min_face=30).holds(face, 0)
    assert not Scope(min_face=31).holds(face, 0)
    manual = TrackedFace(0, face.face, Provenance.MANUAL)
    assert Scope(min_face=31).holds(manual, 0), "what a person marked is never too small"


def test_treatment_defaults_are_those_documented():
    assert Treatment().model_dump() == {"method": "blur", "shape": "ellipse", "margin": 0.3, "color": [0, 0, 0]}
