import numpy as np
import pytest

from masquerade.train.evaluate import judge, table

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
    found = judge(vectors, people, np.zeros(len(people), np.float32))
    scores, same = pairs(vectors, people)
    false, true, _ = sklearn_metrics.roc_curve(same, scores, drop_intermediate=False)
    for entry in found.all.at:
        assert entry.tar == pytest.approx(true[false <= entry.far].max(), abs=1 / same.sum())
    assert found.all.eer == pytest.approx(float(np.interp(0, false - (1 - true), false)), abs=2 / same.sum())
    [_, at_1e3, at_1e4] = found.all.at
    assert (1 - scores[~same] < at_1e3.threshold).mean() <= 1e-3
    assert found.by_yaw[0] == pytest.approx(at_1e3.tar)
    [_, _, row] = table([("made-up", 112, found)]).splitlines()
    assert f"| made-up | 112 | {100 * found.all.eer:.2f} % |" in row
    assert f"{100 * at_1e3.tar:.2f} % | {100 * at_1e4.tar:.2f} % | {100 * found.all.accuracy:.2f} %" in row


def test_turned_faces_fall_into_their_bins():
    vectors, people = crowd(20, 3, 0.6)
    yaws = np.tile(np.array([0, 0, -40], np.float32), 20)
    vectors[2::3] = crowd(20, 1, 1.0, seed=9)[0]  # turned faces look like nobody
    found = judge(vectors, people, yaws)
    assert found.by_yaw[0] > 0.9
    assert np.isnan(found.by_yaw[1])
    assert found.by_yaw[2] < 0.1
