"""Does the picture still look right? Sharpness, colour, seams, flicker, distances of distributions. Pure functions.

Grey crops are uint8, (height, width); colour crops RGB uint8, (height, width, 3). Before and after are cut from one
place.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Crop = NDArray[np.uint8]

_CHANGED = 8.0
"""Grey levels, smoothed: what differs by more was changed, not only encoded again."""
_FLAT = 1.0
"""Grey levels: detail of less than this is noise."""
_FEW_PIXELS = 50


def sharpness_kept(before: Grey, after: Grey) -> float:
    """Variance of the Laplacian, after over before: 1 as sharp as it was, 0 flat.

    Not a number where nothing was sharp.
    """
    old, new = (float(cv2.Laplacian(grey, cv2.CV_64F).var()) for grey in (before, after))
    return new / old if old > 0 else float("nan")


def colour_shift(before: Crop, after: Crop) -> float:
    """Distance of the mean colours in CIE L*a*b* (CIE76 ΔE, sRGB under D65). About 2 can just be seen."""
    old, new = (_lab(crop).reshape(-1, 3).mean(axis=0) for crop in (before, after))
    return float(np.linalg.norm(old - new))


def boundary_visibility(before: Grey, after: Grey) -> float:
    """How much more the picture changes along the edge of what was replaced than it did there before.

    Mean gradient (Sobel) in a band about the edge of the changed region, after over before: 1 is no seam, above 1 a
    visible one, below 1 an edge softer than what was there. Not a number where nothing was changed, or everything.
    """
    difference = cv2.GaussianBlur(np.abs(after.astype(np.float32) - before.astype(np.float32)), (0, 0), 1.5)
    changed = (difference > _CHANGED).astype(np.uint8)
    band = cv2.morphologyEx(changed, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)).astype(bool)
    band[[0, -1]] = band[:, [0, -1]] = False
    if not band.any():
        return float("nan")
    old, new = (_gradient(grey)[band].mean() for grey in (before, after))
    return float(new / max(float(old), _FLAT))


def detail_lost(before: Grey, after: Grey, sigma: float, where: NDArray[np.bool_]) -> float:
    """How much of the fine detail is not there as it was: |h(after) - h(before)|² / |h(before)|².

    h leaves what is finer than a Gaussian of `sigma` pixels. 0: untouched. About 1: gone. More: other detail in its
    place. Not a number where there is no detail to speak of, as in the dark: nothing tells then whether it was touched.

    Args:
        before, after: the same region.
        sigma: pixels.
        where: the pixels that count, of the region's shape.
    """

    def fine(grey: Grey) -> NDArray[np.float32]:
        level = grey.astype(np.float32)
        return np.asarray(level - cv2.GaussianBlur(level, (0, 0), sigma), np.float32)[where]

    old, new = fine(before), fine(after)
    if old.size < _FEW_PIXELS or float((old**2).mean()) < _FLAT**2:
        return float("nan")
    return float(((new - old) ** 2).sum() / (old**2).sum())


def flow_between(first: Grey, second: Grey) -> NDArray[np.float32]:
    """Dense optical flow (Farnebäck) from one frame to the next: what is at (x, y) in `first` is at (x, y) + flow.

    Returns:
        Shape (height, width, 2), pixels.
    """
    flow = cv2.calcOpticalFlowFarneback(first, second, None, 0.5, 3, 15, 3, 5, 1.2, 0)  # type: ignore[call-overload]
    return np.asarray(flow, np.float32)


def warped_difference(first: Grey, second: Grey, flow: NDArray[np.float32]) -> float:
    """Mean |first(x) - second(x + flow(x))| in grey levels: what changed from frame to frame beside motion.

    For an anonymized video the flow is that of its *original*: whatever moves with the original does not count. The
    original's own value is what noise and wrong flow cost; only what is above it is flicker.

    Args:
        first, second: the same region of two frames.
        flow: of `flow_between`.
    """
    height, width = first.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    back = cv2.remap(second, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return float(np.abs(first.astype(np.float32) - back.astype(np.float32)).mean())


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums from which mean and covariance of many features follow; those of two machines add up.

    Attributes:
        count: features.
        total: their sum, shape (dimensions,).
        outer: the sum of x xᵀ, shape (dimensions, dimensions).
    """

    count: int
    total: NDArray[np.float64]
    outer: NDArray[np.float64]

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.count + other.count, self.total + other.total, self.outer + other.outer)

    @staticmethod
    def of(features: NDArray[np.floating]) -> "Moments":
        """Of features (n, dimensions)."""
        values = np.asarray(features, np.float64)
        return Moments(len(values), values.sum(axis=0), values.T @ values)

    @property
    def mean(self) -> NDArray[np.float64]:
        """Shape (dimensions,)."""
        return np.asarray(self.total / self.count)

    @property
    def covariance(self) -> NDArray[np.float64]:
        """With n - 1 below, shape (dimensions, dimensions)."""
        return np.asarray((self.outer - self.count * np.outer(self.mean, self.mean)) / (self.count - 1))


def frechet_distance(a: Moments, b: Moments) -> float:
    """|m_a - m_b|² + tr(C_a + C_b - 2 (C_a C_b)^½) of two sets of features, as in FID (Heusel et al. 2017).

    Which network made the features must stand beside it. It is biased upwards for few features, and needs several times
    as many as they have dimensions.

    Returns:
        0 or more; not a number for fewer than two features.
    """
    if min(a.count, b.count) < 2:
        return float("nan")
    # The trace of the root is the sum of the eigenvalues' roots; of such a product they are real and not negative.
    root = np.sqrt(np.clip(np.linalg.eigvals(a.covariance @ b.covariance).real, 0, None)).sum()
    distance = ((a.mean - b.mean) ** 2).sum() + np.trace(a.covariance + b.covariance) - 2 * root
    return max(0.0, float(distance))


def kernel_distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (xᵀy / d + 1)³, as in KID (Bińkowski et al. 2018).

    Unlike the Fréchet distance it is not biased for few features; it may be a little below 0 where both are alike.

    Args:
        a, b: features, shapes (n, d) and (m, d), at least two each.
    """
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    n, m, d = len(x), len(y), x.shape[1]
    if min(n, m) < 2:
        return float("nan")

    def kernel(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((u @ v.T / d + 1) ** 3)

    within_x, within_y = kernel(x, x), kernel(y, y)
    own = (within_x.sum() - np.trace(within_x)) / (n * (n - 1)) + (within_y.sum() - np.trace(within_y)) / (m * (m - 1))
    return float(own - 2 * kernel(x, y).mean())


def _lab(crop: Crop) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(crop.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2Lab), np.float32)


def _gradient(grey: Grey) -> NDArray[np.float32]:
    x, y = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    return np.asarray(np.hypot(x, y), np.float32)
