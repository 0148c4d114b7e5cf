"""Sets of faces as they lie on a user's disk: FaceForensics++, AFLW2000-3D, LFW, VGGFace2, or anybody's own.

a folder with PERSON/PHOTO           LFW as it is unpacked; VGGFace2's `train` or `test`, or the folder above both
a zip with PERSON/PHOTO              the same in an archive
a folder of photos                   AFLW2000-3D (its .mat files are not read); everyone is taken for another person
a folder of videos, or a video       everybody in them is followed by our own tracker
original_sequences/youtube/*/videos  FaceForensics++, in the folder above; c23 is taken where there are several
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from masquerade.audit.people import read_rgb
from masquerade.errors import InputError
from masquerade.media import IMAGE_FORMATS, VIDEO_CONTAINERS

Layout = Literal["people", "photos", "videos"]

_HINT = "Give photos as PERSON/PHOTO (a folder or a zip), a folder of photos, or videos; FaceForensics++ as unpacked"
_SEQUENCES = Path("original_sequences") / "youtube"
_COMPRESSIONS = ("c23", "c40", "raw", "c0")


@dataclass(frozen=True, slots=True)
class Item:
    """A photo or a video.

    Attributes:
        person: whose folder it lies in; of a video or a photo without one, its own name.
        path: the file; inside `archive` where that is given.
        archive: a zip.
    """

    person: str
    path: Path
    archive: Path | None = None

    def read(self) -> NDArray[np.uint8]:
        """A photo as RGB, (height, width, 3).

        Raises:
            InputError: it cannot be read.
        """
        if self.archive is None:
            return read_rgb(self.path)
        with TemporaryDirectory() as folder, zipfile.ZipFile(self.archive) as archive:
            copy = Path(folder) / f"photo{self.path.suffix}"
            copy.write_bytes(archive.read(self.path.as_posix()))
            return read_rgb(copy)


@dataclass(frozen=True, slots=True)
class Collection:
    """What was found.

    Attributes:
        name: of the folder or file.
        layout: whether it has photos of known people, photos of anybody, or videos.
        items: sorted.
    """

    name: str
    layout: Layout
    items: tuple[Item, ...]

    def some(self, count: int | None) -> tuple[Item, ...]:
        """So many, evenly taken; None: all."""
        if count is None or count >= len(self.items):
            return self.items
        return tuple(self.items[i] for i in np.linspace(0, len(self.items) - 1, count).round().astype(int))


def find_faces(path: Path) -> Collection:
    """What lies there, by the layouts of this module.

    Raises:
        InputError: nothing is there, or nothing that we know.
    """
    if not path.exists():
        raise InputError("nothing is there", path=path, hint=_HINT)
    if path.is_file():
        return _in_zip(path) if path.suffix.lower() == ".zip" else _videos(path, [path])
    for compression in _COMPRESSIONS:
        if (folder := path / _SEQUENCES / compression / "videos").is_dir():
            return _videos(path, sorted(folder.iterdir()))
    for folder in (path, path / "test", path / "train"):
        if people := _photos(folder, "*/*"):
            return Collection(path.name, "people", tuple(Item(one.parent.name, one) for one in people))
    if photos := _photos(path, "*"):
        return Collection(path.name, "photos", tuple(Item(one.stem, one) for one in photos))
    return _videos(path, sorted(path.iterdir()))


def _photos(folder: Path, pattern: str) -> list[Path]:
    return sorted(one for one in folder.glob(pattern) if one.suffix.lower() in IMAGE_FORMATS and one.is_file())


def _videos(path: Path, files: list[Path]) -> Collection:
    items = tuple(Item(one.stem, one) for one in files if one.suffix.lower() in VIDEO_CONTAINERS)
    if not items:
        raise InputError("holds no faces that lie as we know it", path=path, hint=_HINT)
    return Collection(path.name, "videos", items)


def _in_zip(path: Path) -> Collection:
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(Path(name) for name in archive.namelist() if Path(name).suffix.lower() in IMAGE_FORMATS)
    except zipfile.BadZipFile as error:
        raise InputError("is no zip archive", path=path) from error
    items = tuple(Item(name.parent.name, name, path) for name in names if name.parent.name)
    if not items:
        raise InputError("holds no photos as PERSON/PHOTO", path=path, hint=_HINT)
    return Collection(path.name, "people", items)
