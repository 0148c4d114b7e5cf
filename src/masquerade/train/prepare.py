"""Raw photos → an archive to train on: faces found, aligned, good enough, each once, people kept apart.

The archive holds WebP crops as `<person>/<photo>-<number>.webp`, or without the person's folder where nobody's name
is known; `train.data.read_archive` reads it.
"""

import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from masquerade.audit.people import read_rgb
from masquerade.errors import InputError, OptionError
from masquerade.faces.align import align
from masquerade.faces.detect import Detector, detect_everywhere
from masquerade.faces.quality import quality
from masquerade.identity import START_SCORE
from masquerade.media import IMAGE_FORMATS, atomic_output
from masquerade.pipeline.progress import Progress, silent
from masquerade.types import Face

LEAST_QUALITY = 0.2
"""Below it strangers begin to resemble each other; see `faces.quality`."""

_WEBP_QUALITY = 88
_JUDGED = 112  # pixels: the crop that quality is measured on
_BESIDE = 0.25  # of the largest face's area: smaller ones beside a named person are people in the background
_ALIKE = 20  # bits of 256: one picture saved twice, or two of one moment


@dataclass(frozen=True, slots=True)
class Prepared:
    """What became of a folder.

    Attributes:
        photos: that were looked at.
        faces: in the archive of training faces.
        people: in it; 0 where names are not known.
        validation: faces in the archive of validation faces.
        dropped: what is in neither, by reason: photos that cannot be read, photos without a face, photos of a named
            person with several, faces too poor, faces seen before.
        unreadable: the photos that cannot be read.
    """

    photos: int
    faces: int
    people: int
    validation: int
    dropped: dict[str, int]
    unreadable: tuple[Path, ...]


def prepare(
    folder: Path,
    output: Path,
    detector: Detector,
    *,
    named: bool = True,
    side: int = 128,
    least: float = LEAST_QUALITY,
    validation: Path | None = None,
    share: float = 0.05,
    progress: Progress = silent,
) -> Prepared:
    """Make training data of a folder of photos.

    Args:
        folder: with a folder for each person, or of any shape where `named` is False.
        output: the archive to write.
        detector: finds the faces.
        named: whether the first folder of a photo says who is in it. Then a photo must show one main face.
        side: of the crops, pixels.
        least: quality from which a face is taken, 0 to 1.
        validation: a second archive, for `share` of the people (of the photos where nobody's name is known). Who goes
            there depends on the name alone, so that it is the same people when photos are added.
        share: above 0, below 1.
        progress: told of every photo.

    Raises:
        InputError: there is no such folder, or no face in it can be used.
        OptionError: side, least or share make no sense.
        OutputError: an archive cannot be written.
    """
    if side < _JUDGED // 4 or not (0 <= least <= 1 and 0 < share < 1):
        raise OptionError("crops have 28 pixels or more, qualities lie from 0 to 1, shares between 0 and 1")
    if not folder.is_dir():
        raise InputError("no such folder", path=folder, hint="Name the folder of your photos")
    photos = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_FORMATS and p.is_file())
    if named:
        photos = [photo for photo in photos if len(photo.relative_to(folder).parts) > 1]
    if not photos:
        hint = "It must have a folder for each person; or say --unnamed" if named else "Name the folder of your photos"
        raise InputError("holds no photo", path=folder, hint=hint)
    dropped: Counter[str] = Counter()
    unreadable: list[Path] = []
    seen = _Seen()
    people: set[str] = set()
    counts = {True: 0, False: 0}  # by whether it is validation
    with _archives(output, validation) as (train, aside):
        for done, photo in enumerate(photos, start=1):
            relative = photo.relative_to(folder)
            who = relative.parts[0] if named else str(relative)
            held_out = aside is not None and _draw(who) < share
            try:
                picture = read_rgb(photo)
            except InputError:
                unreadable.append(photo)
                dropped["cannot be read"] += 1
                continue
            for number, crop in enumerate(_crops(picture, detector, named, side, least, dropped)):
                if not seen.new(crop):
                    dropped["seen before"] += 1
                    continue
                archive = aside if held_out and aside is not None else train
                archive.writestr(_name(relative, number, named), _webp(crop))
                counts[held_out] += 1
                if named and not held_out:
                    people.add(who)
            progress("photos", done, len(photos))
        if not counts[False]:
            why = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items()))
            raise InputError(f"no face in it can be used: {why or 'all went to validation'}", path=folder)
    return Prepared(len(photos), counts[False], len(people), counts[True], dict(dropped), tuple(unreadable))


