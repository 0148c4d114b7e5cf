"""Distances, rates and thresholds against hand loops, scikit-learn and SciPy; the algorithms against each other."""

import math
import time
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_curve

from masquerade.audit.verification import (
    METRICS,
    NamedPair,
    best_threshold,
    calibrate,
    cosine_distance,
    cosine_similarity,
    distance_matrix,
    equal_error_rate,
    figures,
    fold_accuracy,
    histograms,
    literal_equal_error_rate,
    literal_threshold_at_far,
    make_pairs,
    pair_distances,
    pairs_needed,
    rank_k,
    rates,
    read_pairs,
    retrieval_ranks,
    tar_at_far,
    ten_folds,
    threshold_at_far,
)
from masquerade.errors import InputError, OptionError
from masquerade.models.cards import Threshold

# Some share values exactly, some lie next to each other: where strict and not strict part.
values = st.one_of(st.integers(0, 8).map(lambda n: n / 4), st.floats(0, 2))
several = st.lists(values, min_size=1, max_size=40)


def spread(seed: int, genuine: int = 3000, impostors: int = 5000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return np.clip(rng.normal(0.5, 0.15, genuine), 0, 2), np.clip(rng.normal(0.95, 0.12, impostors), 0, 2)


# Distances


def test_distances_by_hand():
    u, v = [3.0, 4.0, 0.0], [0.0, 4.0, -3.0]
    dot = sum(a * b for a, b in zip(u, v, strict=True))
    assert cosine_similarity(np.array(u), np.array(v)) == pytest.approx(dot / (math.hypot(*u) * math.hypot(*v)))
    by_metric = {name: float(metric(np.array(u), np.array(v))) for name, metric in METRICS.items()}
    assert by_metric == pytest.approx({"cosine": 1 - 16 / 25, "l1": 6, "l2": math.sqrt(18), "squared-l2": 18})


@pytest.mark.parametrize(
    ("metric", "scipy_name"),
    [("cosine", "cosine"), ("l1", "cityblock"), ("l2", "euclidean"), ("squared-l2", "sqeuclidean")],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distances_as_scipy_has_them(metric, scipy_name, dtype):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(20, 64)).astype(dtype), rng.normal(size=(30, 64)).astype(dtype)
    truth = cdist(a.astype(float), b.astype(float), scipy_name)
    assert distance_matrix(a, b, metric) == pytest.approx(truth, rel=1e-5)
    both = np.concatenate([a, b])
    first, second = np.repeat(np.arange(20), 30), np.tile(np.arange(20, 50), 20)
    found = pair_distances(both, first, second, metric)
    assert found.dtype == np.float64
    assert found.reshape(20, 30) == pytest.approx(truth, rel=1e-5)


def test_cosine_stays_in_range_and_ignores_length():
    vectors = np.random.default_rng(2).normal(size=(500, 512)).astype(np.float32)
    same, opposite = cosine_distance(vectors, 7 * vectors), cosine_distance(vectors, -vectors)
    assert same.min() >= 0 and same == pytest.approx(np.zeros(500), abs=1e-5)
    assert opposite.max() <= 2 and opposite == pytest.approx(np.full(500, 2), abs=1e-5)


@pytest.mark.parametrize("bad", [0.0, math.nan, math.inf])
def test_bad_embeddings(bad):
    with pytest.raises(InputError, match="embedding"):
        cosine_distance(np.full(4, bad), np.ones(4))
    if bad:
        for name in ("l1", "l2", "squared-l2"):
            with pytest.raises(InputError, match="embedding"):
                METRICS[name](np.full(4, bad), np.ones(4))


# Rates and thresholds


@given(several, several, st.lists(values, min_size=1, max_size=5))
def test_rates_by_hand(genuine, impostors, thresholds):
    far, frr = rates(genuine, impostors, thresholds)
    for i, t in enumerate(thresholds):
        assert far[i] == sum(d < t for d in impostors) / len(impostors)
        assert frr[i] == sum(d >= t for d in genuine) / len(genuine)


def test_rates_as_scikit_learn_has_them():
    genuine, impostors = spread(3)
    same = np.r_[np.ones(len(genuine)), np.zeros(len(impostors))]
    # Its scores grow with likeness and match at or above the threshold: just above the distance, here.
    fpr, tpr, scores = roc_curve(same, -np.r_[genuine, impostors], drop_intermediate=False)
    far, frr = rates(genuine, impostors, np.nextafter(-scores[1:], np.inf))
    assert far == pytest.approx(fpr[1:]) and 1 - frr == pytest.approx(tpr[1:])

    eer, threshold = equal_error_rate(impostors, genuine)
    best = np.argmin(np.abs(fpr - (1 - tpr)))
    assert eer == pytest.approx((fpr[best] + 1 - tpr[best]) / 2)
    assert threshold == pytest.approx(-scores[best])
    for rate in (1e-3, 1e-2, 0.1):
        assert tar_at_far(genuine, impostors, rate) == pytest.approx(tpr[fpr <= rate].max())


@given(several, several)
def test_equal_error_rate_by_hand(genuine, impostors):
    """No threshold, on or beside any distance, does better."""
    eer, threshold = equal_error_rate(impostors, genuine)

    def gap(t: float) -> tuple[float, float]:
        far = sum(d < t for d in impostors) / len(impostors)
        frr = sum(d >= t for d in genuine) / len(genuine)
        return abs(far - frr), (far + frr) / 2

    tried = {t for d in genuine + impostors for t in (d, math.nextafter(d, math.inf), math.nextafter(d, -math.inf))}
    assert gap(threshold)[0] == min(map(gap, tried))[0]
    assert eer == gap(threshold)[1]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("step", [0.01, 0.0005])
def test_algorithm_1_agrees_with_its_exact_form_to_the_step(seed, step):
    genuine, impostors = spread(seed, 400, 600)
    eer, threshold = equal_error_rate(impostors, genuine)
    literal, literal_threshold = literal_equal_error_rate(impostors, genuine, 0.0, 2.0, step)
    # A whole stretch of thresholds is equally good; a step may lie anywhere in the first one that it meets.
    assert abs(literal_threshold - threshold) <= step
    near_far, near_frr = rates(genuine, impostors, [threshold - step, threshold + step])
    assert abs(literal - eer) <= max(np.ptp(near_far), np.ptp(near_frr))


def test_algorithm_1_on_separable_pairs():
    assert equal_error_rate([0.9, 1.0], [0.1, 0.2]) == (0.0, math.nextafter(0.2, math.inf))
    assert literal_equal_error_rate([0.9, 1.0], [0.1, 0.2], 0, 2, 0.015625) == (0.0, 0.203125)


@given(several, st.floats(0, 1))
def test_threshold_at_far_by_hand(impostors, far):
    threshold = threshold_at_far(impostors, far)

    def reached(t: float) -> float:
        return sum(d < t for d in impostors) / len(impostors)

    assert reached(threshold) <= far
    assert math.isinf(threshold) or reached(math.nextafter(threshold, math.inf)) > far


@given(st.lists(st.floats(0, 1.5), min_size=1, max_size=60), st.sampled_from([0.0, 0.001, 0.05, 0.29, 0.5]))
def test_algorithm_2_lies_one_to_two_steps_below_its_exact_form(impostors, far):
    step = 2.0**-8  # a power of two, so that walking adds no rounding
    literal = literal_threshold_at_far(impostors, 2.0, step, far)
    exact = threshold_at_far(impostors, far)
    assert step <= exact - literal < 2 * step
    assert sum(d < literal + step for d in impostors) / len(impostors) <= far


def test_algorithm_2_lowers_even_a_good_first_guess():
    assert literal_threshold_at_far([0.9, 1.0], 0.5, 0.125, 0.0) == 0.375


def test_a_match_is_strictly_below():
    assert threshold_at_far([0.25, 0.5, 0.75], 0.0) == 0.25
    assert threshold_at_far([0.25, 0.5, 0.75], 1 / 3) == 0.5
    assert tar_at_far([0.25], [0.25, 0.5, 0.75], 0.0) == 0.0
    assert math.isinf(threshold_at_far([0.25], 1.0))


@pytest.mark.parametrize("bad", [[], [math.nan], [0.1, math.inf]])
def test_bad_distances(bad):
    for attempt in (
        lambda: rates(bad, [1.0], 0.5),
        lambda: equal_error_rate([1.0], bad),
        lambda: threshold_at_far(bad, 0.1),
        lambda: tar_at_far([1.0], bad, 0.1),
        lambda: histograms(bad, [1.0]),
        lambda: best_threshold(bad, [True] * len(bad)),
        lambda: calibrate(bad, [["a", "b"]] * len(bad), data="d", fars=[0.5]),
    ):
        with pytest.raises(InputError, match="distance"):
            attempt()


@pytest.mark.parametrize("far", [-0.1, 1.1, math.nan])
def test_bad_far(far):
    for function in (lambda: threshold_at_far([1.0], far), lambda: literal_threshold_at_far([1.0], 1, 0.1, far)):
        with pytest.raises(OptionError, match="rate"):
            function()
    with pytest.raises(OptionError, match="step"):
        literal_equal_error_rate([1.0], [1.0], 0, 2, 0)


# Retrieval


@pytest.mark.parametrize("metric", METRICS)
def test_retrieval_by_hand(metric):
    rng = np.random.default_rng(4)
    centres = rng.normal(size=(12, 16))
    who = rng.integers(0, 12, 1100)
    gallery_who = np.concatenate([np.arange(10), rng.integers(0, 10, 30)])  # nobody is 10 or 11
    queries = centres[who] + rng.normal(size=(1100, 16))
    gallery = centres[gallery_who] + rng.normal(size=(40, 16))
    ranks = retrieval_ranks(queries, gallery, who, gallery_who, metric=metric)
    matrix = distance_matrix(queries, gallery, metric)
    for i in range(0, 1100, 7):
        hits = [place for place, j in enumerate(np.argsort(matrix[i]), 1) if gallery_who[j] == who[i]]
        assert ranks[i] == (hits[0] if hits else 0)
    assert rank_k(ranks, 3) == pytest.approx(np.mean([1 <= rank <= 3 for rank in ranks]))
    assert 0.3 < rank_k(ranks, 1) < rank_k(ranks, 5) <= np.mean(who < 10)

    threshold = float(np.median(matrix.min(axis=1)))
    found = retrieval_ranks(queries, gallery, who, gallery_who, metric=metric, threshold=threshold) > 0
    nearest_own = np.where(who[:, None] == gallery_who, matrix, np.inf).min(axis=1)
    assert np.array_equal(found, nearest_own < threshold)


def test_ties_count_for_the_attacker():
    same = np.ones((1, 2))
    ranks = retrieval_ranks(same, np.ones((3, 2)), np.array([7]), np.array([1, 2, 7]), metric="l2")
    assert ranks.tolist() == [1]


# Histograms


def test_histograms_by_hand():
    genuine, impostors = [0.0, 0.1, 0.1, 0.6], [0.4, 0.6, 0.9, 1.0]
    found = histograms(genuine, impostors, bins=2)
    assert found.edges == pytest.approx([0, 0.5, 1])
    assert found.genuine.tolist() == [0.75, 0.25] and found.impostors.tolist() == [0.25, 0.75]
    assert found.overlap == 0.5


def test_overlap_of_two_normal_distributions():
    rng = np.random.default_rng(6)
    found = histograms(rng.normal(0, 1, 400_000), rng.normal(2, 1, 400_000))
    assert len(found.genuine) == 250
    assert found.overlap == pytest.approx(math.erfc(1 / math.sqrt(2)), abs=0.01)  # 2 times the tail beyond 1 sigma
    assert histograms([1.0], [1.0]).overlap == 1


# Pair accuracy


@given(st.lists(st.tuples(values, st.booleans()), min_size=1, max_size=30))
def test_best_threshold_by_hand(pairs):
    def right(t: float) -> int:
        return sum((d < t) == same for d, same in pairs)

    found = best_threshold([d for d, _ in pairs], [same for _, same in pairs])
    assert right(found) == max(right(t) for d, _ in pairs for t in (d, math.nextafter(d, math.inf)))


def test_fold_accuracy_by_hand():
    genuine, impostors = spread(8, 300, 300)
    distances, same = np.r_[genuine, impostors], np.arange(600) < 300
    folds = ten_folds(same)
    assert [int((same & (folds == k)).sum()) for k in range(10)] == [30] * 10
    assert np.bincount(folds).tolist() == [60] * 10
    accuracies = []
    for k in range(10):
        train, test = folds != k, folds == k
        best = max(np.unique(distances), key=lambda t: ((distances[train] < t) == same[train]).sum())
        accuracies.append(((distances[test] < best) == same[test]).mean())
    mean, error = fold_accuracy(distances, same, folds)
    assert mean == pytest.approx(np.mean(accuracies), abs=0.005)  # the middle of a gap against its upper end
    assert error == pytest.approx(np.std(accuracies, ddof=1) / math.sqrt(10), rel=0.25)
    with pytest.raises(OptionError, match="fold"):
        fold_accuracy(distances, same, np.zeros(600))


# Pairs


@settings(deadline=None)
@given(st.lists(st.integers(0, 6), max_size=30), st.integers(0, 200), st.integers(0, 200), st.integers(0, 3))
def test_pairs_are_what_they_say(people, genuine, impostors, seed):
    pairs = make_pairs(people, genuine, impostors, seed)
    there_are = [people[a] == people[b] for a, b in combinations(range(len(people)), 2)]
    assert pairs.same.sum() == min(genuine, sum(there_are))
    assert (~pairs.same).sum() == min(impostors, len(there_are) - sum(there_are))
    drawn = [frozenset(pair) for pair in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)]
    assert len(set(drawn)) == len(drawn) and all(len(pair) == 2 for pair in drawn)
    for a, b, same in zip(pairs.first, pairs.second, pairs.same, strict=True):
        assert (people[a] == people[b]) == same


