"""Are two faces one person? Distances, thresholds and rates as thesis chapter 2.3 defines them. Pure functions.

Everything is a distance, and two faces match where their distance is *below* the threshold (strictly, as the thesis
writes it). The false acceptance rate (FAR) is the share of impostor pairs (two people) that match, the false rejection
rate (FRR) the share of genuine pairs (one person) that do not, the true acceptance rate (TAR) 1 - FRR.

The thesis's two algorithms stand here twice: literally, walking in steps, and exactly, from sorted distances. The exact
forms need no step, no start and no end, and are what everything else uses.

Distances are float64 everywhere: a threshold may lie just above a distance, closer than float32 can tell.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.spatial.distance import cdist

from masquerade.errors import InputError, OptionError
from masquerade.models.cards import Threshold

Metric: TypeAlias = Literal["cosine", "l1", "l2", "squared-l2"]
Floats: TypeAlias = NDArray[np.float64]
Labels: TypeAlias = NDArray[np.int64]

BINS = 250
"""Of the histograms in PAPER I."""
FARS = (1e-2, 1e-3, 1e-4)
"""The false acceptance rates at which encoders are calibrated."""

_CDIST: dict[Metric, Literal["cityblock", "euclidean", "sqeuclidean"]] = {
    "l1": "cityblock",
    "l2": "euclidean",
    "squared-l2": "sqeuclidean",
}
_CHUNK = 8192  # pairs compared at a time
_QUERIES = 512  # queries ranked at a time


# Distances


def cosine_similarity(u: NDArray[np.floating], v: NDArray[np.floating]) -> Floats:
    """Cosine of the angle between two vectors, -1 to 1 (eq. 2.15).

    Args:
        u, v: shape (..., dimensions), of any length but 0.

    Returns:
        Shape (...).

    Raises:
        InputError: a vector is 0 or not finite.
    """
    similarity = np.asarray(np.einsum("...d,...d->...", _unit(u), _unit(v)), np.float64)
    return np.clip(similarity, -1, 1)


def cosine_distance(u: NDArray[np.floating], v: NDArray[np.floating]) -> Floats:
    """1 - cosine similarity, 0 to 2 (eq. 2.16); otherwise like `cosine_similarity`."""
    return 1 - cosine_similarity(u, v)


def l1_distance(u: NDArray[np.floating], v: NDArray[np.floating]) -> Floats:
    """Sum of the absolute differences along the last axis."""
    return np.asarray(np.abs(_difference(u, v)).sum(axis=-1), np.float64)


def l2_distance(u: NDArray[np.floating], v: NDArray[np.floating]) -> Floats:
    """Euclidean distance along the last axis."""
    return np.sqrt(squared_l2_distance(u, v))


def squared_l2_distance(u: NDArray[np.floating], v: NDArray[np.floating]) -> Floats:
    """Squared Euclidean distance along the last axis; of unit vectors, twice their cosine distance."""
    return np.asarray(np.square(_difference(u, v)).sum(axis=-1), np.float64)


METRICS: dict[Metric, Callable[[NDArray[np.floating], NDArray[np.floating]], Floats]] = {
    "cosine": cosine_distance,
    "l1": l1_distance,
    "l2": l2_distance,
    "squared-l2": squared_l2_distance,
}


def pair_distances(
    embeddings: NDArray[np.floating], first: Labels, second: Labels, metric: Metric = "cosine"
) -> Floats:
    """Distances of many pairs in little memory.

    Args:
        embeddings: shape (faces, dimensions).
        first, second: rows of `embeddings`, shape (pairs,).
        metric: how to compare.

    Returns:
        Shape (pairs,).
    """
    compare = METRICS[metric]
    parts = [
        compare(embeddings[first[start : start + _CHUNK]], embeddings[second[start : start + _CHUNK]])
        for start in range(0, len(first), _CHUNK)
    ]
    return np.concatenate(parts) if parts else np.zeros(0)


def distance_matrix(a: NDArray[np.floating], b: NDArray[np.floating], metric: Metric = "cosine") -> Floats:
    """Every row of `a` (n, dimensions) against every row of `b` (m, dimensions): shape (n, m)."""
    if metric == "cosine":
        return 1 - np.clip((_unit(a) @ _unit(b).T).astype(np.float64), -1, 1)
    return cdist(a, b, _CDIST[metric])


# Rates and thresholds


def rates(genuine: ArrayLike, impostors: ArrayLike, thresholds: ArrayLike) -> tuple[Floats, Floats]:
    """FAR and FRR at each threshold, lines 7 and 8 of Algorithm 1.

    Args:
        genuine, impostors: distances, any number of each but none.
        thresholds: shape (...).

    Returns:
        (far, frr), each of shape (...), 0 to 1.

    Raises:
        InputError: there are no distances, or one is not finite.
    """
    positive, negative = _sorted(genuine, "genuine"), _sorted(impostors, "impostor")
    far = np.searchsorted(negative, thresholds, side="left") / len(negative)
    frr = (len(positive) - np.searchsorted(positive, thresholds, side="left")) / len(positive)
    return np.asarray(far), np.asarray(frr)


def literal_equal_error_rate(
    impostors: ArrayLike, genuine: ArrayLike, start: float, stop: float, step: float
) -> tuple[float, float]:
    """Algorithm 1 as printed: walks from `start` to `stop` and keeps the step at which FAR and FRR differ least.

    Returns:
        (equal error rate, its threshold).
    """
    n_dis, p_dis = np.asarray(impostors), np.asarray(genuine)
    _check_step(step)
    far_curve, frr_curve, th_curve = [], [], []
    th = start
    while th <= stop:
        far_curve.append(np.sum(np.where(n_dis < th, 1, 0)) / np.sum(np.ones_like(n_dis)))
        frr_curve.append(np.sum(np.where(p_dis >= th, 1, 0)) / np.sum(np.ones_like(p_dis)))
        th_curve.append(th)
        th += step
    eer_idx = int(np.argmin(np.abs(np.array(far_curve) - np.array(frr_curve))))
    return float((far_curve[eer_idx] + frr_curve[eer_idx]) / 2), th_curve[eer_idx]


def equal_error_rate(impostors: ArrayLike, genuine: ArrayLike) -> tuple[float, float]:
    """Algorithm 1 without steps: the rate at which FAR and FRR differ least, and the smallest such threshold.

    Both rates change only at distances that occur, so one threshold just above each of them is all there is to try. The
    literal form's threshold lies at most a step higher.

    Returns:
        (equal error rate, its threshold).

    Raises:
        InputError: there are no distances, or one is not finite.
    """
    occurring = np.unique(np.concatenate([_sorted(impostors, "impostor"), _sorted(genuine, "genuine")]))
    thresholds = np.concatenate([occurring[:1], np.nextafter(occurring, np.inf)])
    far, frr = rates(genuine, impostors, thresholds)
    best = int(np.argmin(np.abs(far - frr)))
    return float((far[best] + frr[best]) / 2), float(thresholds[best])


def literal_threshold_at_far(impostors: ArrayLike, initial: float, step: float, far: float) -> float:
    """Algorithm 2 as printed: lowers the threshold until the FAR is no larger than asked.

    It is lowered once more after the last check, so the result lies one step below the threshold that passed, even
    where the first guess did. Kept for the record.
    """
    n_dis = np.asarray(impostors)
    _check_far(far)
    _check_step(step)
    th, reached = initial, 1.0
    while reached > far:
        reached = float(np.sum(np.where(n_dis < th, 1, 0)) / np.sum(np.ones_like(n_dis)))
        th -= step
    return th


def threshold_at_far(impostors: ArrayLike, far: float) -> float:
    """Algorithm 2 without steps: the largest threshold at which the FAR is no larger than asked.

    The literal form's result lies between one and two steps lower.

    Args:
        impostors: distances of impostor pairs. With fewer than 1 / far of them the threshold is the smallest distance,
            which says little: see `calibrate`, which refuses.
        far: asked false acceptance rate, 0 to 1.

    Returns:
        The threshold; infinite where every impostor pair may match.

    Raises:
        InputError: there are no distances, or one is not finite.
        OptionError: `far` is not a rate.
    """
    _check_far(far)
    distances = _sorted(impostors, "impostor")
    allowed = int(np.searchsorted(np.arange(1, len(distances) + 1) / len(distances), far, side="right"))
    return float(distances[allowed]) if allowed < len(distances) else math.inf


def tar_at_far(genuine: ArrayLike, impostors: ArrayLike, far: float) -> float:
    """Share of genuine pairs that match at the threshold for a FAR; otherwise like `threshold_at_far`."""
    accepted = _sorted(genuine, "genuine") < threshold_at_far(impostors, far)
    return float(accepted.mean())


# Retrieval


def retrieval_ranks(
    queries: NDArray[np.floating],
    gallery: NDArray[np.floating],
    query_people: Labels,
    gallery_people: Labels,
    *,
    metric: Metric = "cosine",
    threshold: float = math.inf,
) -> Labels:
    """At which place of the gallery, sorted by distance, a query finds its own person first.

    Args:
        queries, gallery: embeddings, shapes (n, dimensions) and (m, dimensions).
        query_people, gallery_people: who they are, shapes (n,) and (m,).
        metric: how to compare.
        threshold: a person as far as this or farther is not found. Swaps are judged without a threshold, anonymized
            faces with that of a FAR (thesis chapter 2.3).

    Returns:
        Shape (n,): 1 for the nearest; 0 where the person is not found. Where others are exactly as near, the person
        counts as found first, so a privacy figure never looks better than it is.
    """
    ranks = np.zeros(len(queries), np.int64)
    for start in range(0, len(queries), _QUERIES):
        part = slice(start, start + _QUERIES)
        distances = distance_matrix(queries[part], gallery, metric)
        own = query_people[part, None] == gallery_people[None, :]
        nearest = np.where(own, distances, np.inf).min(axis=1, initial=np.inf)
        place = 1 + (distances < nearest[:, None]).sum(axis=1)
        ranks[part] = np.where(np.isfinite(nearest) & (nearest < threshold), place, 0)
    return ranks


def rank_k(ranks: Labels, k: int) -> float:
    """Share of queries that find their person among the k nearest, from `retrieval_ranks`."""
    return float(((ranks >= 1) & (ranks <= k)).mean())


# PAPER I: histograms


@dataclass(frozen=True, slots=True)
class Histograms:
    """Two distributions of distances on the same bins.

    Attributes:
        edges: of the bins, shape (bins + 1,).
        genuine, impostors: share of the pairs in each bin, shape (bins,), each summing to 1.
    """

    edges: Floats
    genuine: Floats
    impostors: Floats

    @property
    def overlap(self) -> float:
        """The mass that both have in common, 0 (apart) to 1 (alike): the sum of min(p, n). Our reading of PAPER I."""
        return float(np.minimum(self.genuine, self.impostors).sum())


def histograms(genuine: ArrayLike, impostors: ArrayLike, bins: int = BINS) -> Histograms:
    """The distributions of genuine and impostor distances, on equal bins from the smallest to the largest of all.

    Raises:
        InputError: there are no distances, or one is not finite.
    """
    positive, negative = _sorted(genuine, "genuine"), _sorted(impostors, "impostor")
    edges = np.histogram_bin_edges(np.concatenate([positive, negative]), bins)
    return Histograms(
        edges=edges,
        genuine=np.histogram(positive, edges)[0] / len(positive),
        impostors=np.histogram(negative, edges)[0] / len(negative),
    )


# Accuracy over pairs, as LFW counts it


def best_threshold(distances: ArrayLike, same: ArrayLike) -> float:
    """The threshold at which most pairs are judged rightly, midway between the two distances it parts."""
    values, genuine = np.asarray(distances, np.float64), np.asarray(same, bool)
    _check(values, "pair")
    order = np.argsort(values, kind="stable")
    values, genuine = values[order], genuine[order]
    # With a threshold between i - 1 and i, the first i pairs match.
    right = np.concatenate([[0], np.cumsum(np.where(genuine, 1, -1))])
    possible = np.concatenate([[True], values[1:] > values[:-1], [True]])
    i = int(np.argmax(np.where(possible, right, -len(values) - 1)))
    if i in (0, len(values)):
        return float(np.nextafter(values[-1], np.inf)) if i else float(values[0])
    # Rounded down, the middle of two neighbouring numbers would be the lower one and would not part them.
    middle = (values[i - 1] + values[i]) / 2
    return float(middle if middle > values[i - 1] else values[i])


def fold_accuracy(distances: ArrayLike, same: ArrayLike, folds: ArrayLike) -> tuple[float, float]:
    """Share of pairs judged rightly, each fold by the best threshold of all the others: the protocol of LFW.

    Args:
        distances: shape (pairs,).
        same: whether a pair is genuine, shape (pairs,).
        folds: which fold a pair is in, shape (pairs,); see `ten_folds`.

    Returns:
        (mean over the folds, standard error of that mean).

    Raises:
        InputError: there are no distances, or one is not finite.
        OptionError: there is only one fold.
    """
    values, genuine, fold = np.asarray(distances, np.float64), np.asarray(same, bool), np.asarray(folds)
    _check(values, "pair")
    numbers = np.unique(fold)
    if len(numbers) < 2:
        raise OptionError("one fold cannot be judged by the others", hint="Use two or more")
    accuracies = []
    for number in numbers:
        held = fold == number
        threshold = best_threshold(values[~held], genuine[~held])
        accuracies.append(float(((values[held] < threshold) == genuine[held]).mean()))
    return float(np.mean(accuracies)), float(np.std(accuracies, ddof=1) / math.sqrt(len(accuracies)))


def ten_folds(same: ArrayLike) -> Labels:
    """Deals genuine and impostor pairs out to ten folds in turn: shape (pairs,), 0 to 9."""
    genuine = np.asarray(same, bool)
    folds = np.zeros(len(genuine), np.int64)
    for kind in (genuine, ~genuine):
        folds[kind] = np.arange(kind.sum()) % 10
    return folds


# Pairs


@dataclass(frozen=True, slots=True)
class Pairs:
    """Which faces to compare.

    Attributes:
        first, second: numbers of the faces, shape (pairs,).
        same: whether both are one person, shape (pairs,).
    """

    first: Labels
    second: Labels
    same: NDArray[np.bool_]


def make_pairs(people: ArrayLike, genuine: int, impostors: int, seed: int = 0) -> Pairs:
    """Draws pairs at random, none twice, none of a face with itself; the same for the same seed.

    Args:
        people: who each face is, numbers or names, shape (faces,).
        genuine, impostors: how many pairs of one person and of two; all there are where there are fewer.

    Returns:
        First the genuine pairs, then the impostor pairs, each in random order.
    """
    _, labels = np.unique(np.asarray(people), return_inverse=True)
    rng = np.random.default_rng(seed)
    own = _chosen(rng, _genuine_pairs(labels), genuine)
    other = _impostor_pairs(rng, labels, impostors)
    both = np.concatenate([own, other])
    return Pairs(both[:, 0], both[:, 1], np.arange(len(both)) < len(own))


def _genuine_pairs(labels: Labels) -> Labels:
    """Every pair of two faces of one person, shape (pairs, 2)."""
    order = np.argsort(labels, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    pairs = [np.stack([group[i] for i in np.triu_indices(len(group), 1)], axis=1) for group in groups]
    return np.concatenate([np.zeros((0, 2), np.int64), *pairs])


def _impostor_pairs(rng: np.random.Generator, labels: Labels, count: int) -> Labels:
    """So many different pairs of faces of two people, shape (pairs, 2)."""
    faces = len(labels)
    there_are = (faces**2 - int((np.bincount(labels) ** 2).sum())) // 2 if faces else 0
    if count * 2 >= there_are:
        first, second = np.triu_indices(faces, 1)
        apart = labels[first] != labels[second]
        return _chosen(rng, np.stack([first[apart], second[apart]], axis=1), count)
    codes = np.zeros(0, np.int64)
    while len(codes) < count:
        drawn = np.sort(rng.integers(faces, size=(2 * (count - len(codes)) + 16, 2)), axis=1)
        drawn = drawn[labels[drawn[:, 0]] != labels[drawn[:, 1]]]
        codes = np.concatenate([codes, drawn[:, 0] * faces + drawn[:, 1]])
        codes = codes[np.sort(np.unique(codes, return_index=True)[1])]
    return np.stack(np.divmod(codes[:count], faces), axis=1)


def _chosen(rng: np.random.Generator, pairs: Labels, count: int) -> Labels:
    return np.asarray(rng.permutation(pairs)[:count])


@dataclass(frozen=True, slots=True)
class NamedPair:
    """A line of an LFW-style list.

    Attributes:
        first, second: files without their ending, relative to the folder of the set: "Ann_Lee/Ann_Lee_0001".
        same: whether both are one person.
        fold: counts from 0.
    """

    first: str
    second: str
    same: bool
    fold: int


def read_pairs(path: Path) -> list[NamedPair]:
    """Reads a list of pairs as LFW publishes it.

    The first line says how many folds there are and how many genuine pairs each has (or only the latter: one fold).
    Each fold has so many lines "name n m", then as many lines "name n name m".

    Raises:
        InputError: the file cannot be read or is no such list.
    """
    try:
        lines = [(number, line.split()) for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the list of pairs cannot be read ({error})", path=path) from error
    lines = [(number, words) for number, words in lines if words]
    hint = 'A list of pairs begins with "folds pairs", then "name n m" or "name n name m" on each line'
    header = lines[0][1] if lines else []
    if len(header) not in (1, 2) or not all(word.isdecimal() for word in header):
        raise InputError("the first line of the list of pairs holds no numbers", path=path, hint=hint)
    folds, each = (1, int(header[0])) if len(header) == 1 else (int(header[0]), int(header[1]))
    if not folds or not each or len(lines) - 1 != folds * each * 2:
        raise InputError(f"{len(lines) - 1} pairs where {folds * each * 2} were announced", path=path, hint=hint)
    return list(_named(lines[1:], each, path, hint))


def _named(lines: list[tuple[int, list[str]]], each: int, path: Path, hint: str) -> Iterator[NamedPair]:
    for index, (number, words) in enumerate(lines):
        same = index % (2 * each) < each
        names = words[::2] if not same else words[:1] * 2
        numbers = words[1::2] if not same else words[1:]
        if len(words) != (3 if same else 4) or not all(word.isdecimal() for word in numbers):
            raise InputError(f"line {number} is no {'genuine' if same else 'impostor'} pair", path=path, hint=hint)
        first, second = (f"{name}/{name}_{int(n):04d}" for name, n in zip(names, numbers, strict=True))
        yield NamedPair(first, second, same, index // (2 * each))


# Figures and calibration


@dataclass(frozen=True, slots=True)
class AtFar:
    """How an encoder does at one false acceptance rate.

    Attributes:
        far: the rate that was asked for.
        threshold: the largest distance at which it is kept (`threshold_at_far`).
        tar: share of genuine pairs that match there, 0 to 1.
    """

    far: float
    threshold: float
    tar: float


@dataclass(frozen=True, slots=True)
class Figures:
    """What pairs say of an encoder; shares from 0 to 1.

    Attributes:
        genuine, impostors: how many pairs.
        eer, eer_threshold: equal error rate, and the distance where it lies.
        accuracy, accuracy_error: of same or not (`fold_accuracy`), and its standard error.
        at: one for each rate that so many impostor pairs can show.
    """

    genuine: int
    impostors: int
    eer: float
    eer_threshold: float
    accuracy: float
    accuracy_error: float
    at: tuple[AtFar, ...]


def figures(
    distances: ArrayLike,
    same: ArrayLike,
    *,
    folds: ArrayLike | None = None,
    fars: Sequence[float] = FARS,
    seed: int = 0,
) -> Figures:
    """Every figure of verification at once.

    Args:
        distances: shape (pairs,).
        same: whether a pair is genuine, shape (pairs,).
        folds: for the accuracy, as `fold_accuracy` takes them. None: as many genuine as impostor pairs are drawn, as
            many as there are of the rarer, and dealt out to ten folds.
        fars: rates of which those are left out that the impostor pairs cannot show (`pairs_needed`).
        seed: of that drawing.

    Raises:
        InputError: there are no genuine or no impostor pairs, or a distance is not finite.
    """
    values, is_same = np.asarray(distances, np.float64), np.asarray(same, bool)
    genuine, impostors = values[is_same], _sorted(values[~is_same], "impostor")
    eer, eer_threshold = equal_error_rate(impostors, genuine)
    if folds is None:
        rng, each = np.random.default_rng(seed), min(len(genuine), len(impostors))
        drawn = [rng.choice(kind, each, replace=False) for kind in (genuine, impostors)]
        values, is_same = np.concatenate(drawn), np.arange(2 * each) < each
        folds = ten_folds(is_same)
    accuracy, error = fold_accuracy(values, is_same, folds)
    thresholds = [(far, threshold_at_far(impostors, far)) for far in fars if len(impostors) >= pairs_needed(far)]
    return Figures(
        genuine=len(genuine),
        impostors=len(impostors),
        eer=eer,
        eer_threshold=eer_threshold,
        accuracy=accuracy,
        accuracy_error=error,
        at=tuple(AtFar(far, threshold, float((genuine < threshold).mean())) for far, threshold in thresholds),
    )


def pairs_needed(far: float) -> int:
    """How many impostor pairs it takes for one of them to be a false match at that rate."""
    return math.ceil(1 / far - 1e-6)


def calibrate(
    impostors: ArrayLike,
    people: ArrayLike,
    *,
    data: str,
    fars: Sequence[float] = FARS,
    resamples: int = 200,
    seed: int = 0,
) -> tuple[Threshold, ...]:
    """An encoder's thresholds with bootstrap confidence intervals, as its card holds them.

    People are resampled, not pairs: one person's face is in many pairs, and pairs drawn as if they had nothing to do
    with each other give too narrow an interval. A pair counts as often as both its people were drawn, which errs on the
    wide side, the more so the fewer people there are.

    Args:
        impostors: cosine distances of impostor pairs, shape (pairs,).
        people: who the two of each pair are, numbers or names, shape (pairs, 2).
        data: which faces these are, in words.
        fars: false acceptance rates.
        resamples: bootstrap draws.
        seed: of the draws.

    Returns:
        One for each of `fars`.

    Raises:
        InputError: there are no distances, one is not finite, or there are fewer than a rate needs.
        OptionError: one of `fars` is not a rate.
    """
    distances = np.asarray(impostors, np.float64)
    _check(distances, "impostor")
    for far in fars:
        if not 0 < far < 1:
            raise OptionError(f"{far} is no rate to calibrate at", hint="Use a number between 0 and 1")
        if len(distances) < pairs_needed(far):
            raise InputError(
                f"{len(distances)} impostor pairs cannot show a FAR of {far:g}, which needs {pairs_needed(far)}",
                hint="Use more faces",
            )
    if not fars:
        return ()
    names, ids = np.unique(np.asarray(people), return_inverse=True)
    order = np.argsort(distances, kind="stable")
    values, pairs = distances[order], ids.reshape(-1, 2)[order]
    first, second = np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1])
    table = coo_array((np.ones(len(pairs)), (first, second)), shape=(len(names), len(names))).tocsr()
    # All thresholds lie among the smallest distances; how many pairs there are in all, the table knows faster.
    near = min(len(values), max(1000, math.ceil(8 * max(fars) * len(values))))
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(resamples):
        times = rng.multinomial(len(names), np.full(len(names), 1 / len(names)))
        total = float(times @ (table @ times))
        if not total:  # so few people that none of their pairs was drawn whole
            continue
        # The first pair with which more than the allowed share would match, were the threshold above it.
        allowed = np.array(fars) * total * (1 + 1e-12)
        counted = np.cumsum(times[first[:near]] * times[second[:near]])
        if counted[-1] <= allowed.max():
            counted = np.cumsum(times[first] * times[second])
        drawn.append(values[np.minimum(np.searchsorted(counted, allowed, side="right"), len(values) - 1)])
    if not drawn:
        raise InputError(f"{len(names)} people are too few to calibrate on", hint="Use more people")
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return tuple(
        Threshold(
            far=far,
            threshold=threshold_at_far(values, far),
            low=float(low[i]),
            high=float(high[i]),
            pairs=len(values),
            data=data,
        )
        for i, far in enumerate(fars)
    )


# What may come in


def _unit(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    if not (np.isfinite(length).all() and (length > 0).all()):
        raise InputError("an embedding is 0 or not finite")
    return np.asarray(vectors / length)


def _difference(u: NDArray[np.floating], v: NDArray[np.floating]) -> NDArray[np.floating]:
    difference = np.subtract(u, v)
    if not np.isfinite(difference).all():
        raise InputError("an embedding is not finite")
    return np.asarray(difference)


def _sorted(distances: ArrayLike, kind: str) -> Floats:
    values = np.sort(np.asarray(distances, np.float64), axis=None)
    _check(values, kind)
    return values


def _check(distances: Floats, kind: str) -> None:
    if not distances.size:
        raise InputError(f"there are no {kind} distances", hint="Use more faces")
    if not np.isfinite(distances).all():
        raise InputError(f"not every {kind} distance is finite")


def _check_far(far: float) -> None:
    if not 0 <= far <= 1:
        raise OptionError(f"{far} is no false acceptance rate", hint="Use a number from 0 to 1")


def _check_step(step: float) -> None:
    if not step > 0:
        raise OptionError(f"{step} is no step", hint="Use a number above 0")
