"""An expression measured in millimetres, so to say: what lips, lids and brows do, in a mesh of 468 points.

The mesh is turned upright first, by what no expression moves (the corners of the eyes, the bridge and the root of the
nose), so that a turned head measures as a frontal one. Lengths are in units of the distance between the outer corners
of the eyes.
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from masquerade.models.runtime import open_session
from masquerade.train.data import SIDE

_SEEN = 1.25
"""The mesh looks at a square this much wider than the aligned crop, which ends at the chin."""
_CENTRE = 0.53
"""Where the centre of that square lies in the crop, from its top."""
_MESH_SIDE = 192

# Points of the mesh, by what they lie on; left and right as the picture shows them.
_OUTER_CORNERS, _INNER_CORNERS = (33, 263), (133, 362)
_BRIDGE, _NOSE_ROOT, _CHIN = 168, 2, 152
_LIP_TOP, _LIP_BOTTOM, _INNER_TOP, _INNER_BOTTOM = 0, 17, 13, 14
_MOUTH = (61, 291)
_LIDS = (((160, 144), (159, 145), (158, 153)), ((385, 380), (386, 374), (387, 373)))
_UPPER_LIDS = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (362, 398, 384, 385, 386, 387, 388, 466, 263))
_LOWER_LIDS = ((33, 7, 163, 144, 145, 153, 154, 155, 133), (362, 382, 381, 380, 374, 373, 390, 249, 263))
_INNER_BROWS, _OUTER_BROWS = ((55, 107), (285, 336)), ((63, 105), (293, 334))


def mesh(models: Path) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """The network `face_landmark.tflite` as a function: aligned crops (n, 128, 128, 3) → points (n, 468, 3).

    Points are in pixels of the crop, x to the right, y down, z away from the camera.
    """
    session = open_session(models / "face_landmark.tflite", threads=1)
    (entrance,), (points, _) = session.inputs, session.outputs
    scale = _MESH_SIDE / (_SEEN * SIDE)
    middle, centre = (_MESH_SIDE - 1) / 2, np.array([0.5 * (SIDE - 1), _CENTRE * SIDE])
    into = np.column_stack([scale * np.eye(2), middle - scale * centre])

    def look(faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        found = []
        for face in faces:
            seen = cv2.warpAffine(face, into, (_MESH_SIDE, _MESH_SIDE), borderMode=cv2.BORDER_REPLICATE)
            said = session.run({entrance.name: seen[None].astype(np.float32) / 255})[points.name]
            found.append((said.reshape(-1, 3) - [*into[:, 2], 0]) / scale)
        return np.asarray(found, np.float32)

    return look


def lids(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Where lids run, of meshes (n, 468, 3), from left to right: (n, 2 eyes, upper and lower, 9 points, x and y)."""
    lines = np.array([_UPPER_LIDS, _LOWER_LIDS]).swapaxes(0, 1)
    return points[:, lines, :2]


def measured(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """What `faces.expression.MEASURES` names, of meshes (n, 468, 3); (n, 10)."""
    p = upright(points)

    def apart(one: int, other: int) -> NDArray[np.float64]:
        gap: NDArray[np.float64] = np.linalg.norm(p[:, one] - p[:, other], axis=1)
        return gap

    def height(*which: int) -> NDArray[np.float64]:
        above: NDArray[np.float64] = -p[:, list(which), 1].mean(1)
        return above

    eyes = [
        np.mean([apart(top, bottom) for top, bottom in lids], 0) / apart(outer, inner)
        for lids, outer, inner in zip(_LIDS, _OUTER_CORNERS, _INNER_CORNERS, strict=True)
    ]
    values = [
        apart(_INNER_TOP, _INNER_BOTTOM),
        height(_NOSE_ROOT) - height(_CHIN),
        apart(*_MOUTH),
        height(*_MOUTH) - height(_INNER_TOP, _INNER_BOTTOM),
        height(_LIP_TOP) - height(_NOSE_ROOT),
        apart(_LIP_TOP, _INNER_TOP) + apart(_INNER_BOTTOM, _LIP_BOTTOM),
        np.mean(eyes, 0),
        height(*_INNER_BROWS[0], *_INNER_BROWS[1]) - height(*_INNER_CORNERS),
        height(*_OUTER_BROWS[0], *_OUTER_BROWS[1]) - height(*_OUTER_CORNERS),
        apart(_INNER_BROWS[0][0], _INNER_BROWS[1][0]),
    ]
    return np.stack(values, 1).astype(np.float32)


def upright(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """Meshes (n, 468, 3) as seen from the front, the bridge of the nose at 0, the outer corners of the eyes 1 apart."""
    centred = points.astype(np.float64) - points[:, [_BRIDGE]]
    across = _unit(centred[:, _OUTER_CORNERS[1]] - centred[:, _OUTER_CORNERS[0]])
    down = centred[:, _NOSE_ROOT]
    down = _unit(down - (down * across).sum(1, keepdims=True) * across)
    axes = np.stack([across, down, np.cross(across, down)], 1)
    turned: NDArray[np.float64] = centred @ axes.transpose(0, 2, 1)
    width = np.linalg.norm(turned[:, _OUTER_CORNERS[1]] - turned[:, _OUTER_CORNERS[0]], axis=1)
    scaled: NDArray[np.float64] = turned / width[:, None, None]
    return scaled


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    length: NDArray[np.float64] = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float64] = vectors / length
    return unit