def test_pairs_follow_the_seed_and_take_names():
    people = [f"person {n % 50}" for n in range(400)]
    one, again, other = (
        make_pairs(people, 300, 500, 1),
        make_pairs(people, 300, 500, 1),
        make_pairs(people, 300, 500, 2),
    )
    assert np.array_equal(one.first, again.first) and np.array_equal(one.second, again.second)
    assert not np.array_equal(one.first, other.first)
    assert np.bincount(one.first[~one.same], minlength=400).std() < 2, "no face is preferred"


def test_lists_of_pairs_as_lfw_has_them(tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_text(
        "2\t2\nAnn_Lee\t1\t4\nBo_Li\t2\t12\nAnn_Lee\t1\tBo_Li\t3\nBo_Li\t1\tCy\t1\n"
        "Cy\t1\t2\nCy\t1\t3\nCy\t4\tBo_Li\t1\nCy\t1\tAnn_Lee\t2\n"
    )
    pairs = read_pairs(path)
    assert pairs[0] == NamedPair("Ann_Lee/Ann_Lee_0001", "Ann_Lee/Ann_Lee_0004", True, 0)
    assert pairs[1].second == "Bo_Li/Bo_Li_0012"
    assert pairs[6] == NamedPair("Cy/Cy_0004", "Bo_Li/Bo_Li_0001", False, 1)
    assert [pair.fold for pair in pairs] == [0] * 4 + [1] * 4
    path.write_text("1\nAnn_Lee\t1\t4\nAnn_Lee\t1\tBo_Li\t3\n")
    assert [(pair.same, pair.fold) for pair in read_pairs(path)] == [(True, 0), (False, 0)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "first line"),
        ("Ann\t1\t2\n", "first line"),
        ("1\t1\nAnn\t1\t2\n", "1 pairs where 2"),
        ("0\n", "0 pairs"),
        ("1\nAnn\t1\tBo\t2\nAnn\t1\t2\n", "line 2 is no genuine"),
        ("1\nAnn\t1\t2\nAnn\t1\tBo\tx\n", "line 3 is no impostor"),
    ],
)
def test_bad_lists_of_pairs(tmp_path, text, said):
    path = tmp_path / "pairs.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        read_pairs(path)
    assert caught.value.path == path
    with pytest.raises(InputError, match="cannot be read"):
        read_pairs(tmp_path / "none.txt")


