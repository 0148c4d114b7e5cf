"""Photos and videos → aligned faces, and aligned faces → others, as the product makes them. Nothing is written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from masquerade.audit.people import crop_landmarks, main_landmarks
from masquerade.audit.reproduction.data import Item
from masquerade.audit.temporal import sampled_faces
from masquerade.errors import FaceError, InputError
from masquerade.faces.align import estimate_similarity, template, warp
from masquerade.faces.detect import Detector
from masquerade.identity.anchors import choose_anchor, safe_window
from masquerade.identity.keyring import BEYOND, SAFETY, keyed_order
from masquerade.media import IMAGE_FORMATS, StillFrame, open_video
from masquerade.pipeline.analyze import analyze
from masquerade.pipeline.tailor import Tailor
from masquerade.swap.base import Swapper
from masquerade.swap.impose import GUARD_SIDE, SMALLEST, Imposer, Outcome, Task
from masquerade.types import Box, Face, Points

Faces = NDArray[np.uint8]
Vectors = NDArray[np.float32]
Progress = Callable[[int, int], None]
"""Told (files looked at, files in all)."""

_AROUND = 1.5
"""Side of what is kept of a picture, in aligned crops: other swappers' crops are wider than ours."""
_BOX = Box(0.14, 0.05, 0.86, 1.0)
"""Of a face in an aligned crop, in its sides."""
_MARKED = Box(0.095, 0.15, 0.905, 0.96)
"""The same from the brows to the chin."""
_SECRET = b"of a reproduction"


