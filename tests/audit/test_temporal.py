"""M_tc against loops, and on a clip whose every face is known."""

from itertools import combinations, pairwise

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masquerade.audit.temporal import consistency, evenly, people_over_time
from masquerade.faces.align import template
from masquerade.faces.embed import open_encoder
from masquerade.plan import Person, Plan, Source
from masquerade.types import Box, Face, Provenance, TrackedFace
from tests.faces.embed.networks import write_linear
from tests.scenes import write_clip


def points_at(x):
    """Landmarks of a face whose crop begins at (x, 40) and is 112 pixels wide."""
    return template(112) + np.array([x, 40], np.float32)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_consistency_by_hand():
    rng = np.random.default_rng(0)
    people = [unit(rng.normal(size=(frames, 6))) for frames in (10, 1, 4)]
    found = consistency(people)
    steps = [1 - a @ b for vectors in people for a, b in pairwise(vectors)]
    pairs = [1 - a @ b for vectors in people for a, b in combinations(vectors, 2)]
    assert found.people == 2
    assert (found.steps.mean, found.steps.std) == pytest.approx((np.mean(steps), np.std(steps)))
    assert (found.pairs.mean, found.pairs.std) == pytest.approx((np.mean(pairs), np.std(pairs)))
    assert (found.steps.count, found.pairs.count) == (9 + 3, 45 + 6)
    assert consistency(people[1:2]) is None and consistency([]) is None


def test_a_slow_drift_shows_in_the_pairs():
    angles = np.linspace(0, np.pi / 2, 10)
    found = consistency([np.stack([np.cos(angles), np.sin(angles)], axis=1)])
    assert found.steps.mean == pytest.approx(1 - np.cos(np.pi / 18))
    assert found.steps.std == pytest.approx(0, abs=1e-9)
    assert found.pairs.mean > 10 * found.steps.mean


@given(st.integers(0, 400), st.integers(2, 20))
def test_evenly(count, samples):
    taken = evenly(count, samples)
    assert len(taken) == min(count, samples) and taken == sorted(set(taken))
    if count:
        assert taken[0] == 0
        assert count == 1 or taken[-1] == count - 1
        assert count < 2 or np.ptp(np.diff(taken)) <= 1


def test_people_of_a_clip_are_embedded_where_the_plan_has_them(tmp_path):
    rng = np.random.default_rng(1)
    pictures = [np.kron(rng.integers(0, 256, (6, 8, 3)), np.ones((32, 32, 1))).astype(np.uint8) for _ in range(14)]
    clip = write_clip(tmp_path / "clip.mp4", pictures)
    with av.open(str(clip)) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]

    def tracked(frame, x, provenance=Provenance.DETECTED, landmarks=True):
        points = points_at(x) if landmarks else None
        return TrackedFace(frame, Face(Box(x, 40, x + 112, 152), 0.9, points), provenance)

    guessed = tracked(3, 100, Provenance.INTERPOLATED)
    plan = Plan(
        made_by="a test",
        source=Source(name="clip.mp4", sha256="0" * 64, kind="video", width=256, height=192, frames=14),
        detector="none",
        people=(
            Person(id=1, faces=tuple(tracked(n, 10) for n in range(14))),
            Person(id=2, faces=(tracked(2, 100), guessed, tracked(5, 101), tracked(6, 9, landmarks=False))),
            Person(id=3, faces=(guessed,)),
        ),
    )
    write_linear(tmp_path / "net.onnx", pool=8)
    encoder = open_encoder(tmp_path / "net.onnx", kind="arcface", threads=1)
    told = []
    [first, again] = people_over_time(clip, plan, [encoder, encoder], lambda *at: told.append(at))
    assert told[-1] == ("embed", 14, 14)
    assert [vectors.shape for vectors in first] == [(10, 8), (2, 8)], "nobody else was detected"
    for vectors, others in zip(first, again, strict=True):
        assert np.array_equal(vectors, others)
    for i, frame in enumerate(np.linspace(0, 13, 10).round().astype(int)):
        assert first[0][i] @ encoder.embed(decoded[frame], [points_at(10)])[0] > 0.999
    [large] = people_over_time(clip, plan, [encoder], min_face=112)
    assert [len(vectors) for vectors in large] == [10, 2]
    assert people_over_time(clip, plan, [encoder], min_face=113) == [[]]
    assert first[1][1] @ encoder.embed(decoded[5], [points_at(101)])[0] > 0.999
