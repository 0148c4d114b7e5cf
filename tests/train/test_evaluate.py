import numpy as np
import pytest

from masquerade.train.evaluate import figures

sklearn_metrics = pytest.importorskip("sklearn.metrics")


def crowd(people, each, spread, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(people, 1, 32))
    vectors = (centres + spread * rng.normal(size=(people, each, 32))).reshape(-1, 32).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.repeat(np.arange(people), each)


def pairs(vectors, people):
    scores, same = [], []
    for i in range(len(people)):
        for j in range(i + 1, len(people)):
            scores.append(float(vectors[i] @ vectors[j]))
            same.append(people[i] == people[j])
    return np.array(scores), np.array(same)


def test_figures_agree_with_scikit_learn():
    vectors, people = crowd(40, 4, 0.9)
    found = figures(vectors, people, np.zeros(len(people), np.float32))
    scores, same = pairs(vectors, people)
    false, true, _ = sklearn_metrics.roc_curve(same, scores, drop_intermediate=False)
    assert found.tar_1e3 == pytest.approx(true[false <= 1e-3].max(), abs=1 / same.sum())
    assert found.tar_1e4 == pytest.approx(true[false <= 1e-4].max(), abs=1 / same.sum())
    assert found.eer == pytest.approx(float(np.interp(0, false - (1 - true), false)), abs=2 / same.sum())
    assert (1 - scores[~same] < found.threshold_1e3).mean() <= 1e-3
    assert found.by_yaw[0] == pytest.approx(found.tar_1e3)


def test_turned_faces_fall_into_their_bins():
    vectors, people = crowd(20, 3, 0.6)
    yaws = np.tile(np.array([0, 0, -40], np.float32), 20)
    vectors[2::3] = crowd(20, 1, 1.0, seed=9)[0]  # turned faces look like nobody
    found = figures(vectors, people, yaws)
    assert found.by_yaw[0] > 0.9
    assert np.isnan(found.by_yaw[1])
    assert found.by_yaw[2] < 0.1
