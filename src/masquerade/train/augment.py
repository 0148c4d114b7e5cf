"""What happens to a face between a portrait and a traffic camera, so that encoders learn to see through it.

Everything is drawn from the generator handed in: the same generator gives the same picture.
"""

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from masquerade.train.data import INPUT, SIDE

Face = NDArray[np.uint8]

SMALLEST = 24
"""Pixels: the side of the smallest face that an encoder should still recognise."""


def degraded(face: Face, rng: np.random.Generator, hardness: float = 1.0) -> Face:
    """A worse picture of the same person: uint8 RGB, (128, 128, 3) → (112, 112, 3), perhaps mirrored.

    `hardness` scales the chance of each change but mirror and misalignment, which always happen.
    """
    face = _misaligned(face, rng)
    for change, chance in (
        (lit, 0.5),
        (_occluded, 0.2),
        (_blurred, 0.2),
        (_low_resolution, 0.3),
        (_noisy, 0.1),
        (_grey, 0.12),
        (_jpeg, 0.25),
    ):
        if rng.random() < hardness * chance:
            face = change(face, rng)
    return face


def poor(face: Face, rng: np.random.Generator) -> Face:
    """The same view by a poor camera: out of focus, small, noisy or coarsely coded, now and then two of these."""
    changes = (_blurred, _low_resolution, _noisy, _jpeg)
    for i in rng.choice(len(changes), 1 + int(rng.random() < 0.4), replace=False):
        face = changes[i](face, rng)
    return face


def lit(face: Face, rng: np.random.Generator) -> Face:
    """The same view in other light: its exposure, contrast and colour, by one table a channel."""
    levels = np.linspace(0, 1, 256)[:, None]
    gamma = np.exp(rng.normal(0, 0.3)) * np.exp(rng.normal(0, 0.08, 3))
    table = (levels**gamma - 0.5) * np.exp(rng.normal(0, 0.2)) + 0.5 + rng.normal(0, 0.06)
    return _picture(cv2.LUT(face, (255 * table.clip(0, 1)).astype(np.uint8)[None]))


def covered(face: Face, rng: np.random.Generator) -> tuple[Face, Face]:
    """Something in front of a face (h, h, 3): a hand, a cup, a microphone, a bar; up to a fifth of the picture.

    Returns:
        The picture with it, and where it is: uint8 (h, h), 0 or 255.
    """
    side = len(face)
    where = np.zeros((side, side), np.uint8)
    place = rng.uniform(0.1, 0.9, 2) * side
    angle = rng.uniform(0, 180)
    if rng.random() < 0.3:
        along = side * np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))])
        ends = [tuple(map(int, place + way * along)) for way in (-1, 1)]
        cv2.line(where, ends[0], ends[1], 255, int(side * rng.uniform(0.04, 0.12)))
    else:
        for _ in range(rng.integers(1, 4)):
            axes = (side * rng.uniform(0.05, 0.2, 2)).astype(int).tolist()
            cv2.ellipse(where, tuple(map(int, place)), axes, angle, 0, 360, 255, -1)
            place += rng.normal(0, 0.1 * side, 2)
    # Every other one has the colour of this skin, as a hand has.
    middle = face[side // 2 : 3 * side // 4, side // 3 : 2 * side // 3].reshape(-1, 3)
    colour = np.median(middle, 0) * np.exp(rng.normal(0, 0.15)) if rng.random() < 0.5 else rng.uniform(0, 255, 3)
    coarse = rng.normal(0, 0.18, (4, 4)).astype(np.float32)
    shade = 1 + cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)[..., None]
    front = colour * shade + rng.normal(0, 3, face.shape)
    soft = cv2.GaussianBlur(where, (0, 0), 0.8)[..., None] / 255
    return _picture((face + (front - face) * soft).clip(0, 255).astype(np.uint8)), where


