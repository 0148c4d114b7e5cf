"""PAPER I (thesis 5.1): how far apart are faces of one person, of two, and a face and its replacement?

For every encoder and metric the distances of genuine and of impostor pairs are two distributions. The less they
overlap, the better the pair of encoder and metric tells people apart, and the threshold between them is what a
replaced face must exceed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from masquerade.audit.verification import (
    METRICS,
    Floats,
    Histograms,
    Metric,
    Pairs,
    equal_error_rate,
    histograms,
    pair_distances,
    pairs_needed,
    threshold_at_far,
)
from masquerade.errors import InputError, OptionError
from masquerade.media import atomic_output

PAIRS = 30_000
"""Of each kind, as in PAPER I."""
FAR = 1e-3


@dataclass(frozen=True, slots=True)
class Replaced:
    """Distances between faces and their replacements.

    Attributes:
        distances: shape (faces,).
        edges: of bins as wide as the study's, as far as these distances reach.
        histogram: share of the faces in each of these bins.
        matched: share of the faces that still match, 0 to 1.
    """

    distances: Floats
    edges: Floats
    histogram: Floats
    matched: float


@dataclass(frozen=True, slots=True)
class Study:
    """One encoder with one metric.

    Attributes:
        encoder, metric: which.
        histograms: of genuine and impostor distances.
        eer, eer_threshold: equal error rate and its distance.
        threshold: the distance at FAR 1e-3.
        tar: share of genuine pairs below it, 0 to 1.
        replaced: faces against their replacements, where these were given.
    """

    encoder: str
    metric: Metric
    histograms: Histograms
    eer: float
    eer_threshold: float
    threshold: float
    tar: float
    replaced: Replaced | None


def study(
    encoder: str,
    vectors: NDArray[np.float32],
    pairs: Pairs,
    replaced: NDArray[np.float32] | None = None,
) -> list[Study]:
    """One encoder with every metric.

    Vectors have length 1, so that of cosine, L2 and squared L2 each is a monotonous function of the other: their error
    rates are alike, and only the shape of the distributions, and with it their overlap, differs.

    Args:
        encoder: its name.
        vectors: unit vectors, shape (faces, dimensions).
        pairs: which are compared.
        replaced: unit vectors of the same faces after replacement.

    Raises:
        InputError: too few impostor pairs for FAR 1e-3.
    """
    impostors = int((~pairs.same).sum())
    if impostors < pairs_needed(FAR):
        raise InputError(
            f"{impostors} impostor pairs cannot show a FAR of {FAR:g}, which needs {pairs_needed(FAR)}",
            hint="Give more photos",
        )
    return [_study(encoder, metric, vectors, pairs, replaced) for metric in METRICS]


def recommended(studies: Sequence[Study]) -> Study:
    """The encoder and metric whose distributions overlap least, as PAPER I chooses; of equals the lower EER."""
    return min(studies, key=lambda one: (one.histograms.overlap, one.eer))


def _study(
    encoder: str, metric: Metric, vectors: NDArray[np.float32], pairs: Pairs, replaced: NDArray[np.float32] | None
) -> Study:
    distances = pair_distances(vectors, pairs.first, pairs.second, metric)
    genuine, impostors = distances[pairs.same], distances[~pairs.same]
    both = histograms(genuine, impostors)
    eer, eer_threshold = equal_error_rate(impostors, genuine)
    threshold = threshold_at_far(impostors, FAR)
    after = None
    if replaced is not None:
        apart = METRICS[metric](vectors, replaced)
        start, width = both.edges[0], both.edges[1] - both.edges[0]
        first, last = np.floor((apart.min() - start) / width), np.floor((apart.max() - start) / width)
        edges = start + width * np.arange(first, last + 2)
        counted = np.histogram(apart, edges)[0]
        after = Replaced(apart, edges, counted / len(apart), float((apart < threshold).mean()))
    tar = float((genuine < threshold).mean())
    return Study(encoder, metric, both, eer, eer_threshold, threshold, tar, after)


def check_drawing() -> None:
    """Find out before the work that `draw` can draw.

    Raises:
        OptionError: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401, PLC0415 - heavy, and an extra
    except ImportError as error:
        raise OptionError(
            "--figures needs matplotlib", hint="Run 'pip install \"masquerade[audit]\"', or leave --figures out"
        ) from error


def draw(one: Study, path: Path) -> None:
    """The distributions as a figure, SVG or PNG by the suffix; the same study gives the same bytes.

    Raises:
        OutputError: it cannot be written there.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - heavy, and an extra
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    edges, found = one.histograms.edges, one.histograms
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.stairs(found.genuine, edges, fill=True, alpha=0.5, color="#1b7837", label="one person")
    axes.stairs(found.impostors, edges, fill=True, alpha=0.5, color="#762a83", label="two people")
    if one.replaced is not None:
        axes.stairs(one.replaced.histogram, one.replaced.edges, color="black", label="a face and its replacement")
    axes.axvline(one.threshold, color="black", linestyle=":", label=f"FAR {FAR:g}: {one.threshold:.3f}")
    axes.set(xlabel=f"{one.metric} distance", ylabel="share of pairs")
    axes.set_title(f"{one.encoder}, {one.metric}: overlap {found.overlap:.3f}, EER {100 * one.eer:.2f} %")
    axes.legend(frameon=False)
    with atomic_output(path) as temporary, rc_context({"svg.hashsalt": "masquerade"}):
        figure.savefig(temporary, metadata={"Date": None} if path.suffix == ".svg" else None)
