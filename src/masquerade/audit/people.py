"""Photos of people whose names are known → their faces' vectors, and which of them are compared."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from masquerade.audit.verification import Labels, NamedPair, Pairs, make_pairs, read_pairs
from masquerade.errors import InputError, OptionError
from masquerade.faces.align import template
from masquerade.faces.detect import Detector, detect_everywhere
from masquerade.faces.embed import Encoder
from masquerade.identity import START_SCORE
from masquerade.media import IMAGE_FORMATS, open_image
from masquerade.types import Face, Points

MOST = 4_000_000
"""Pairs of each kind that are compared; of a larger folder so many are drawn."""
_SECOND = 0.25
"""Share of the largest face's area: smaller faces are people in the background."""

Progress = Callable[[int, int], None]
"""Told (photos looked at, photos in all)."""


@dataclass(frozen=True, slots=True)
class Photo:
    """One picture of one known person.

    Attributes:
        path: the file.
        name: relative to the folder of the set, without its ending: "Ann_Lee/Ann_Lee_0001".
        person: whose folder it is in.
    """

    path: Path
    name: str
    person: str


@dataclass(frozen=True, slots=True)
class Sample:
    """Photos of known people.

    Attributes:
        name: of the folder or list.
        photos: all of them, sorted by name.
        listed: the pairs that are compared; None where all may be.
    """

    name: str
    photos: tuple[Photo, ...]
    listed: tuple[NamedPair, ...] | None = None

    def pairs(self, found: Sequence[Photo], most: int = MOST) -> tuple[Pairs, Labels | None]:
        """Which faces are compared, of those that were found.

        Args:
            found: photos with a face.
            most: of a folder, so many pairs of each kind are drawn with the seed 0 where there are more. Of a list,
                all are compared.

        Returns:
            (pairs of rows of `found`, their folds or None).

        Raises:
            InputError: no genuine or no impostor pair is left.
        """
        if self.listed is None:
            pairs, folds = make_pairs([photo.person for photo in found], most, most), None
        else:
            row = {photo.name: i for i, photo in enumerate(found)}
            kept = [pair for pair in self.listed if pair.first in row and pair.second in row]
            first, second = (
                np.array([row[getattr(pair, end)] for pair in kept], np.int64) for end in ("first", "second")
            )
            pairs = Pairs(first, second, np.array([pair.same for pair in kept], bool))
            folds = np.array([pair.fold for pair in kept], np.int64)
            if len(np.unique(folds)) < 2:
                folds = None
        if not pairs.same.any():
            raise InputError(f"{self.name}: no two faces of one person", hint="Give two or more photos of each person")
        if pairs.same.all():
            raise InputError(f"{self.name}: no faces of two people", hint="Give photos of two or more people")
        return pairs, folds


def read_sample(source: Path, images: Path | None = None) -> Sample:
    """The photos of a folder with one sub-folder for each person, or those that an LFW-style list of pairs names.

    Args:
        source: the folder, or the list.
        images: the folder that a list's names are relative to.

    Raises:
        InputError: nothing is there, or a photo that the list names is not.
        OptionError: a list without `images`, or a folder with them.
    """
    if source.is_dir():
        if images is not None:
            raise OptionError("--images belongs to a list of pairs", hint=f"{source} is a folder: leave it out")
        photos = _photos(source)
        people = {photo.person for photo in photos}
        if len(people) < 2:
            raise InputError(
                f"holds photos of {len(people)} people",
                path=source,
                hint="It must have one sub-folder for each person, with their photos",
            )
        if len(people) == len(photos):
            raise InputError("holds one photo of each person", path=source, hint="Give two or more of some")
        return Sample(source.name, tuple(photos))
    pairs = read_pairs(source)
    if images is None:
        raise OptionError("a list of pairs needs the folder of its photos", hint="Name it with --images")
    if not images.is_dir():
        raise InputError("no such folder", path=images, hint="Name the folder that holds one for each person")
    there = {photo.name: photo for photo in _photos(images)}
    wanted = sorted({name for pair in pairs for name in (pair.first, pair.second)})
    for name in wanted:
        if name not in there:
            raise InputError(f"there is no photo {name} in {images}", path=source, hint="Check --images")
    return Sample(source.name, tuple(there[name] for name in wanted), tuple(pairs))


def _photos(folder: Path) -> list[Photo]:
    paths = sorted(path for path in folder.glob("*/*") if path.suffix.lower() in IMAGE_FORMATS and path.is_file())
    return [Photo(path, f"{path.parent.name}/{path.stem}", path.parent.name) for path in paths]


