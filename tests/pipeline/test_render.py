"""Rendering by hand-made Plans: what is covered, what is not, and what is refused. No detector, no weights."""

import json
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from masquerade.errors import OutputError, PlanError
from masquerade.media import sha256
from masquerade.pipeline.render import render
from masquerade.plan import ManualBox, Person, Plan, Scope, Source, Span, Treatment
from masquerade.types import Box, Face, Provenance, TrackedFace

FACE = Box(40, 30, 80, 80)
INSIDE = np.s_[40:70, 50:70]
"""Rows and columns well inside FACE."""


def noise(seed: int, width=160, height=120):
    """A picture in which any change shows: blocks of random colours, which also survive a video encoder."""
    blocks = np.random.default_rng(seed).integers(30, 225, (height // 8, width // 8, 3), np.uint8)
    return np.kron(blocks, np.ones((8, 8, 1), np.uint8))


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(noise(0)).save(path)
    return path


@pytest.fixture
def clip(tmp_path):
    """20 frames at 10 a second."""
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for i in range(20):
            frame = av.VideoFrame.from_ndarray(noise(i))
            frame.pts, frame.time_base = i, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def frames_of(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]


def plan_for(path, people=(), **rest):
    video = path.suffix == ".mp4"
    source = Source(
        name=path.name,
        sha256=sha256(path),
        kind="video" if video else "image",
        width=160,
        height=120,
        frames=20 if video else 1,
    )
    return Plan(made_by="test", source=source, detector="none", people=people, **rest)


def person(frames, action="replace", number=1):
    faces = tuple(TrackedFace(f, Face(FACE, 0.9), Provenance.DETECTED) for f in frames)
    return Person(id=number, action=action, faces=faces)


@pytest.mark.parametrize("method", ["blur", "pixelate", "solid"])
def test_a_face_in_a_photo_is_gone_and_nothing_else_is_touched(photo, tmp_path, method):
    out = tmp_path / "out.png"
    treatment = Treatment(method=method, color=[255, 0, 255])
    report = render(photo, plan_for(photo, (person([0]),), treatment=treatment), out)
    before, after = np.array(Image.open(photo)).astype(int), np.array(Image.open(out)).astype(int)
    assert np.abs(before - after)[INSIDE].mean() > 15
    changed = np.argwhere((before != after).any(axis=2))
    (top, left), (bottom, right) = changed.min(axis=0), changed.max(axis=0)
    assert left > 10, "a margin of 0.3 and its feather reach no farther"
    assert right < 110
    assert top >= 0
    assert bottom < 115
    assert (before[:, 110:] == after[:, 110:]).all()
    if method == "solid":
        assert (after[INSIDE] == [255, 0, 255]).all()
    assert (report.people, dict(report.replaced), report.kept) == (1, {"detected": 1}, 0)


def test_a_video_is_covered_in_the_frames_of_the_plan_only(clip, tmp_path):
    out = tmp_path / "out.mp4"
    report = render(clip, plan_for(clip, (person(range(5, 15)),), treatment=Treatment(method="solid")), out)
    for i, (before, after) in enumerate(zip(frames_of(clip), frames_of(out), strict=True)):
        dark = after[INSIDE].mean() < 12
        assert dark == (5 <= i < 15), i
        assert np.abs(before - after)[:, 112:].mean() < 6, "the rest is only encoded again"
    assert report.frames == 20
    assert dict(report.replaced) == {"detected": 10}


def test_the_same_plan_gives_the_same_bytes(clip, tmp_path):
    plan = plan_for(clip, (person(range(20)),))
    for name in ("a.mp4", "b.mp4"):
        render(clip, plan, tmp_path / name)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_scope_manual_boxes_and_people_who_are_kept(clip, tmp_path):
    out = tmp_path / "out.mp4"
    elsewhere = Box(100, 30, 140, 80)
    plan = plan_for(
        clip,
        (person(range(20)), person(range(20), action="keep", number=2)),
        treatment=Treatment(method="solid"),
        scope=Scope(spans=(Span(start=0, end=0.5),)),
        manual=(ManualBox(box=elsewhere, start=1.0, end=1.5),),
    )
    report = render(clip, plan, out)
    frames = frames_of(out)
    covered = [i for i, frame in enumerate(frames) if frame[INSIDE].mean() < 12]
    by_hand = [i for i, frame in enumerate(frames) if frame[40:70, 110:130].mean() < 12]
    assert covered == list(range(6)), "where a kept and a replaced face overlap, the replaced one is covered"
    assert by_hand == list(range(10, 16))
    assert report.kept == 14 + 20
    assert dict(report.replaced) == {"detected": 6, "manual": 6}


def test_a_photo_has_no_time_that_could_leave_its_faces_open(photo, tmp_path):
    out = tmp_path / "out.png"
    plan = plan_for(
        photo,
        (person([0]),),
        treatment=Treatment(method="solid"),
        scope=Scope(spans=(Span(start=12, end=20),)),
        manual=(ManualBox(box=Box(100, 30, 140, 80), start=1.0),),
    )
    assert dict(render(photo, plan, out).replaced) == {"detected": 1, "manual": 1}
    after = np.array(Image.open(out))
    assert after[INSIDE].max() == after[40:70, 110:130].max() == 0


def test_a_face_wholly_outside_or_partly_outside(photo, tmp_path):
    out = tmp_path / "out.png"
    faces = [Box(-500, -500, -400, -400), Box(140, 100, 200, 170)]
    people = tuple(
        Person(id=i, faces=(TrackedFace(0, Face(box, 1.0), Provenance.MANUAL),)) for i, box in enumerate(faces, 1)
    )
    render(photo, plan_for(photo, people, treatment=Treatment(method="solid")), out)
    after = np.array(Image.open(out))
    assert (after[105:, 145:] == 0).all()


def test_a_plan_for_another_file_is_refused_and_nothing_is_written(photo, tmp_path):
    other = tmp_path / "other.png"
    Image.fromarray(noise(1)).save(other)
    with pytest.raises(PlanError, match="another file"):
        render(other, plan_for(photo), tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()


def test_a_plan_with_another_number_of_frames_is_refused_and_nothing_is_written(clip, tmp_path):
    plan = json.loads(plan_for(clip).dumps())
    plan["source"]["frames"] = 19
    with pytest.raises(PlanError, match="19 frames, the video 20"):
        render(clip, Plan.model_validate_json(json.dumps(plan)), tmp_path / "out.mp4")
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]


def test_the_input_is_never_overwritten(clip, photo):
    for path in (clip, photo):
        before = path.read_bytes()
        with pytest.raises(OutputError, match="also the input"):
            render(path, plan_for(path), path)
        assert path.read_bytes() == before


def test_progress_is_told_of_every_frame(clip, tmp_path):
    told = []
    render(clip, plan_for(clip), tmp_path / "out.mp4", progress=lambda *args: told.append(args))
    assert told == [("render", i, 20) for i in range(1, 21)]
