"""A swapped crop → back into the picture, without a seam. Pure functions.

A swapper sees a face at its own side and says what the whole crop should look like. Six things stand between that
and the picture: only the face may change (a soft oval, so that what surrounds it stays sharp), light and colour must
go over into each other at its edge (`matched`), no place of it may leave the face's colour as it did not before
(`unstained`), the face must not be softer than the one before (`sharpened`), its eyes must not shine in colours that no
eye has (`natural_eyes`), and it must not look smoother than what surrounds it, however large it is (`grained`).
"""

from collections.abc import Callable, Sequence
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from masquerade.errors import FaceError
from masquerade.faces.align import Matrix, invert, paste, scale_of, warp
from masquerade.types import Pixels

Crop = NDArray[np.float32]
"""RGB in [−1, 1], (side, side, 3)."""

Mask = NDArray[np.float32]
"""0 to 1, (side, side)."""

_FEATHER = 0.09
"""Width of the soft edge, in sides of the crop."""
_ROUNDNESS = 3.0
"""Exponent of the oval: 2 is an ellipse, more is squarer. Cheeks and jaw fill corners that an ellipse leaves out."""
_REACH = 0.16
"""How far a difference in colour at the edge is carried into the face: a Gaussian's sigma, in sides of the crop."""
_STRONGEST = 0.25
"""Of a correction of colour, where the whole range is 2: what differs more is no light but something in front."""
_STAIN = 0.02
"""Of Cr and Cb, whose range is 1: by so much a place may leave the face's colour farther than it did before."""
_FINE = 1.25
"""Sigma of the Gaussian, in pixels of a crop of 128, that tells what a swapper draws too softly from the rest."""
_SHARPEST = 1.0
"""By which share of itself that may be raised: beyond, edges begin to shine."""
_EYE = (0.33, 0.175)
"""Half the width and height of what belongs to an eye, in distances of the eyes."""
_COLOURS = (2, 98)
"""Percentiles between which an eye's colours lie, if single pixels are left out."""
_TONES = (3, 97)
"""The same of its lights and darks."""
_DEEPEST = 1.7
"""As many times these may be driven apart."""
_GRADUALLY = 0.25
"""Of a face that is so much larger than the crop, all detail is `enlarge`'s; of smaller ones some."""
_COARSEST = 0.03
"""Of the grain, in shares of white."""
_CALM = 0.3246
"""Mean of the smaller half of the absolute values of normal noise, in its standard deviations."""
_ENOUGH = 200
"""Pixels of a face in which noise can be measured."""


def face_mask(template: NDArray[np.float32], side: int) -> Mask:
    """Where a face lies in a crop whose five landmarks lie at `template`: 1 inside, a soft edge, 0 at the border.

    Proportions are those of a face seen from the front: it reaches 1.3 eye distances to either side of its middle line,
    one and a half above the eyes, and as far below the mouth as the mouth is below the nose, and again half of that.

    Args:
        template: (5, 2), pixels of the crop.
        side: of the crop.
    """
    eyes, nose, mouth = template[:2].mean(axis=0), template[2], template[3:].mean(axis=0)
    between = float(np.linalg.norm(template[1] - template[0]))
    top, bottom = eyes[1] - 1.5 * between, mouth[1] + 1.5 * (mouth[1] - nose[1])
    half_w, half_h = 1.3 * between, (bottom - top) / 2
    x, y = np.arange(side) - eyes[0], np.arange(side) - (top + bottom) / 2
    radius = (np.abs(x / half_w)[None] ** _ROUNDNESS + np.abs(y / half_h)[:, None] ** _ROUNDNESS) ** (1 / _ROUNDNESS)
    oval = (1 - radius) * min(half_w, half_h) / (_FEATHER * side) + 0.5
    # Beyond the crop there is nothing to show, so the mask fades out before its border wherever the face goes on.
    to_border = np.minimum(np.arange(side) + 0.5, side - 0.5 - np.arange(side)) / (_FEATHER * side)
    return _smooth(np.minimum(oval, np.minimum(to_border[None], to_border[:, None])))