# Calibration


def people_on_a_sphere(people: int, faces: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around people; in so few dimensions some people look like many others."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(people), faces)
    vectors = rng.normal(size=(people, 12))[who] + 0.4 * rng.normal(size=(people * faces, 12))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), who


def test_calibration():
    vectors, who = people_on_a_sphere(60, 4, 0)
    pairs = make_pairs(who, 0, 10**9)
    distances = pair_distances(vectors, pairs.first, pairs.second)
    people = np.stack([who[pairs.first], who[pairs.second]], axis=1)
    found = calibrate(distances, people, data="a sphere")
    assert [entry.far for entry in found] == [1e-2, 1e-3, 1e-4]
    assert [entry.threshold for entry in found] == [threshold_at_far(distances, far) for far in (1e-2, 1e-3, 1e-4)]
    for entry in found:
        assert entry.low <= entry.threshold <= entry.high
        assert (entry.pairs, entry.data) == (60 * 59 // 2 * 16, "a sphere")
    assert found == calibrate(distances, people, data="a sphere"), "the same for the same seed"
    shuffled = np.random.default_rng(1).permutation(len(distances))
    assert calibrate(distances[shuffled], people[shuffled], data="a sphere") == found
    assert calibrate(distances, people, data="a sphere", fars=[1e-3])[0] == found[1]


def test_the_interval_by_hand():
    """Against a bootstrap that copies people out in a loop."""
    vectors, who = people_on_a_sphere(12, 2, 5)
    pairs = make_pairs(who, 0, 10**9)
    distances = pair_distances(vectors, pairs.first, pairs.second)
    people = np.stack([who[pairs.first], who[pairs.second]], axis=1)
    [found] = calibrate(distances, people, data="d", fars=[0.05], resamples=50, seed=3)
    rng, thresholds = np.random.default_rng(3), []
    for _ in range(50):
        times = rng.multinomial(12, np.full(12, 1 / 12))
        copied = [d for d, (a, b) in zip(distances, people, strict=True) for _ in range(times[a] * times[b])]
        thresholds.append(threshold_at_far(copied, 0.05))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(thresholds, [0.025, 0.975])))


