"""Intervals against scipy's bootstrap and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from masquerade.audit.intervals import bootstrap, jackknife, mean_of, share_of


def uneven(seed, groups=30):
    """People with 1 to 9 frames each, and values that go with the person."""
    rng = np.random.default_rng(seed)
    people = np.repeat(np.arange(groups), rng.integers(1, 10, groups))
    return people, rng.normal(size=groups)[people] + rng.normal(scale=0.1, size=len(people))


def test_the_mean_and_its_interval_agree_with_scipy():
    people, values = uneven(0)
    found = mean_of(values, people, resamples=5000)
    sums, counts = np.bincount(people, values), np.bincount(people)
    reference = stats.bootstrap(
        (sums, counts),
        lambda s, c, axis: s.sum(axis) / c.sum(axis),
        paired=True,
        method="percentile",
        n_resamples=5000,
        rng=1,
    ).confidence_interval
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high), abs=0.03)
    assert (found.count, found.people) == (len(values), 30)


def test_frames_of_one_person_are_not_so_many_people():
    people, values = uneven(1)
    as_people, as_frames = mean_of(values, people), mean_of(values, np.arange(len(values)))
    assert as_people.high - as_people.low > 1.5 * (as_frames.high - as_frames.low)
    assert mean_of(values, np.zeros(len(values))).low is None, "one person says nothing of others"
    assert mean_of([], []) is None


def test_the_general_form_agrees_with_the_mean():
    people, values = uneven(2)
    rows = [np.flatnonzero(people == person) for person in range(30)]
    low, high = bootstrap(30, lambda drawn: values[np.concatenate([rows[i] for i in drawn])].mean(), resamples=3000)
    found = mean_of(values, people, resamples=3000)
    assert (low, high) == pytest.approx((found.low, found.high), abs=0.03)
    assert bootstrap(1, lambda drawn: 1.0) == (None, None)
    assert bootstrap(5, lambda drawn: np.nan) == (None, None)
    low, high = bootstrap(5, lambda drawn: np.nan if drawn[0] else 2.0)
    assert (low, high) == (2, 2)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=60))
def test_a_share_lies_in_its_interval(faces):
    people, hits = zip(*faces, strict=True)
    found = share_of(hits, people)
    assert found.value == pytest.approx(sum(hits) / len(hits))
    assert 0 <= found.low <= found.high <= 1
    if found.people == 1:
        assert found.high - found.low >= 0.9


def test_nothing_found_among_few_people_is_no_proof():
    """Clopper and Pearson: 1 - 0.025 ** (1 / n) for none of n."""
    none = share_of(np.zeros(300, bool), np.arange(300) % 3)
    assert (none.value, none.low) == (0, 0)
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 3))
    every = share_of(np.ones(300, bool), np.arange(300) % 3)
    assert (every.low, every.high) == (pytest.approx(0.025 ** (1 / 3)), 1)
    assert share_of(np.zeros(9, bool), np.arange(9)).high < none.high
    one = share_of([True, False], [7, 7])
    assert (one.low, one.high) == (0, 1)
    assert share_of([], []) is None


def test_the_jackknife_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(0).normal(size=20)
    low, high = jackknife(20, lambda rows: values[rows].mean(), values.mean())
    error = values.std(ddof=1) / np.sqrt(20)
    assert (low, high) == pytest.approx((values.mean() - 1.96 * error, values.mean() + 1.96 * error), rel=1e-3)
    assert jackknife(1, lambda rows: 0.0, 0.0) == (None, None)
    assert jackknife(5, lambda rows: np.nan, 0.0) == (None, None)