@dataclass(frozen=True, slots=True)
class Seen:
    """Faces, each upright in the middle of a square picture.

    Attributes:
        pictures: RGB uint8, (n, 1.5 side, 1.5 side, 3).
        people: whose they are, names, (n,); one person's of one file in order of time.
        files: which file each is in, (n,).
        missed: photos without a face, or videos without anybody in them.
    """

    pictures: Faces
    people: NDArray[np.str_]
    files: NDArray[np.str_]
    missed: int

    def __len__(self) -> int:
        return len(self.people)

    @property
    def crops(self) -> Faces:
        """The same, aligned to the ArcFace template, (n, side, side, 3)."""
        return cropped(self.pictures)

    def only(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> "Seen":
        """Some of them."""
        return Seen(self.pictures[rows], self.people[rows], self.files[rows], self.missed)


def cropped(pictures: Faces) -> Faces:
    """The aligned crops in the middle of pictures."""
    side, edge = _sides(pictures)
    return np.ascontiguousarray(pictures[:, edge : edge + side, edge : edge + side])


def pose_box(side: int) -> Box:
    """The face of which a pose network is shown the whole aligned crop."""
    return Box(0, 0, side, side).scaled(1 / 1.4)


def marks_box(side: int) -> Box:
    """The face in an aligned crop as landmark networks want it."""
    return Box(*(side * edge for edge in _MARKED))


def look(
    items: Sequence[Item], side: int, detector: Detector | None, progress: Progress, *, min_face: float = SMALLEST
) -> Seen:
    """The faces of photos and videos.

    Of a photo it is the person whom it is of (`people.main_landmarks`), of a video everybody whom the tracker follows,
    in up to ten frames each (`temporal.evenly`).

    Args:
        items: photos or videos.
        side: of the aligned crops, pixels.
        detector: finds faces; None: the photos are aligned crops already.
        progress: told of every file.
        min_face: of videos only faces at least so wide or high, pixels: FaceForensics++ has none that are small.

    Raises:
        InputError: a file cannot be read, or nobody is found at all.
    """
    pictures: list[Faces] = []
    people: list[str] = []
    files: list[str] = []
    missed = 0
    for done, item in enumerate(items, start=1):
        still = item.path.suffix.lower() in IMAGE_FORMATS
        found = _in_photo(item, detector) if still else _in_video(item, detector, min_face)
        missed += not found
        for person, image, points in found:
            try:
                pictures.append(_upright(image, points, side))
            except FaceError:  # landmarks that fix no alignment
                continue
            people.append(person)
            files.append(item.path.name)
        progress(done, len(items))
    if not pictures:
        raise InputError(f"no face was found in any of {len(items)} files", hint="Are they crops? Say --aligned")
    order = np.argsort(people, kind="stable")
    return Seen(np.stack(pictures)[order], np.array(people)[order], np.array(files)[order], missed)


def _in_photo(item: Item, detector: Detector | None) -> list[tuple[str, Faces, Points]]:
    image = item.read()
    points = main_landmarks(image, detector) if detector else crop_landmarks(image, item.path)
    return [] if points is None else [(item.person, image, points)]


def _in_video(item: Item, detector: Detector | None, min_face: float) -> list[tuple[str, Faces, Points]]:
    if detector is None:
        raise InputError("is a video, no aligned crop", path=item.path, hint="Leave --aligned out")
    sampled = sampled_faces(analyze(item.path, detector), max(SMALLEST, min_face))
    found = []
    with open_video(item.path) as reader:
        for frame in reader:
            if people := sampled.get(frame.index):
                image = frame.thumbnail(frame.width, frame.height)
                # Each with its surroundings alone: a hundred whole frames are too much to keep.
                found += [(f"{item.path.name}#{id}", *_around(image, points)) for id, points in people.items()]
    return found


def _around(image: Faces, points: Points) -> tuple[Faces, Points]:
    low, high = points.min(axis=0), points.max(axis=0)
    reach = 2.5 * float((high - low).max())
    x1, y1 = np.maximum(0, np.floor(low - reach)).astype(int)
    x2, y2 = np.ceil(high + reach).astype(int)
    return image[y1:y2, x1:x2].copy(), (points - np.array([x1, y1])).astype(np.float32)


def _upright(image: Faces, points: Points, side: int) -> Faces:
    edge = round((_AROUND - 1) / 2 * side)
    goal = template(side) + np.float32(edge)
    return warp(image, estimate_similarity(points, goal), (side + 2 * edge,) * 2)


def _sides(pictures: Faces) -> tuple[int, int]:
    """(side of the aligned crop, pixels beside it)."""
    whole = pictures.shape[1]
    side = round(whole / _AROUND)
    return side, (whole - side) // 2


class _Everything:
    """A guard that lets everything pass: what a swapper makes is to be measured, not what is left of it."""

    def gone(self, originals: Faces, swapped: Faces) -> NDArray[np.bool_]:
        return np.ones(len(swapped), bool)

    def gone_on_average(self, originals: Faces, swapped: Faces) -> bool:
        return True


def put_on(
    tailor: Tailor, seen: Seen, faces: Vectors, *, behind: Swapper | None = None, truncated: bool = True
) -> tuple[Faces, NDArray[np.bool_]]:
    """The pictures with other faces, put in as `render` does, but for the guard.

    Args:
        tailor: whose swapper makes the faces.
        seen: whom they are put on.
        faces: of each the identity that it shall have, unit vectors (n, d) of the tailor's encoder.
        behind: the swapper behind defences, where there are any.
        truncated: as the product does it, where the swapper's card says so; no source of the thesis's swaps was.

    Returns:
        (the pictures, which of them have another face: it fails where one is too dark or seen from the side).
    """
    imposer = Imposer(behind or tailor.swapper, tailor.swapper.template, _Everything())
    side, edge = _sides(seen.pictures)
    face = Face(Box(*(side * one + edge for one in _BOX)), 1.0, template(side) + np.float32(edge))
    shown = seen.pictures[:, edge : edge + side, edge : edge + side]
    small = [cv2.resize(one, (GUARD_SIDE, GUARD_SIDE), interpolation=cv2.INTER_AREA) for one in shown]
    apparent = np.stack([tailor.apparent(np.asarray(one, np.uint8)[None]) for one in small])
    told = tailor.condition(faces, apparent, truncated=truncated)
    made, done = [], []
    for number, (picture, identity) in enumerate(zip(seen.pictures, told, strict=True)):
        frame = StillFrame(picture.copy())
        done.append(imposer.impose(frame, [Task(face, identity, seed=number)]) == [Outcome.SWAPPED])
        made.append(np.asarray(frame.samples, np.uint8))
    return np.stack(made), np.array(done)


def fabricated(tailor: Tailor, vectors: Vectors, subjects: Sequence[str]) -> Vectors:
    """For each face the fabricated identity that the keyring would give it, unit vectors (n, d).

    Args:
        tailor: whose bank they are from.
        vectors: the faces in its encoder's eyes, (n, d).
        subjects: of each who it counts as: who counts as one gets one face, chosen for the mean of their vectors.
    """
    bank = tailor.bank
    window = safe_window(bank.info.encoder.far_1e3, SAFETY)
    names, who = np.unique(subjects, return_inverse=True)
    worn = []
    for number, name in enumerate(names):
        mean = vectors[who == number].mean(axis=0)
        z = (mean / np.linalg.norm(mean)).astype(np.float32)
        order = keyed_order(_SECRET, str(name).encode(), len(bank.members))
        penalty = bank.misfit(z) if bank.probe else None
        anchor = choose_anchor(z, bank.members, order, window=window, apart=0.0, beyond=BEYOND, penalty=penalty)
        worn.append(anchor.face)
    return np.stack(worn)[who]