def eye_masks(template: NDArray[np.float32], side: int) -> tuple[Mask, Mask]:
    """Where the eyes lie in a crop, each for itself: 1 inside a low ellipse, a soft edge, 0 around it.

    Args:
        template: (5, 2), pixels of the crop.
        side: of the crop.
    """
    between = float(np.linalg.norm(template[1] - template[0]))
    columns, rows = np.arange(side)[None], np.arange(side)[:, None]
    left, right = (
        ((1.25 - np.hypot((columns - x) / (_EYE[0] * between), (rows - y) / (_EYE[1] * between))) / 0.5).clip(0, 1)
        for x, y in template[:2]
    )
    return left.astype(np.float32), right.astype(np.float32)


def matched(new: Crop, old: Crop, mask: Mask) -> Crop:
    """The new face in the light of the old one: what differs at the mask's edge is carried smoothly inwards.

    Only slow differences are taken over, no detail: they say how bright the light is and from where it comes, not whose
    face it falls on.

    Args:
        new, old: the crop after and before.
        mask: where the new face will show.
    """
    side = len(new)
    # In small, where a wide Gaussian costs nothing.
    small = (max(8, side // 4),) * 2
    edge = cv2.resize(mask * (1 - mask), small, interpolation=cv2.INTER_AREA)[..., None]
    difference = cv2.resize((old - new).clip(-_STRONGEST, _STRONGEST), small, interpolation=cv2.INTER_AREA)
    sigma = _REACH * small[0]
    total = _blurred(difference * edge, sigma)
    weight = _blurred(np.repeat(edge, 3, axis=2), sigma)
    correction = cv2.resize(total / np.maximum(weight, 1e-6), (side, side), interpolation=cv2.INTER_CUBIC)
    corrected: Crop = (new + correction).clip(-1, 1)
    return corrected


def unstained(new: Crop, old: Crop, mask: Mask) -> Crop:
    """The new face without stains: now and then a swapper reddens a temple, or paints a brow green.

    No place may be farther from the colour of the whole face (Cr and Cb, without any detail) than it was before, but
    for `_STAIN`: what is farther goes back towards the new face's own colour. Of the old face only that distance is
    taken over, no colour. Light and dark stay as they were made.

    Args:
        new, old: the crop after and before.
        mask: where the new face will show.
    """
    side = len(new)
    small = (max(8, side // 4),) * 2
    inside = cv2.resize(mask, small, interpolation=cv2.INTER_AREA) > 0.5
    if not inside.any():  # a swapper's own mask may show hardly anything
        return new

    def away(crop: Crop) -> NDArray[np.float32]:
        """How each place differs from the face's colour."""
        colours = cv2.cvtColor((crop + 1) / 2, cv2.COLOR_RGB2YCrCb)[..., 1:]
        places = cv2.resize(colours, small, interpolation=cv2.INTER_AREA)
        return np.asarray(places - np.median(places[inside], axis=0), np.float32)

    now = away(new)
    far, allowed = (np.linalg.norm(colour, axis=2, keepdims=True) for colour in (now, away(old)))
    beyond = now * (1 - (allowed + _STAIN) / np.maximum(far, 1e-6)).clip(0)
    whole = np.asarray(cv2.cvtColor((new + 1) / 2, cv2.COLOR_RGB2YCrCb), np.float32)
    whole[..., 1:] -= np.asarray(cv2.resize(beyond, (side, side), interpolation=cv2.INTER_CUBIC), np.float32)
    return np.asarray(cv2.cvtColor(whole, cv2.COLOR_YCrCb2RGB) * 2 - 1, np.float32).clip(-1, 1)


def sharpened(new: Crop, old: Crop, mask: Mask) -> Crop:
    """The new face as sharp as the old one was: its finest detail, raised to as much of it.

    One number is taken over from the old face, how much detail there is. What the swapper did not draw is not there
    afterwards either.

    Args:
        new, old: the crop after and before.
        mask: where the new face will show.
    """
    sigma = _FINE * len(new) / 128
    detail = new - _blurred(new, sigma)
    had, has = (
        float(np.sqrt(((band**2).mean(axis=2) * mask).sum() / max(float(mask.sum()), 1e-6)))
        for band in (old - _blurred(old, sigma), detail)
    )
    raised: Crop = (new + min(max(had / max(has, 1e-6) - 1, 0.0), _SHARPEST) * detail).clip(-1, 1)
    return raised


def natural_eyes(new: Crop, old: Crop, eyes: Sequence[Mask]) -> Crop:
    """The new face with eyes in colours that eyes have, and as deep: a swapper paints them too pale, or pink and green.

    Ranges are taken over from the old eye, no pixel: its colours (Cr and Cb) bound the new one's, and the new one's
    lights and darks are driven apart until they are as far from its middle as the old one's from its own.

    Args:
        new, old: the crop after and before.
        eyes: `eye_masks`.
    """
    if not eyes:
        return new
    now, then = (cv2.cvtColor((crop + 1) / 2, cv2.COLOR_RGB2YCrCb).astype(np.float32) for crop in (new, old))
    for eye in eyes:
        inside = eye > 0.5
        for channel in (1, 2):
            low, high = np.percentile(then[..., channel][inside], _COLOURS)
            now[..., channel] += eye * (now[..., channel].clip(low, high) - now[..., channel])
        tones = now[..., 0]
        (dark, middle, bright), (was_dark, was_middle, was_bright) = (
            np.percentile(crop[..., 0][inside], (_TONES[0], 50, _TONES[1])) for crop in (now, then)
        )
        deeper = (was_middle - was_dark) / max(middle - dark, 1e-3)
        lighter = (was_bright - was_middle) / max(bright - middle, 1e-3)
        times = np.where(tones < middle, deeper, lighter).clip(1, _DEEPEST).astype(np.float32)
        now[..., 0] += eye * (times - 1) * (tones - np.float32(middle))
    return np.asarray(cv2.cvtColor(now, cv2.COLOR_YCrCb2RGB) * 2 - 1, np.float32).clip(-1, 1)


def blend(
    picture: Pixels,
    new: Crop,
    matrix: Matrix,
    mask: Mask,
    *,
    old: Crop | None = None,
    eyes: Sequence[Mask] = (),
    seed: int = 0,
    enlarge: Callable[[Crop], Crop] | None = None,
) -> Pixels:
    """The picture with the new face in it.

    Args:
        picture: RGB, uint8 or uint16, (height, width, 3).
        new: what the swapper made.
        matrix: maps the picture's pixels to the crop's.
        mask: `face_mask`, or that times the swapper's own.
        old: what the swapper was given; taken from the picture if not at hand.
        eyes: `eye_masks`; without them eyes stay as they were made.
        seed: of the grain, so that the same picture is always finished alike.
        enlarge: draws a crop at twice its side, where the face is larger than the crop; None for mere interpolation.

    Returns:
        A new picture; pixels outside the mask have their old bits.

    Raises:
        FaceError: sizes or types that do not belong together.
    """
    if new.dtype != np.float32 or new.shape != (*mask.shape, 3):
        raise FaceError(f"a new face is float32 and as large as its mask, not {new.dtype} {new.shape} for {mask.shape}")
    if old is None:
        old = cut(picture, matrix, len(mask))
    finished = sharpened(unstained(matched(new, old, mask), old, mask), old, mask)
    finished = natural_eyes(finished, old, eyes)
    finer, matrix, mask = _at_least_as_fine(finished, matrix, mask, enlarge)
    finished = (finer + np.float32(1)) / np.float32(2)
    crop = (finished.clip(0, 1) * np.float32(np.iinfo(picture.dtype).max)).round().astype(picture.dtype)
    # Both are of the picture's own type, which the checker cannot see through a union.
    pasted = paste(cast("NDArray[np.uint8]", picture), cast("NDArray[np.uint8]", crop), matrix, mask)
    shown = cv2.copyMakeBorder(mask[1:-1, 1:-1], 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)  # and so nothing around it
    weight = warp(np.asarray(shown, np.float32), invert(matrix), (picture.shape[1], picture.shape[0]))
    return grained(pasted, picture, weight, seed)


def grained(new: Pixels, old: Pixels, weight: Mask, seed: int) -> Pixels:
    """The new face with as much noise as the old one had, where the swapper has averaged it away.

    Both are measured in the face, at the picture's own resolution. What lacks comes from a generator and not from the
    old face, whose pores are somebody's.

    Args:
        new, old: the picture after and before, of one type, (height, width, 3).
        weight: where the new face shows, 0 to 1, (height, width). Where it is 0, pixels keep their bits.
        seed: of the noise.
    """
    lacking = _noise(old, weight) ** 2 - _noise(new, weight) ** 2
    if lacking <= 0:
        return new
    white = np.iinfo(new.dtype).max
    noise = np.random.default_rng(seed).standard_normal(weight.shape, np.float32)
    noise *= weight * np.float32(min(np.sqrt(lacking), _COARSEST) * white)
    return cast("Pixels", (new + noise[..., None]).round().clip(0, white).astype(new.dtype))


def _noise(picture: Pixels, weight: Mask) -> float:
    """Its standard deviation in shares of white; of green, which is most of what is seen. A hundred rows will do.

    By the calmer half of the finest differences: the other half may be hair, beard and lashes.
    """
    rows = slice(0, -1, max(1, len(picture) // 100))
    below = slice(1, None, rows.step)
    green = picture[..., 1].astype(np.float32)
    across = np.diff(green, axis=1)
    finest = (across[rows] - across[below])[weight[rows, :-1] > 0.5]
    if len(finest) < _ENOUGH:
        return 0.0
    half = len(finest) // 2
    calm = float(np.partition(np.abs(finest), half)[:half].mean())
    return calm / _CALM / 2 / float(np.iinfo(picture.dtype).max)


def _at_least_as_fine(
    crop: Crop, matrix: Matrix, mask: Mask, enlarge: Callable[[Crop], Crop] | None
) -> tuple[Crop, Matrix, Mask]:
    """The crop with pixels no larger than the picture's: a curve through them looks sharper than straight lines do."""
    larger = 1 / scale_of(matrix)
    times = int(np.ceil(larger - 1e-6))
    if times <= 1:
        return crop, matrix, mask
    side = (times * len(mask),) * 2
    finer = matrix * times
    finer[:, 2] += (times - 1) / 2  # centres of first pixels lie at (0, 0) in both
    grown = np.asarray(cv2.resize(crop, side, interpolation=cv2.INTER_CUBIC), np.float32)
    if enlarge is not None:
        # By and by, so that nobody sees from where on a face that comes nearer is larger than the crop.
        share = np.float32(min((larger - 1) / _GRADUALLY, 1))
        grown += share * (cv2.resize(enlarge(crop), side, interpolation=cv2.INTER_CUBIC) - grown)
    return grown, finer, np.asarray(cv2.resize(mask, side, interpolation=cv2.INTER_LINEAR), np.float32)


def cut(picture: Pixels, matrix: Matrix, side: int) -> Crop:
    """The crop of `side` pixels that the matrix maps the picture to."""
    shown = warp(cast("NDArray[np.uint8]", picture), matrix, (side, side))
    crop: Crop = shown.astype(np.float32) * np.float32(2 / np.iinfo(picture.dtype).max) - np.float32(1)
    return crop


def to_pixels(crop: Crop) -> NDArray[np.uint8]:
    """[−1, 1] → 0 to 255."""
    return ((crop + 1) * 127.5).round().clip(0, 255).astype(np.uint8)


def _smooth(ramp: NDArray[np.floating]) -> Mask:
    """0 below 0, 1 above 1, between them without a corner at either end."""
    t = ramp.clip(0, 1)
    smooth: Mask = (t * t * (3 - 2 * t)).astype(np.float32)
    return smooth


def _blurred(maps: NDArray[np.floating], sigma: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(maps.astype(np.float32), (0, 0), sigma, borderType=cv2.BORDER_REPLICATE))
