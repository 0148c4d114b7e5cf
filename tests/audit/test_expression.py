import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from masquerade.audit.expression import expression_error, landmark_vectors, retention, told_apart
from masquerade.errors import InputError


def test_a_row_of_table_5_2_by_hand():
    target, source = np.array([[0.0, 0.0], [0.0, 4.0]]), np.array([[3.0, 4.0], [3.0, 4.0]])
    changed = np.array([[3.0, 0.0], [3.0, 4.0]])
    # s2t 5 and 3, s2c 4 and 0, t2c 3 and 3
    found = retention(target, source, changed)
    assert found.error == pytest.approx(((5 - 4) + (3 - 0)) / 2 / 4)
    assert found.moved == pytest.approx(3 / 4)
    assert found.ratio == 0.5 and found.pairs == 2


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100))
def test_what_changes_nothing_keeps_all_and_a_copy_of_the_source_keeps_nothing(seed, unit):
    rng = np.random.default_rng(seed)
    target, source = unit * rng.standard_normal((2, 40, 8))
    kept, copied = retention(target, source, target), retention(target, source, source)
    assert (kept.error, kept.moved, kept.ratio) == (0, 0, 1)
    assert (copied.error, copied.moved, copied.ratio) == (pytest.approx(1), pytest.approx(1), 0)


def test_who_says_the_same_of_every_result_is_right_half_of_the_time():
    rng = np.random.default_rng(0)
    target, source = rng.standard_normal((2, 4000, 16))
    found = retention(target, source, np.zeros_like(target))
    assert found.ratio == pytest.approx(0.5, abs=0.03)
    better = retention(target, source, target + 0.5 * rng.standard_normal(target.shape))
    worse = retention(target, source, target + 1.5 * rng.standard_normal(target.shape))
    assert better.ratio > worse.ratio > found.ratio
    assert better.moved < worse.moved and better.error < worse.error


def test_the_unit_of_a_measure_plays_no_part():
    t, s, c = np.random.default_rng(0).standard_normal((3, 20, 4))
    one, other = retention(t, s, c), retention(1000 * t, 1000 * s, 1000 * c)
    assert one.error == pytest.approx(other.error) and one.moved == pytest.approx(other.moved)
    assert one.ratio == other.ratio


def test_what_is_no_set_of_swaps_is_refused():
    one = np.ones((3, 2))
    for broken in ((one, one, one[:2]), (one[0], one[0], one[0]), (one[:0], one[:0], one[:0]), (one, one, one)):
        with pytest.raises(InputError):
            retention(*broken)


def test_the_baselines_know_where_the_jaw_is():
    points = np.arange(2 * 68 * 2, dtype=np.float32).reshape(2, 68, 2)
    everything, inner = landmark_vectors(points, jaw=True), landmark_vectors(points, jaw=False)
    assert everything.shape == (2, 136) and inner.shape == (2, 102)
    assert inner.tolist() == everything[:, 34:].tolist() == points[:, 17:].reshape(2, -1).tolist()
    with pytest.raises(InputError, match="68"):
        landmark_vectors(points[:, :51], jaw=True)


@given(st.integers(0, 2**32 - 1), st.floats(0.5, 2), st.floats(-np.pi, np.pi), st.booleans())
def test_laid_upon_a_face_the_baselines_know_no_place_no_size_and_no_roll(seed, scale, angle, jaw):
    rng = np.random.default_rng(seed)
    face, mean = 64 + 20 * rng.standard_normal((2, 68, 2))
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = face @ turn.T + rng.uniform(-30, 30, 2)
    seen = landmark_vectors([face, moved, mean], jaw=jaw, onto=mean)
    assert seen[0] == pytest.approx(seen[1], abs=1e-6)
    assert seen[2] == pytest.approx(mean[0 if jaw else 17 :].ravel())
    assert np.linalg.norm(seen[0] - seen[2]) <= np.linalg.norm(face - mean) + 1e-9


def test_error_of_unit_vectors():
    up, right = np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]])
    assert expression_error(up, up) == [0] and expression_error(up, -up) == [2]
    assert expression_error(up, right) == pytest.approx(np.sqrt(2))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_told_apart_is_the_area_under_roc(same, other):
    labels = [1] * len(same) + [0] * len(other)
    expected = roc_auc_score(labels, [-distance for distance in same + other])
    assert told_apart(same, other) == pytest.approx(expected)


def test_told_apart_needs_both():
    with pytest.raises(InputError):
        told_apart([], [1.0])