@dataclass(frozen=True, slots=True)
class Embedded:
    """What encoders see in photos.

    Attributes:
        found: photos with a face.
        missed: those without one, which are left out.
        landmarks: of each face found, five points in pixels.
        vectors: for each encoder unit vectors, shape (found, dimensions).
    """

    found: tuple[Photo, ...]
    missed: tuple[Photo, ...]
    landmarks: tuple[Points, ...]
    vectors: tuple[NDArray[np.float32], ...]


def embed_photos(
    photos: Sequence[Photo],
    encoders: Sequence[Encoder],
    detector: Detector | None,
    progress: Progress = lambda done, total: None,
) -> Embedded:
    """Find the person's face in each photo and embed it with every encoder.

    Args:
        detector: finds faces; None where the photos are square crops aligned to the ArcFace template already.

    Raises:
        InputError: a photo cannot be read or is no square crop, or no face is found at all.
    """
    found, missed, landmarks = [], [], []
    vectors: list[list[NDArray[np.float32]]] = [[] for _ in encoders]
    for done, photo in enumerate(photos, start=1):
        image = read_rgb(photo.path)
        points = main_landmarks(image, detector) if detector else crop_landmarks(image, photo.path)
        if points is None:
            missed.append(photo)
        else:
            found.append(photo)
            landmarks.append(points)
            for encoder, rows in zip(encoders, vectors, strict=True):
                rows.append(encoder.embed(image, [points]))
        progress(done, len(photos))
    if not found:
        raise InputError(f"no face was found in any of {len(photos)} photos", hint="Are they crops? Say --aligned")
    return Embedded(tuple(found), tuple(missed), tuple(landmarks), tuple(np.concatenate(rows) for rows in vectors))


def embed_replaced(
    seen: Embedded,
    folder: Path,
    encoders: Sequence[Encoder],
    detector: Detector | None,
    progress: Progress = lambda done, total: None,
) -> tuple[tuple[NDArray[np.float32], ...], int]:
    """The same faces in another folder, where the same photos lie with their faces replaced.

    Where no face is found any more, the encoders look at the place where it was: whoever has the anonymized photo can
    guess that too.

    Args:
        seen: the original photos' faces.
        folder: holds a file of the same name for each of them, `PERSON/PHOTO`.
        encoders, detector, progress: as for `embed_photos`.

    Returns:
        (for each encoder unit vectors, shape (found, dimensions), how many faces were not found any more).

    Raises:
        InputError: a photo is not there or cannot be read.
    """
    vectors: list[list[NDArray[np.float32]]] = [[] for _ in encoders]
    gone = 0
    for done, (photo, points) in enumerate(zip(seen.found, seen.landmarks, strict=True), start=1):
        path = folder / photo.person / photo.path.name
        image = read_rgb(path)
        now = main_landmarks(image, detector) if detector else crop_landmarks(image, path)
        if now is None:
            gone += 1
            before = open_image(photo.path).frame
            now = points * np.array([image.shape[1] / before.width, image.shape[0] / before.height], np.float32)
        for encoder, rows in zip(encoders, vectors, strict=True):
            rows.append(encoder.embed(image, [now]))
        progress(done, len(seen.found))
    return tuple(np.concatenate(rows) for rows in vectors), gone


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """A photo, upright, as RGB uint8 (height, width, 3).

    Raises:
        InputError: it cannot be read.
    """
    frame = open_image(path).frame
    return frame.thumbnail(frame.width, frame.height)


def crop_landmarks(crop: NDArray[np.uint8], path: Path) -> Points:
    """Where the landmarks lie in a crop that is aligned already.

    Raises:
        InputError: it is not square.
    """
    height, width = crop.shape[:2]
    if height != width:
        raise InputError(f"is no aligned crop: {width}x{height} pixels", path=path, hint="Leave --aligned out")
    return template(width)


def main_landmarks(image: NDArray[np.uint8], detector: Detector) -> Points | None:
    """The landmarks of the person a photo is of, or None: of the large faces the one nearest to the middle.

    Sets of photos such as LFW put their person into the middle, and somebody else may stand nearer to the camera.
    """
    faces = [
        face for face in detect_everywhere(detector, image) if face.score >= START_SCORE and face.landmarks is not None
    ]
    if not faces:
        return None
    largest = max(_area(face) for face in faces)
    height, width = image.shape[:2]

    def aside(face: Face) -> float:
        x, y = face.box.centre
        return math.hypot(x - (width - 1) / 2, y - (height - 1) / 2)

    return min((face for face in faces if _area(face) >= _SECOND * largest), key=aside).landmarks


def _area(face: Face) -> float:
    return face.box.width * face.box.height
