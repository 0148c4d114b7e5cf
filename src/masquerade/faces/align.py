"""Alignment: from a face anywhere in a picture to an upright crop, and back (thesis chapter 2.1).

A transformation is a (2, 3) float64 matrix M that maps points (x, y) of one picture to another: q = M @ (x, y, 1). The
direction is always said in words, because the thesis maps the template onto the picture and most libraries want the
opposite. Equation numbers are those of the thesis.
"""

from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from masquerade.errors import FaceError

if TYPE_CHECKING:
    from masquerade.faces.detect import Readable

Matrix: TypeAlias = NDArray[np.float64]
"""Shape (2, 3)."""

_MARGIN = 4  # pixels of the picture around a crop, for what smoothing and interpolation need

PixelT = TypeVar("PixelT", np.uint8, np.uint16, np.float32)

ARCFACE_112 = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)
"""Where the five landmarks lie in a crop of 112 pixels, in the order of `types`."""


def template(size: int) -> NDArray[np.float32]:
    """The ArcFace template for a crop of `size` by `size` pixels, shape (5, 2).

    Coordinates are those at 112 pixels times size / 112, as the recognisers' own training crops are made.
    """
    return np.asarray(ARCFACE_112, np.float32) * np.float32(size / 112)


def estimate_similarity(origin: ArrayLike, goal: ArrayLike) -> Matrix:
    """The scale, rotation and shift that bring `origin` onto `goal` with the least squared error (eq. 2.1 to 2.11).

    In the thesis's words this is estimate_tm(Y, X) with X = origin and Y = goal. It never mirrors: where the points are
    mirror images of each other, the best rotation is returned (eq. 2.4).

    Args:
        origin: shape (n, 2), n >= 2, pixels.
        goal: shape (n, 2), pixels, row i belongs to row i of origin.

    Raises:
        FaceError: wrong shapes, values that are not finite, or points that fix no similarity (all of them in one spot,
            or arranged so that no scale above zero fits better than any other).
    """
    x, y = _points(origin), _points(goal)
    if x.shape != y.shape or len(x) < 2:
        raise FaceError(f"alignment needs two equally long lists of at least two points, not {len(x)} and {len(y)}")
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)  # 2.1
    centred_x, centred_y = x - mean_x, y - mean_y
    variance_x, variance_y = (centred_x**2).mean(axis=0), (centred_y**2).mean(axis=0)  # 2.2, for each axis
    covariance = centred_y.T @ centred_x / len(x)  # 2.3
    u, s, v = np.linalg.svd(covariance)  # 2.5; NumPy's third value is the V that 2.7 multiplies by
    # 2.4 asks for the sign of det(A). It equals that of det(U) det(V), which also decides where det(A) is 0 (points on
    # a line) and the printed rule could return a mirror.
    d = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(v))])
    fit = float(s @ d)
    if not fit > 1e-9 * np.sqrt(variance_x.sum() * variance_y.sum()):
        raise FaceError("these points fix no alignment: they lie in one spot or contradict each other")
    scale = fit / variance_x.sum()  # 2.6
    rotation = u @ np.diag(d) @ v  # 2.7
    shift = mean_y - scale * rotation @ mean_x  # 2.8
    return np.column_stack([scale * rotation, shift])  # 2.9, of which 2.10 keeps the first two rows


def transform(points: ArrayLike, matrix: Matrix) -> NDArray[np.float64]:
    """Points (n, 2) through a matrix: a column of ones is appended and Z = Y_l M^T (eq. 2.12 and 2.13)."""
    y = _points(points)
    z: NDArray[np.float64] = np.column_stack([y, np.ones(len(y))]) @ matrix.T
    return z


def invert(matrix: Matrix) -> Matrix:
    """The similarity that undoes a similarity (eq. 2.12 to 2.14).

    The thesis sends points there and estimates the way back. The fit is exact, so any points do: here a square's
    corners.

    Raises:
        FaceError: not finite, or of scale 0.
    """
    if not (np.isfinite(matrix).all() and scale_of(matrix) > 0):
        raise FaceError("this matrix cannot be undone: it is not a similarity")
    corners = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    there = transform(corners, matrix)
    return estimate_similarity(there, corners)


