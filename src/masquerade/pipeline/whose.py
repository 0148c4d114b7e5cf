"""Whose faces are these? Embeddings and their quality, read from a frame by region."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from masquerade.errors import FaceError
from masquerade.faces.align import crop_around, estimate_similarity, template
from masquerade.faces.quality import quality
from masquerade.media import Frame
from masquerade.types import Face, Points

if TYPE_CHECKING:
    from masquerade.faces.embed import Encoder

SMALLEST = 20.0
"""Pixels: of a face that is narrower or lower nobody is asked whose it is."""

_DOUBTED, _BELIEVED = 0.3, 0.7
"""Detector's scores: at most the first tell nothing (backs of heads resemble each other), from the second on all."""

_SIDE = 112


def whose(encoder: "Encoder", frame: Frame, faces: Sequence[Face]) -> tuple[NDArray[np.float32], list[float]]:
    """What an encoder says of the faces of a frame.

    Faces that are too small, doubtful, without landmarks or of quality 0 cost nothing.

    Args:
        frame: read only around the faces.

    Returns:
        Embeddings (n, dimensions), rows of NaN for who was not looked at, and qualities (n,), 0 there; a face of which
        the detector is not sure counts less.
    """
    embeddings = np.full((len(faces), encoder.dimensions), np.nan, np.float32)
    qualities = [0.0] * len(faces)
    crops: dict[int, NDArray[np.uint8]] = {}
    for number, face in enumerate(faces):
        if face.score <= _DOUBTED or min(face.box.width, face.box.height) < SMALLEST or face.landmarks is None:
            continue
        crop = _crop(frame, face.landmarks)
        if crop is not None:
            believed = min((face.score - _DOUBTED) / (_BELIEVED - _DOUBTED), 1.0)
            qualities[number] = believed * quality(crop, face.landmarks, face.box)
            if qualities[number] > 0:
                crops[number] = crop
    if crops:
        embeddings[list(crops)] = encoder.embed_crops(np.stack(list(crops.values())))
    return embeddings, qualities


def _crop(frame: Frame, landmarks: Points) -> NDArray[np.uint8] | None:
    """The aligned crop; None where it lies outside the picture, or the landmarks fix none."""
    try:
        matrix = estimate_similarity(landmarks, template(_SIDE))
    except FaceError:
        return None
    return crop_around(frame, matrix, _SIDE)