def test_the_interval_holds_the_truth_at_least_as_often_as_it_says():
    """Over many small samples of people, the threshold of a large one lies inside in 95 of 100 or more."""

    def sample(people: int, seed: int) -> Threshold:
        vectors, who = people_on_a_sphere(people, 2, seed)
        pairs = make_pairs(who, 0, 10**9)
        ids = np.stack([who[pairs.first], who[pairs.second]], axis=1)
        distances = pair_distances(vectors, pairs.first, pairs.second)
        return calibrate(distances, ids, data="d", fars=[0.02], resamples=100)[0]

    truth = sample(700, 99).threshold
    intervals = [sample(40, seed) for seed in range(60)]
    assert np.mean([entry.low <= truth <= entry.high for entry in intervals]) >= 0.95


def test_too_few_to_calibrate():
    with pytest.raises(InputError, match=r"cannot show a FAR of 0\.001, which needs 1000"):
        calibrate([0.5] * 999, [["a", "b"]] * 999, data="d", fars=[1e-2, 1e-3])
    with pytest.raises(OptionError, match="rate"):
        calibrate([0.5], [["a", "b"]], data="d", fars=[2])
    assert [pairs_needed(far) for far in (1, 1e-2, 1e-3, 1e-4, 0.3)] == [1, 100, 1000, 10_000, 4]


