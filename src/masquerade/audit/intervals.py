"""How sure is a figure? Bootstrap confidence intervals that resample people, not frames. Pure functions.

Frames of one person resemble each other: a hundred of them say little more than ten. So whole people are drawn, with
all their frames, and a figure of one person has no interval, however many frames there are.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, norm

LEVEL = 0.95
RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and how far it can be trusted.

    Attributes:
        value: the figure itself.
        low, high: its 95 % confidence interval; None where there are too few people to give one.
        count: how many faces (or pairs) it rests on.
        people: how many people these are of.
    """

    value: float
    low: float | None
    high: float | None
    count: int
    people: int


def bootstrap(
    groups: int, statistic: Callable[[NDArray[np.intp]], float], *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float | None, float | None]:
    """Percentile interval of any figure.

    Args:
        groups: how many people there are.
        statistic: the figure of some people, given their numbers from 0; a number may come several times. Draws for
            which it is not finite are left out.
        resamples: how often people are drawn anew.
        seed: of the draws.

    Returns:
        (low, high), or (None, None) where there are fewer than two people.
    """
    if groups < 2:
        return None, None
    rng = np.random.default_rng(seed)
    drawn = np.array([statistic(rng.integers(groups, size=groups)) for _ in range(resamples)])
    return _percentiles(drawn)


def jackknife(
    groups: int, statistic: Callable[[NDArray[np.intp]], float], value: float, *, blocks: int = 20
) -> tuple[float | None, float | None]:
    """Normal interval about a figure that a bootstrap would distort, because it takes the same face twice for two.

    People are left out in up to `blocks` blocks, one after the other: se² = (B - 1) / B Σ (θ_-b - mean)².

    Args:
        groups, statistic: as for `bootstrap`.
        value: the figure of all.

    Returns:
        (low, high), or (None, None) where there are fewer than two people or the figure is not finite.
    """
    if groups < 2:
        return None, None
    number = min(blocks, groups)
    block = np.arange(groups) % number
    without = np.array([statistic(np.flatnonzero(block != left_out)) for left_out in range(number)])
    if not (np.isfinite(without).all() and np.isfinite(value)):
        return None, None
    error = float(np.sqrt((number - 1) / number * ((without - without.mean()) ** 2).sum()))
    reach = float(norm.ppf((1 + LEVEL) / 2)) * error
    return value - reach, value + reach


def mean_of(values: ArrayLike, people: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0) -> Estimate | None:
    """The mean over faces, sum(values) / n, with people resampled; None where there are no values.

    Args:
        values: one for each face, shape (n,).
        people: whose face it is, numbers or names, shape (n,).
    """
    numbers = np.asarray(values, np.float64)
    if not len(numbers):
        return None
    names, who = np.unique(np.asarray(people), return_inverse=True)
    low, high = None, None
    if len(names) > 1:
        sums, counts = np.bincount(who, numbers), np.bincount(who)
        rng = np.random.default_rng(seed)
        # Draws of people, said as how often each was drawn.
        times = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
        low, high = _percentiles((times @ sums) / (times @ counts))
    return Estimate(float(numbers.mean()), low, high, len(numbers), len(names))


def share_of(hits: ArrayLike, people: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0) -> Estimate | None:
    """The share of faces for which something holds, with people resampled; None where there are no faces.

    Where it holds for all or for none, every draw says the same and the bootstrap would feign certainty. Then the
    interval is that of Clopper and Pearson, with people counted, not faces: none of 3 people is anything up to 71 %.
    Of one person for whom it sometimes holds, nothing follows for others: 0 to 1.
    """
    found = np.asarray(hits, bool)
    estimate = mean_of(found, people, resamples=resamples, seed=seed)
    if estimate is None:
        return None
    low, high = estimate.low, estimate.high
    if found.all() or not found.any():
        interval = binomtest(estimate.people if found.all() else 0, estimate.people).proportion_ci(LEVEL, "exact")
        low, high = float(interval.low), float(interval.high)
    elif low is None:
        low, high = 0.0, 1.0
    return Estimate(estimate.value, low, high, estimate.count, estimate.people)


def _percentiles(drawn: NDArray[np.floating]) -> tuple[float | None, float | None]:
    finite = drawn[np.isfinite(drawn)]
    if not len(finite):
        return None, None
    low, high = np.quantile(finite, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