def blinking(face: Face, lids: NDArray[np.float32], rng: np.random.Generator) -> Face:
    """The same face with its eyes shut, or partly: there are hardly any in archives of photos that somebody kept.

    The upper lid comes down over the eye, which stays as it is below; its skin is stretched from under the brow.

    Args:
        face: RGB uint8 (h, h, 3).
        lids: as `geometry.lids` gives them, (2, 2, 9, 2), in pixels of a crop of 128.
    """
    closed = 1.0 if rng.random() < 0.5 else rng.uniform(0.3, 1.0)
    side = len(face)
    y, x = np.indices((side, side)).astype(np.float32)
    from_x, from_y = x.copy(), y.copy()
    for eye in (lids + 0.5) * (side / SIDE) - 0.5:
        corner, other = eye[:, 0].mean(0), eye[:, -1].mean(0)
        width = float(np.linalg.norm(other - corner))
        if width < 1:
            continue
        along = (other - corner) / width
        down = np.array([-along[1], along[0]])
        places = (x - corner[0]) * along[0] + (y - corner[1]) * along[1]
        height = (x - corner[0]) * down[0] + (y - corner[1]) * down[1]
        upper, lower = (
            np.interp(places, (line - corner) @ along, (line - corner) @ down, left=0, right=0) for line in eye
        )
        # Below the lid's edge lie the lashes, and the mesh's eye is a little smaller than the real one.
        edge = upper + closed * (np.maximum(lower - upper, 0) + 0.04 * width)
        crease = upper - 0.3 * width
        inside = (places > 0) & (places < width) & (height > crease) & (height < edge)
        up = np.where(inside, (height - crease) / (edge - crease) * (upper - crease) + crease - height, 0)
        from_x, from_y = from_x + up * down[0], from_y + up * down[1]
    from_x, from_y = from_x.astype(np.float32), from_y.astype(np.float32)
    return _picture(cv2.remap(face, from_x, from_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def low_resolution(face: Face, side: int) -> Face:
    """The face as a camera sees it that has only `side` pixels for it, brought back to its size."""
    small = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
    return _picture(cv2.resize(small, face.shape[1::-1], interpolation=cv2.INTER_LINEAR))


def _misaligned(face: Face, rng: np.random.Generator) -> Face:
    """Mirror, and the errors of five landmarks: a few degrees, per cent and pixels. One warp does it all."""
    centre = (SIDE - 1) / 2
    strength = rng.choice([0.3, 1.0])
    warp = cv2.getRotationMatrix2D(
        (centre, centre), strength * rng.normal(0, 4), INPUT / SIDE * np.exp(strength * rng.normal(0, 0.04))
    )
    warp[:, 2] += (INPUT - 1) / 2 - centre + strength * rng.normal(0, 2, 2)
    if rng.random() < 0.5:
        face = face[:, ::-1]
    return _picture(cv2.warpAffine(face, warp, (INPUT, INPUT), borderMode=cv2.BORDER_REPLICATE))


def _occluded(face: Face, rng: np.random.Generator) -> Face:
    """A hand, a scarf, a pole: a box of one colour over up to a quarter of the picture."""
    h, w = (INPUT * np.exp(rng.uniform(np.log(0.15), np.log(0.6), 2))).astype(int)
    y, x = rng.integers(0, INPUT - h), rng.integers(0, INPUT - w)
    face = face.copy()
    face[y : y + h, x : x + w] = rng.integers(0, 256, 3)
    return face


def _blurred(face: Face, rng: np.random.Generator) -> Face:
    """Out of focus, or moving in a straight line."""
    if rng.random() < 0.6:
        return _picture(cv2.GaussianBlur(face, (0, 0), rng.uniform(0.5, 3)))
    length = int(rng.integers(3, 12))
    line = np.zeros((length, length), np.float32)
    line[length // 2] = 1
    turn = cv2.getRotationMatrix2D(((length - 1) / 2, (length - 1) / 2), rng.uniform(0, 180), 1)
    kernel = cv2.warpAffine(line, turn, (length, length))
    return _picture(cv2.filter2D(face, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE))


def _low_resolution(face: Face, rng: np.random.Generator) -> Face:
    return low_resolution(face, int(np.exp(rng.uniform(np.log(SMALLEST), np.log(80)))))


def _noisy(face: Face, rng: np.random.Generator) -> Face:
    noise = rng.normal(0, rng.uniform(2, 14), face.shape)
    return _picture((face + noise).clip(0, 255).astype(np.uint8))


def _grey(face: Face, rng: np.random.Generator) -> Face:
    del rng
    return _picture(cv2.cvtColor(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB))


def _jpeg(face: Face, rng: np.random.Generator) -> Face:
    coded = cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 80))])[1]
    return _picture(cv2.imdecode(coded, cv2.IMREAD_COLOR))


def _picture(array: ArrayLike | None) -> Face:
    return np.asarray(array, np.uint8)