def test_figures_are_the_functions():
    genuine, impostors = spread(9, 400, 2000)
    distances, same = np.r_[genuine, impostors], np.arange(2400) < 400
    found = figures(distances, same)
    assert (found.genuine, found.impostors) == (400, 2000)
    assert (found.eer, found.eer_threshold) == equal_error_rate(impostors, genuine)
    assert [entry.far for entry in found.at] == [1e-2, 1e-3], "2,000 pairs cannot show one in 10,000"
    for entry in found.at:
        assert entry.threshold == threshold_at_far(impostors, entry.far)
        assert entry.tar == tar_at_far(genuine, impostors, entry.far)
    assert found.accuracy == pytest.approx(1 - found.eer, abs=0.02)
    assert figures(distances, same) == found
    folds = np.arange(2400) % 4
    given = figures(distances, same, folds=folds)
    assert (given.accuracy, given.accuracy_error) == fold_accuracy(distances, same, folds)


def test_a_million_pairs_in_seconds():
    rng = np.random.default_rng(7)
    vectors = rng.normal(size=(4000, 128)).astype(np.float32)
    who = np.arange(4000) // 4
    start = time.perf_counter()
    pairs = make_pairs(who, 6000, 1_000_000)
    distances = pair_distances(vectors, pairs.first, pairs.second)
    genuine, impostors = distances[pairs.same], distances[~pairs.same]
    equal_error_rate(impostors, genuine)
    tar_at_far(genuine, impostors, 1e-4)
    histograms(genuine, impostors)
    assert len(impostors) == 1_000_000
    assert time.perf_counter() - start < 20