def _crops(
    picture: NDArray[np.uint8], detector: Detector, named: bool, side: int, least: float, dropped: Counter[str]
) -> Iterator[NDArray[np.uint8]]:
    """Aligned crops (side, side, 3) of the faces in a photo that can be used; counts the others."""
    faces = [f for f in detect_everywhere(detector, picture) if f.score >= START_SCORE and f.landmarks is not None]
    if not faces:
        dropped["without a face"] += 1
        return
    if named:
        largest = max(faces, key=_area)
        if sum(_area(face) > _BESIDE * _area(largest) for face in faces) > 1:
            dropped["with several faces"] += 1
            return
        faces = [largest]
    for face in faces:
        assert face.landmarks is not None
        if quality(align(picture, face.landmarks, _JUDGED)[0], face.landmarks, face.box) < least:
            dropped["too poor"] += 1
        else:
            yield align(picture, face.landmarks, side)[0]


class _Seen:
    """Remembers pictures by their difference hash: 16 x 16 signs of how grey levels change to the right.

    Aligned faces are so alike that 8 x 8 signs confuse two in a hundred people (measured on 6,000 faces, up to 3 bits
    apart); of 16 x 16 a picture saved again moves 19 at most in 99 of 100 cases, and strangers hardly come as near.
    """

    def __init__(self) -> None:
        self._hashes = np.empty((1024, 4), np.uint64)
        self._count = 0

    def new(self, crop: NDArray[np.uint8]) -> bool:
        """Whether nothing like it came before; it is remembered if so."""
        grey = cv2.resize(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), (17, 16), interpolation=cv2.INTER_AREA).astype(int)
        found = np.packbits(grey[:, 1:] > grey[:, :-1]).view(np.uint64)
        known = self._hashes[: self._count]
        if len(known) and int(np.bitwise_count(known ^ found).sum(axis=1).min()) <= _ALIKE:
            return False
        if self._count == len(self._hashes):
            self._hashes = np.concatenate([self._hashes, np.empty_like(self._hashes)])
        self._hashes[self._count] = found
        self._count += 1
        return True


@contextmanager
def _archives(output: Path, validation: Path | None) -> Iterator[tuple[zipfile.ZipFile, zipfile.ZipFile | None]]:
    """The archives, written whole or not at all; the second is None where none is asked for."""
    with ExitStack() as stack:
        parts = [stack.enter_context(atomic_output(path)) for path in (output, validation) if path is not None]
        # WebP does not shrink any further.
        first, *rest = [stack.enter_context(zipfile.ZipFile(part, "w", zipfile.ZIP_STORED)) for part in parts]
        yield first, rest[0] if rest else None


def _name(relative: Path, number: int, named: bool) -> str:
    parts = relative.with_suffix("").parts
    flat = "_".join(parts[1:] if named else parts)
    return f"{parts[0]}/{flat}-{number}.webp" if named else f"{flat}-{number}.webp"


def _draw(name: str) -> float:
    """A number from 0 to 1 that depends on the name alone."""
    return int.from_bytes(sha256(name.encode("utf-8", "surrogateescape")).digest()[:8], "big") / 2**64


def _webp(crop: NDArray[np.uint8]) -> bytes:
    coded = cv2.imencode(".webp", crop[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, _WEBP_QUALITY])[1]
    return coded.tobytes()


def _area(face: Face) -> float:
    return face.box.width * face.box.height
