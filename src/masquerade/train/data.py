"""Archives of aligned crops in, arrays that many epochs can read cheaply out.

An archive is decoded once into a memory-mapped array of 128 px RGB crops. Whatever is derived from it (a teacher's
embeddings) lies beside it, in the same order.
"""

import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from masquerade.errors import InputError

SIDE = 128
"""Pixels: the side at which crops are cached, a little more than encoders read, so that shifts do not lose pixels."""

INPUT = 112
"""Pixels: the side of the crop that identity encoders read."""


@dataclass(frozen=True, slots=True)
class FaceSet:
    """Aligned crops, and who they show.

    Attributes:
        faces: uint8 RGB, shape (n, side, side, 3), side 128 if nothing else is said; usually a read-only memory map.
        people: int64, shape (n,): 0 to k−1, or −1 where nobody knows.
    """

    faces: NDArray[np.uint8]
    people: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.people)


class Joined:
    """The faces of several archives, numbered through."""

    def __init__(self, sets: Sequence[NDArray[np.uint8]]) -> None:
        self._sets = sets
        self._starts = np.cumsum([0, *map(len, sets)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, row: int) -> NDArray[np.uint8]:
        which = int(np.searchsorted(self._starts, row, "right")) - 1
        face: NDArray[np.uint8] = self._sets[which][row - self._starts[which]]
        return face


class Epochs:
    """Which rows a step shows: every epoch goes through all, in an order of its own that follows from the step alone.

    Args:
        rows: (n,); a row that stands there twice is shown twice.
        batch: rows a step.
        epochs: how many; may be a fraction.
        seed: of all orders.
        together: (n,), whole numbers from 0: rows of one number follow each other. None for no such wish.
    """

    def __init__(
        self,
        rows: NDArray[np.int64],
        batch: int,
        epochs: float,
        seed: int,
        *,
        together: NDArray[np.int64] | None = None,
    ) -> None:
        self._rows, self._batch, self._seed, self._together = rows, batch, seed, together
        self.an_epoch = len(rows) // batch
        self._steps = max(1, round(epochs * self.an_epoch))

    def __len__(self) -> int:
        return self._steps

    def at(self, step: int) -> tuple[NDArray[np.int64], np.random.Generator]:
        """The rows of a step, and the numbers it may draw."""
        epoch, place = divmod(step, self.an_epoch)
        shuffled = np.random.default_rng((self._seed, epoch))
        if self._together is None:
            order = shuffled.permutation(self._rows)
        else:
            turns = shuffled.permutation(self._together.max() + 1)
            order = self._rows[np.argsort(turns[self._together], kind="stable")]
        chosen = order[place * self._batch : (place + 1) * self._batch]
        return chosen, np.random.default_rng((self._seed, epoch, place))


def read_archive(archive: Path, cache: Path, *, labelled: bool, side: int = SIDE) -> FaceSet:
    """The crops of a zip of square pictures, decoded at the first call and memory-mapped from then on.

    Args:
        archive: zip of pictures; where labelled, `<person>/<picture>`.
        cache: folder of decoded arrays, made where it is missing.
        labelled: whether the first folder in the archive is a person.
        side: pixels of the crops; smaller pictures are enlarged.

    Raises:
        InputError: the archive is missing, holds nothing, or holds something that is not a picture.
    """
    if not archive.is_file():
        raise InputError("no such archive", path=archive, hint="Point --data at the folder that holds it")
    decoded = cache / (f"{archive.stem}.npy" if side == SIDE else f"{archive.stem}.{side}px.npy")
    with zipfile.ZipFile(archive) as zipped:
        names = _names(zipped)
        if not names:
            raise InputError("the archive is empty", path=archive)
        _once(decoded, lambda: _decode(zipped, names, archive, decoded, side))
    faces = np.load(decoded, mmap_mode="r")
    if faces.shape != (len(names), side, side, 3):
        raise InputError("the cache belongs to another archive", path=decoded, hint="Delete it")
    people = np.full(len(names), -1, np.int64)
    if labelled:
        people = np.unique([name.split("/")[0] for name in names], return_inverse=True)[1].astype(np.int64)
    return FaceSet(faces, people)


def read_names(archive: Path) -> list[str]:
    """Names of an archive's pictures, in the order in which `read_archive` gives their crops."""
    with zipfile.ZipFile(archive) as zipped:
        return _names(zipped)


def _names(zipped: zipfile.ZipFile) -> list[str]:
    return sorted(name for name in zipped.namelist() if not name.endswith("/"))


def _decode(zipped: zipfile.ZipFile, names: list[str], archive: Path, decoded: Path, side: int) -> None:
    with whole_file(decoded) as part:
        faces = np.lib.format.open_memmap(part, "w+", np.uint8, (len(names), side, side, 3))
        for i, name in enumerate(names):
            picture = cv2.imdecode(np.frombuffer(zipped.read(name), np.uint8), cv2.IMREAD_COLOR_RGB)
            if picture is None or picture.shape[0] != picture.shape[1]:
                raise InputError(f"{name} is not a square picture", path=archive)
            faces[i] = resized(np.asarray(picture, np.uint8), side)
        faces.flush()


def derived(path: Path, make: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
    """The array stored at `path`, made and stored at the first call."""

    def store() -> None:
        array = make()
        with whole_file(path) as part, part.open("wb") as file:
            np.save(file, array)

    _once(path, store)
    stored: NDArray[np.float32] = np.load(path)
    return stored


def _once(path: Path, make: Callable[[], None]) -> None:
    """Make a file where there is none. Processes that train together need it at the same time: all but one wait."""
    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        if not path.is_file():
            make()


def inputs(faces: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What an encoder reads of clean crops: uint8 RGB (n, side, side, 3) → (n, 112, 112, 3)."""
    return at_side(faces, INPUT)


def at_side(faces: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Crops of any side, (n, h, h, 3), brought to another, (n, side, side, 3)."""
    return np.stack([resized(face, side) for face in faces])


def map_batches(
    function: Callable[[NDArray[np.uint8]], NDArray[np.float32]], faces: NDArray[np.uint8], size: int = 64
) -> NDArray[np.float32]:
    """`function` over batches of `faces`, two at a time, results in order and joined."""
    starts = range(0, len(faces), size)
    with ThreadPoolExecutor(2) as pool:
        return np.concatenate(list(pool.map(lambda start: function(faces[start : start + size]), starts)))


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well, and goes away when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def resized(face: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A square crop brought to `side` pixels: down without aliasing, up smoothly."""
    if face.shape[0] == side:
        return face
    how = cv2.INTER_AREA if side < face.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(face, (side, side), interpolation=how), np.uint8)
