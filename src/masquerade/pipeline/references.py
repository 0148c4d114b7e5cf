"""Reference photos → the people they show."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from masquerade.errors import InputError
from masquerade.faces.detect import Detector, detect_everywhere
from masquerade.identity import GOOD, Reference
from masquerade.media import IMAGE_FORMATS, open_image
from masquerade.pipeline.whose import whose
from masquerade.types import Embedding

if TYPE_CHECKING:
    from masquerade.faces.embed import Encoder

_SURE = 0.6
"""Score from which something in a photo counts as a face: in the background much might be one."""


def read_references(paths: Sequence[Path], detector: Detector, encoder: "Encoder") -> tuple[Reference, ...]:
    """The people whom photos show.

    Args:
        paths: photos with exactly one face each, a person each; or folders of such photos, a folder a person.
        detector: finds the faces.
        encoder: tells who they are; the one that tracks people in the video.

    Raises:
        InputError: a photo cannot be read, or shows no face, several, or one too small, blurred or turned away; a
            folder holds no photo.
    """
    return tuple(_read(path, detector, encoder) for path in paths)


def _read(path: Path, detector: Detector, encoder: "Encoder") -> Reference:
    photos = [path]
    if path.is_dir():
        photos = sorted(file for file in path.iterdir() if file.suffix.lower() in IMAGE_FORMATS)
        if not photos:
            raise InputError(
                "no photo in this folder", path=path, hint="Give photos of one person, or a folder of them"
            )
    mean = np.mean([embed_photo(photo, detector, encoder) for photo in photos], axis=0)
    return Reference(path.name, (mean / np.linalg.norm(mean)).astype(np.float32))


def embed_photo(path: Path, detector: Detector, encoder: "Encoder") -> Embedding:
    """The identity of the one face that a photo shows, unit vector (d,).

    Raises:
        InputError: as `read_references`.
    """
    frame = open_image(path).frame
    found = detect_everywhere(detector, frame.thumbnail(frame.width, frame.height), turned=True)
    faces = [face for face in found if face.score >= _SURE]
    if len(faces) != 1:
        said = f"{len(faces)} faces were" if faces else "no face was"
        raise InputError(
            f"{said} found, and a reference photo shows exactly one", path=path, hint="Crop it to the one person"
        )
    [face] = faces
    embeddings, qualities = whose(encoder, frame, [face])
    if qualities[0] < GOOD:
        raise InputError(
            "the face is too small, blurred or turned away to know anybody by it",
            path=path,
            hint="Choose another photo",
        )
    identity: Embedding = embeddings[0]
    return identity
