"""Is a video file all there? Asked of the file's own structure, before hours of work rather than after."""

import struct
from pathlib import Path
from typing import BinaryIO

from masquerade.errors import InputError


def check_whole(path: Path) -> None:
    """MP4, MOV, Matroska, WebM and AVI state the lengths of their parts; refuse a file that is shorter than it says.

    Other containers are streams without a length and pass.

    Raises:
        InputError: the file ends before its last part does.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"):
            end = _end_of_boxes(file, size)
        elif head[:4] == b"\x1a\x45\xdf\xa3":
            end = _end_of_segment(file)
        elif head[:4] == b"RIFF" and head[8:12] == b"AVI ":
            end = 8 + struct.unpack("<I", head[4:8])[0]
        else:
            return
    if end > size:
        raise InputError(
            f"is cut off: {end - size} bytes are missing at its end", path=path, hint="Copy or download it again"
        )


def _end_of_boxes(file: BinaryIO, size: int) -> int:
    """Where the last of an MP4's top-level boxes ends, in bytes from the start."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        length, _ = struct.unpack(">I4s", file.read(8))
        if length == 1:  # the length follows, with 64 bits
            length = int.from_bytes(file.read(8), "big")
        if length < 8:  # 0: to the end of the file; less: not a box, the decoder will tell
            return size
        at += length
    return at


def _end_of_segment(file: BinaryIO) -> int:
    """Where a Matroska file's segment ends; 0 where its writer left that open."""
    file.seek(4)
    header, _ = _vint(file)
    file.seek(file.tell() + header)
    if file.read(4) != b"\x18\x53\x80\x67":
        return 0
    length, unknown = _vint(file)
    return 0 if unknown else file.tell() + length


def _vint(file: BinaryIO) -> tuple[int, bool]:
    """EBML's number of 1 to 8 bytes, and whether it means "unknown"."""
    first = file.read(1)
    if not first or not first[0]:
        return 0, True
    more = 8 - first[0].bit_length()
    bits = 7 * (more + 1)
    value = int.from_bytes(first + file.read(more), "big") & ((1 << bits) - 1)
    return value, value == (1 << bits) - 1