def scale_of(matrix: Matrix) -> float:
    """How many pixels of the goal one pixel of the origin becomes."""
    return float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))


def round_trip_error(points: ArrayLike, matrix: Matrix) -> float:
    """The farthest that any point lands from its start after `matrix` and `invert(matrix)`, in pixels."""
    back = transform(transform(points, matrix), invert(matrix))
    return float(np.linalg.norm(back - _points(points), axis=1).max())


def warp(image: NDArray[PixelT], matrix: Matrix, size: tuple[int, int]) -> NDArray[PixelT]:
    """The picture seen through a similarity.

    Where the picture shrinks it is smoothed first, so that fine patterns turn grey and do not alias. Bilinear. Beyond
    the picture's border its outermost pixels go on. Work and memory grow with the visible part, not with the picture.

    Args:
        image: shape (height, width) or (height, width, channels up to 4); uint8, uint16 or float32, any range.
        matrix: maps the image's pixels to those of the result.
        size: (width, height) of the result.
    """
    return _warp(image, matrix, size, cv2.BORDER_REPLICATE)


def align(image: NDArray[PixelT], landmarks: ArrayLike, size: int) -> tuple[NDArray[PixelT], Matrix]:
    """The upright crop of a face.

    Args:
        image: as for `warp`.
        landmarks: five points in pixels of the image, shape (5, 2), in the order of `types`.
        size: the crop's side in pixels.

    Returns:
        The crop, (size, size, ...), of the image's type, and the matrix that maps the image's pixels to the crop's.

    Raises:
        FaceError: landmarks that are not five finite points, or all in one spot.
    """
    matrix = estimate_similarity(landmarks, template(size))
    return warp(image, matrix, (size, size)), matrix


