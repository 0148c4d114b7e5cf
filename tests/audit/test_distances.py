"""PAPER I's study on vectors whose distances are known."""

import numpy as np
import pytest

from masquerade.audit.distances import draw, recommended, study
from masquerade.audit.verification import METRICS, equal_error_rate, make_pairs, pair_distances, threshold_at_far
from masquerade.errors import InputError


def people(spread, people=40, each=3, seed=0):
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(people), each)
    vectors = rng.normal(size=(people, 32))[who] + spread * rng.normal(size=(people * each, 32))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), who


def test_every_metric_as_the_functions_have_it():
    vectors, who = people(0.8)
    pairs = make_pairs(who, 10**6, 10**6)
    replaced = people(0.8, seed=5)[0]
    replaced[:12] = vectors[:12]  # these were not replaced at all
    found = study("net", vectors, pairs, replaced)
    assert [one.metric for one in found] == list(METRICS)
    for one in found:
        distances = pair_distances(vectors, pairs.first, pairs.second, one.metric)
        genuine, impostors = distances[pairs.same], distances[~pairs.same]
        assert (one.eer, one.eer_threshold) == equal_error_rate(impostors, genuine)
        assert one.threshold == threshold_at_far(impostors, 1e-3)
        assert one.tar == np.mean(genuine < one.threshold)
        assert one.histograms.genuine.sum() == pytest.approx(1)
        apart = METRICS[one.metric](vectors, replaced)
        assert np.array_equal(one.replaced.distances, apart)
        assert one.replaced.matched == np.mean(apart < one.threshold) >= 12 / 120
        assert one.replaced.histogram.sum() == pytest.approx(1), "also what lies beyond the study's bins"
        counted = np.histogram(apart, one.replaced.edges)[0]
        assert one.replaced.histogram == pytest.approx(counted / len(apart))
        assert np.diff(one.replaced.edges) == pytest.approx(np.diff(one.histograms.edges)[0])
    cosine, _, l2, squared = found
    assert cosine.eer == pytest.approx(l2.eer) == pytest.approx(squared.eer), "monotonous in each other"
    assert squared.threshold == pytest.approx(2 * cosine.threshold, abs=1e-5)


def test_the_encoder_with_the_least_overlap_is_recommended():
    good, who = people(0.5)
    bad, _ = people(1.2)
    pairs = make_pairs(who, 10**6, 10**6)
    studies = study("bad", bad, pairs) + study("good", good, pairs)
    best = recommended(studies)
    assert best.encoder == "good"
    assert best.histograms.overlap == min(one.histograms.overlap for one in studies)


def test_too_few_pairs():
    vectors, who = people(0.5, people=10)
    with pytest.raises(InputError, match=r"405 impostor pairs cannot show a FAR of 0\.001, which needs 1000"):
        study("net", vectors, make_pairs(who, 100, 10**6))


def test_the_figure_is_the_same_every_time(tmp_path):
    pytest.importorskip("matplotlib")
    vectors, who = people(0.8)
    [one, *_] = study("net", vectors, make_pairs(who, 10**6, 10**6), people(0.8, seed=5)[0])
    for name in ("a.svg", "b.svg", "a.png"):
        draw(one, tmp_path / name)
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    assert f"overlap {one.histograms.overlap:.3f}" in text
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
