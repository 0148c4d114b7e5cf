"""AffectNet's pictures and labels, or anything that lies on a disk as they do.

    AffectNet/train_set/images/<number>.jpg               aligned crops
    AffectNet/train_set/annotations/<number>_exp.npy      class, 0 to 7 (more where nobody could say)
                                    <number>_val.npy      valence, −1 to 1
                                    <number>_aro.npy      arousal, −1 to 1
    AffectNet/val_set/...                                 the same

That is how its release of 287,651 pictures comes; its landmarks (`_lnd.npy`) are not read.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from masquerade.errors import InputError
from masquerade.train.data import resized, whole_file

CLASSES = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
"""In AffectNet's order."""


@dataclass(frozen=True, slots=True)
class AffectNet:
    """One part of it, n faces.

    Attributes:
        faces: uint8 RGB, (n, side, side, 3), a read-only memory map.
        classes: (n,), numbers in `CLASSES`.
        affect: valence and arousal, (n, 2), −1 to 1.
    """

    faces: NDArray[np.uint8]
    classes: NDArray[np.int64]
    affect: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.classes)


def read_affectnet(folder: Path, part: Literal["train", "val"], cache: Path, *, side: int) -> AffectNet:
    """Pictures with one of the eight classes, decoded at the first call and memory-mapped from then on.

    Args:
        folder: that holds `train_set` and `val_set`.
        part: which of the two.
        cache: folder of decoded arrays (at 224 px the whole of AffectNet takes 43 GB), made where it is missing.
        side: pixels of the faces.

    Raises:
        InputError: there is nothing there, a label is missing or out of range, or a picture cannot be read.
    """
    root = folder / f"{part}_set"
    names = sorted(path.stem for path in (root / "images").glob("*.jpg"))
    if not names:
        raise InputError("no pictures of AffectNet", path=root / "images", hint="Point --data at AffectNet's parent")
    labels = np.array([_label(root, name) for name in names])
    known = (labels[:, 0] >= 0) & (labels[:, 0] < len(CLASSES))
    names = [name for name, good in zip(names, known, strict=True) if good]
    labels = labels[known]
    if not names or np.abs(labels[:, 1:]).max() > 1:
        raise InputError("valence and arousal must lie between -1 and 1, for at least one picture", path=root)
    decoded = cache / f"{folder.name}-{part}.{side}px.npy"
    if not decoded.is_file():
        with whole_file(decoded) as half:
            faces = np.lib.format.open_memmap(half, "w+", np.uint8, (len(names), side, side, 3))
            for i, name in enumerate(names):
                faces[i] = _picture(root / "images" / f"{name}.jpg", side)
            faces.flush()
    faces = np.load(decoded, mmap_mode="r")
    if faces.shape != (len(names), side, side, 3):
        raise InputError("the cache belongs to other pictures", path=decoded, hint="Delete it")
    return AffectNet(faces, labels[:, 0].astype(np.int64), labels[:, 1:].astype(np.float32))


def _label(root: Path, name: str) -> tuple[float, float, float]:
    """Class, valence and arousal; AffectNet keeps each in a file of its own, as text or as a number."""
    found = []
    for kind in ("exp", "val", "aro"):
        path = root / "annotations" / f"{name}_{kind}.npy"
        try:
            found.append(float(np.load(path).item()))
        except (OSError, ValueError) as error:
            raise InputError(f"a picture of AffectNet has no label ({kind})", path=path) from error
    return found[0], found[1], found[2]


def _picture(path: Path, side: int) -> NDArray[np.uint8]:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if picture is None or picture.shape[0] != picture.shape[1]:
        raise InputError("not a square picture", path=path)
    return resized(np.asarray(picture, np.uint8), side)
