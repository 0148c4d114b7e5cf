"""Is this file what was made of that one? Pairs of files, walked frame by frame, and refused where they do not belong.

A figure over two files that do not fit means nothing, and mostly looks too good. So frames are paired strictly: same
size, same timestamps, same number, sound where there was sound; and what is beside the faces must show the same at the
same time, or the pair is refused with the reason.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import zip_longest
from mimetypes import guess_type
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from masquerade.errors import InputError, OptionError, PairError
from masquerade.media import IMAGE_FORMATS, Frame, VideoInfo, open_image, open_video
from masquerade.pipeline.batch import READABLE, find_jobs
from masquerade.pipeline.overlap import DECODE_AHEAD, ahead
from masquerade.types import Box

_SAME_TIME = 2e-3  # seconds: containers round to as little as a millisecond
_SIDE = 96  # pixels, of the pictures that are compared
_GRAIN = 3  # pixels, over which they are smoothed, so that grain is no motion
_REACH = 12  # frames by which a shift is looked for
_BLOCK = 24  # frames that are judged together
_LEAST = 0.05  # of the picture must be free of faces to be compared
_MOVES = 8.0  # grey levels: where the original differs by more between two frames, something moves
_FEW = 50  # moving pixels say too little
_BETTER = 0.4  # so much of the difference is left where another frame is the right one
_NO_BETTER = 0.7  # so much of the difference to other frames is there where none is the right one
_LEVELS = 3.0  # grey levels, of the moving pixels: less than that may be the encoder's
_OTHER, _OTHER_LEVELS = 0.6, 6.0  # of the picture's own deviation, and grey levels: more is another scene


@dataclass(frozen=True, slots=True)
class Pair:
    """An original and what was made of it.

    Attributes:
        name: of the pair, in reports.
        original, output: the files.
        plan: by which it was made, if known.
    """

    name: str
    original: Path
    output: Path
    plan: Path | None = None


def find_pairs(original: Path, output: Path, plan: Path | None = None) -> list[Pair]:
    """The pairs of two files, or of two folders laid out alike, as `masquerade anonymize` leaves them.

    Args:
        original, output: two files or two folders.
        plan: the Plan, or for folders a folder with `NAME.plan.json` where a Plan is known.

    Raises:
        InputError: one is not there, or the folder holds no photo or video.
        OptionError: a file and a folder.
    """
    for path in (original, output, *([plan] if plan else [])):
        if not path.exists():
            raise InputError("no such file or folder", path=path, hint="Check the spelling")
    folders = {path.is_dir() for path in (original, output, *([plan] if plan else []))}
    if len(folders) > 1:
        raise OptionError(
            "an audit compares two files or two folders, with a Plan or a folder of Plans", hint="Give two of a kind"
        )
    if folders == {False}:
        return [Pair(original.name, original, output, plan)]
    jobs, _ = find_jobs([original], output)
    pairs = []
    for job in jobs:
        known = plan / f"{job.source.relative_to(original)}.plan.json" if plan else None
        pairs.append(Pair(job.name, job.source, job.output, known if known and known.is_file() else None))
    return pairs


def find_strays(pairs: Sequence[Pair], output: Path) -> list[tuple[str, Path]]:
    """Photos and videos that lie in the output folder and belong to none of the pairs: who is in them nobody checked.

    Hidden ones count, too, since whoever passes on the folder passes them on: a run that was killed may have left one.

    Args:
        pairs: from `find_pairs`.
        output: as it was given there; a file has no strays.

    Returns:
        (path inside the folder, with forward slashes, and the file), sorted.
    """
    if not output.is_dir():
        return []
    checked = {pair.output for pair in pairs}
    there = (path for path in output.rglob("*") if path.is_file() and path not in checked)
    return sorted((path.relative_to(output).as_posix(), path) for path in there if _is_media(path))


def _is_media(path: Path) -> bool:
    """By the name: what would be read here, and what other programs show."""
    kind, _ = guess_type(path.name)
    return path.suffix.lower() in READABLE or (kind is not None and kind.startswith(("image/", "video/")))


def walk(pair: Pair, *, silent_allowed: bool = False) -> Iterator[tuple[Frame, Frame]]:
    """(original, output) of every frame, in order.

    Args:
        pair: the files.
        silent_allowed: whether the output may lack sound that the original has.

    Raises:
        PairError: the two do not belong together.
        InputError: one cannot be read to its end.
    """
    if not pair.output.exists():
        raise PairError("there is no output for this file", path=pair.original, hint="Anonymize it, or leave it out")
    still = [path.suffix.lower() in IMAGE_FORMATS for path in (pair.original, pair.output)]
    if still[0] != still[1]:
        raise PairError(
            f"is a {'photo' if still[1] else 'video'}, and its original is not", path=pair.output, hint=_HINT
        )
    if still[0]:
        before, after = open_image(pair.original).frame, open_image(pair.output).frame
        _check_size(pair, (before.width, before.height), (after.width, after.height))
        yield before, after
        return
    with ExitStack() as stack:
        readers = [stack.enter_context(open_video(path)) for path in (pair.original, pair.output)]
        _check_headers(pair, readers[0].info, readers[1].info, silent_allowed)
        for count, (first, second) in enumerate(zip_longest(*(ahead(reader, DECODE_AHEAD) for reader in readers))):
            if first is None or second is None:
                shorter = "is shorter" if second is None else "is longer"
                raise PairError(
                    f"{shorter} than its original: they part at frame {count}", path=pair.output, hint=_HINT
                )
            if abs(first.time - second.time) > _SAME_TIME:
                raise PairError(
                    f"shows frame {count} at {second.time:.3f} s, its original at {first.time:.3f} s",
                    path=pair.output,
                    hint=_HINT,
                )
            yield first, second


_HINT = "Audit the file that was made of this very original"


def _check_headers(pair: Pair, before: VideoInfo, after: VideoInfo, silent_allowed: bool) -> None:
    _check_size(pair, (before.width, before.height), (after.width, after.height))
    if after.audio < before.audio and not silent_allowed:
        raise PairError(
            f"has {after.audio} audio streams, its original {before.audio}",
            path=pair.output,
            hint="If sound was left out on purpose, set silent = true in the policy",
        )


def _check_size(pair: Pair, before: tuple[int, int], after: tuple[int, int]) -> None:
    if before != after:
        sizes = [f"{width}x{height}" for width, height in (after, before)]
        raise PairError(f"is {sizes[0]} pixels, its original {sizes[1]}", path=pair.output, hint=_HINT)


class SameScene:
    """Whether both files show the same beside the faces, at the same time.

    Each two frames of the original that are at most 12 apart are compared where they differ, where something moves:
    there the output's frame must be like its own frame of the original, and not like the other one. Moving pixels alone
    are asked, because in a picture that mostly stands still the mean over all of it would hide a shift. Where another
    frame than its own fits far better, frames were shifted; where none fits, they were shifted farther, or it is
    another video.
    What does not move cannot be shifted, and passes.

    Args:
        pair: named in errors.
        size: (width, height) of the pictures.
        faces: by frame, the boxes that may differ; they are left out, with a margin.
    """

    def __init__(self, pair: Pair, size: tuple[int, int], faces: Mapping[int, Sequence[Box]]) -> None:
        self._pair, self._size, self._faces = pair, size, faces
        self._held: deque[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]] = deque(maxlen=_REACH)
        self._frames = 0
        self._clear()
        self._clear_motion()

    def add(self, before: Frame, after: Frame) -> None:
        """One more pair of frames.

        Raises:
            PairError: the two do not show the same.
        """
        free = self._free(before.index)
        old, new = self._grey(before), self._grey(after)
        if free.any():
            self._own += float(np.abs(old - new)[free].mean())
            self._deviation += float(np.abs(old[free] - old[free].mean()).mean())
            self._count += 1
            for shift, (earlier, made, there) in enumerate(reversed(self._held), 1):
                moves = (np.abs(old - earlier) > _MOVES) & free & there
                self._ask(shift, made[moves], earlier[moves], old[moves])
                self._ask(-shift, new[moves], old[moves], earlier[moves])
        self._held.append((old, new, free))
        self._frames += 1
        if self._frames % _BLOCK == 0:
            self.finish()

    def _ask(self, shift: int, made: NDArray[np.float32], own: NDArray[np.float32], other: NDArray[np.float32]) -> None:
        """Moving pixels of a frame of the output, of its own of the original, and of that `shift` frames later."""
        self._moving[shift] += made.size
        self._to_own[shift] += float(np.abs(made - own).sum())
        self._to_other[shift] += float(np.abs(made - other).sum())

    def finish(self) -> None:
        """Judges the frames since the last time, and motion since there was enough of it.

        Raises:
            PairError: as `add`.
        """
        self._judge_motion()
        if self._count and self._own > max(_OTHER_LEVELS * self._count, _OTHER * self._deviation):
            first = (self._frames - 1) // _BLOCK * _BLOCK
            raise PairError(
                f"shows something else than its original, even beside the faces (frames {first} to {self._frames - 1})",
                path=self._pair.output,
                hint=_HINT,
            )
        self._clear()

    def _judge_motion(self) -> None:
        enough = self._moving >= _FEW  # index -1 is that of one frame earlier
        if not enough.any():
            return
        moving, own, other = (sums[enough] for sums in (self._moving, self._to_own, self._to_other))
        shifts = np.fft.fftfreq(2 * _REACH + 1, 1 / (2 * _REACH + 1)).round().astype(int)[enough]
        frames = f"frames {self._since} to {self._frames - 1}"
        best = int(np.argmin(other / np.maximum(own, 1e-9)))
        if other[best] < _BETTER * own[best] and own[best] > _LEVELS * moving[best]:
            by = int(shifts[best])
            number = f"{_REACH} or more" if abs(by) == _REACH else abs(by)
            when = f"{number} {'later' if by > 0 else 'earlier'}"
            raise PairError(
                f"is shifted: {frames} show what the original's frames show {when}",
                path=self._pair.output,
                hint=_HINT,
            )
        if own.sum() > _NO_BETTER * other.sum() and own.sum() > _LEVELS * moving.sum():
            raise PairError(
                f"does not move as its original does: {frames} show it at another time, or show something else",
                path=self._pair.output,
                hint=_HINT,
            )
        self._clear_motion()

    def _clear(self) -> None:
        self._own = self._deviation = 0.0
        self._count = 0

    def _clear_motion(self) -> None:
        self._since = self._frames
        self._moving, self._to_own, self._to_other = (np.zeros(2 * _REACH + 1) for _ in range(3))

    def _grey(self, frame: Frame) -> NDArray[np.float32]:
        scale = _SIDE / max(self._size)
        width, height = (max(8, round(side * scale)) for side in self._size)
        grey = np.asarray(cv2.cvtColor(frame.thumbnail(width, height), cv2.COLOR_RGB2GRAY), np.float32)
        return np.asarray(cv2.blur(grey, (_GRAIN, _GRAIN)), np.float32)

    def _free(self, index: int) -> NDArray[np.bool_]:
        """Where no face is; nowhere, if faces fill the picture."""
        scale = _SIDE / max(self._size)
        width, height = (max(8, round(side * scale)) for side in self._size)
        free = np.ones((height, width), bool)
        for box in self._faces.get(index, ()):
            x1, y1, x2, y2 = (round(edge * scale) for edge in box.scaled(2.0))
            free[max(0, y1 - 1) : max(0, y2 + 2), max(0, x1 - 1) : max(0, x2 + 2)] = False
        return free if free.mean() >= _LEAST else np.zeros_like(free)