def crop_around(picture: "Readable", matrix: Matrix, side: int) -> NDArray[np.uint8] | None:
    """A crop of a picture that is read only around it, uint8 RGB (side, side, 3); None where it lies outside.

    Args:
        matrix: the picture's pixels → the crop's.
    """
    end = side - 1
    corners = transform([[0, 0], [end, 0], [end, end], [0, end]], invert(matrix))
    size = np.array([picture.width, picture.height])
    x, y = np.clip(np.floor(corners.min(axis=0)) - _MARGIN, 0, size).astype(int).tolist()
    right, bottom = np.clip(np.ceil(corners.max(axis=0)) + _MARGIN, 0, size).astype(int).tolist()
    if x >= right or y >= bottom:
        return None
    pixels = picture.read(x, y, right - x, bottom - y)
    eight = np.asarray(pixels if pixels.dtype == np.uint8 else pixels // 257, np.uint8)
    here = matrix.copy()
    here[:, 2] += matrix[:, :2] @ (x, y)
    return warp(eight, here, (side, side))


def paste(image: NDArray[PixelT], crop: NDArray[PixelT], matrix: Matrix, mask: NDArray[np.float32]) -> NDArray[PixelT]:
    """The picture with the crop blended in where it was cut out.

    Args:
        image: the whole picture, (height, width) or (height, width, channels).
        crop: the changed crop, same type and channels as the image.
        matrix: maps the image's pixels to the crop's, as `align` returned it.
        mask: how much of the crop to show, 0 to 1, shape (crop height, crop width). Outside the crop it is 0.

    Returns:
        A new picture. Where the mask, brought into the picture, is 0, every pixel has its old bits; smoothing and
        interpolation widen the mask by two pixels of the picture or one of the crop, whichever is larger.

    Raises:
        FaceError: types, channels or sizes that do not belong together, or a mask that is not in 0..1.
    """
    if crop.dtype != image.dtype or crop.shape[2:] != image.shape[2:] or crop.shape[:2] != mask.shape:
        raise FaceError(
            f"crop {crop.shape} {crop.dtype} and mask {mask.shape} do not fit an image of {image.shape} {image.dtype}"
        )
    if not (mask.min() >= 0 and mask.max() <= 1):  # also false for NaN
        raise FaceError("the mask has values that are not in 0..1")
    result = image.copy()
    back = invert(matrix)
    height, width = image.shape[:2]
    margin = int(np.ceil(max(scale_of(back), 2))) + 1
    x1, y1, x2, y2 = _reach(back, mask.shape, margin, within=(height, width))
    if x1 >= x2 or y1 >= y2:
        return result
    local = _shifted(back, -x1, -y1)
    size = (x2 - x1, y2 - y1)
    weight = _warp(mask.astype(np.float32), local, size, cv2.BORDER_CONSTANT).clip(0, 1)
    new = warp(crop, local, size).astype(np.float32)
    old = image[y1:y2, x1:x2].astype(np.float32)
    mixed = old + weight.reshape(weight.shape + (1,) * (image.ndim - 2)) * (new - old)
    if image.dtype != np.float32:
        mixed = np.rint(mixed)
    touched = weight > 0
    result[y1:y2, x1:x2][touched] = mixed.astype(image.dtype)[touched]
    return result


def _warp(image: NDArray[Any], matrix: Matrix, size: tuple[int, int], border: int) -> NDArray[Any]:
    """`warp` with OpenCV's border rule."""
    shrink = 1 / scale_of(matrix)
    margin = int(np.ceil(3 * max(shrink, 1))) + 2
    height, width = image.shape[:2]
    x1, y1, x2, y2 = _reach(invert(matrix), (size[1], size[0]), margin, within=(height, width))
    # A view that misses the picture altogether still sees its border.
    x1, y1 = min(x1, width - 1), min(y1, height - 1)
    part: NDArray[Any] = image[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)]
    # Whole blocks are averaged first: cheap, and what remains to be smoothed is at most a factor of four.
    block = max(int(shrink // 2), 1)
    if block > 1:
        down, right = -part.shape[0] % block, -part.shape[1] % block
        part = cv2.copyMakeBorder(part, 0, down, 0, right, border)
        part = cv2.resize(part, (part.shape[1] // block, part.shape[0] // block), interpolation=cv2.INTER_AREA)
    rest = shrink / block
    if rest > 1:
        sigma = np.sqrt(rest**2 - 1) / 2
        radius = int(np.ceil(3 * sigma))
        part = cv2.GaussianBlur(part, (2 * radius + 1, 2 * radius + 1), sigma, borderType=border)
    middle = (block - 1) / 2  # where the first block's centre lies
    seen = matrix @ np.array([[block, 0, x1 + middle], [0, block, y1 + middle], [0, 0, 1]])
    warped = cv2.warpAffine(part, seen, size, flags=cv2.INTER_LINEAR, borderMode=border)
    return warped.reshape(size[1], size[0], *image.shape[2:])


def _reach(matrix: Matrix, shape: tuple[int, ...], margin: int, within: tuple[int, int]) -> tuple[int, int, int, int]:
    """(x1, y1, x2, y2), half open: what of a picture `within` (height, width) an array of `shape` lands on."""
    height, width = shape[:2]
    corners = transform([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], matrix)
    limit = np.array([within[1], within[0]])
    low = np.clip(np.floor(corners.min(axis=0)) - margin, 0, limit).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + margin + 1, 0, limit).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _shifted(matrix: Matrix, x: float, y: float) -> Matrix:
    """The matrix, then a shift."""
    shifted: Matrix = matrix + np.array([[0, 0, x], [0, 0, y]])
    return shifted


def _points(points: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(points, np.float64)
    if array.ndim != 2 or array.shape[1] != 2 or not (np.abs(array) < 1e9).all():  # false for NaN
        raise FaceError("landmarks must be finite numbers in pixels, one row (x, y) for each point")
    return array
