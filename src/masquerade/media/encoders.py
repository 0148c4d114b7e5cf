"""Which encoder writes which video, and how good.

The default keeps the source's codec where that is fast and plays anywhere, with two exceptions: 8-bit HEVC becomes
H.264, which encodes three times faster, and codecs nobody writes any more become H.264 too. Quality is constant, set so
that a second generation looks like the first. Measured on 1080p H.264 of 4.4 Mbit/s against the decoded source:

    libx264      27 ms of one core a frame   luma PSNR 46 dB   1.5 times the source's size
    libx265      82                          44                0.7
    libvpx-vp9   43                          47                1.6
"""

import os
from dataclasses import dataclass
from types import MappingProxyType

import av
import av.codec

from masquerade.errors import OptionError, OutputError

CONTAINERS = MappingProxyType(
    {
        ".mp4": "mp4",
        ".m4v": "mp4",
        ".mov": "mov",
        ".mkv": "matroska",
        ".webm": "webm",
        ".avi": "avi",
        ".ts": "mpegts",
        ".mts": "mpegts",
        ".m2ts": "mpegts",
    }
)
"""Suffix → FFmpeg's muxer."""

KEEP_ROTATION = frozenset({"mp4", "mov", "matroska", "webm"})
"""Muxers that store how a player has to turn the picture."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """An FFmpeg encoder and how it is run.

    Attributes:
        name: FFmpeg's.
        codec: what it writes, FFmpeg's name.
        options: FFmpeg's, without the quality.
        quality_options: the options that take the quality; none where there is no such thing.
        quality: the default.
        scale: the best and the worst quality; smaller is better.
    """

    name: str
    codec: str
    options: MappingProxyType[str, str]
    quality_options: tuple[str, ...]
    quality: int
    scale: tuple[int, int]


def _encoder(name: str, codec: str, quality: int, worst: int, **options: str) -> Encoder:
    named = {key.replace("_", "-"): value for key, value in options.items()}
    return Encoder(name, codec, MappingProxyType(named), ("crf",), quality, (0, worst))


KNOWN = MappingProxyType(
    {
        encoder.name: encoder
        for encoder in (
            _encoder("libx264", "h264", 19, 51, preset="superfast"),
            _encoder("libx265", "hevc", 20, 51, preset="ultrafast", x265_params="log-level=none"),
            _encoder("libvpx-vp9", "vp9", 24, 63, deadline="realtime", cpu_used="8", row_mt="1"),
            _encoder("libsvtav1", "av1", 26, 63, preset="10"),
            Encoder("mpeg4", "mpeg4", MappingProxyType({}), ("qmin", "qmax"), 2, (1, 31)),
        )
    }
)


def choose(
    *, codec: str, pix_fmt: str, depth: int, container: str, asked: str | None, quality: int | None
) -> tuple[Encoder, dict[str, str]]:
    """The encoder and the options it is run with.

    Args:
        codec: the source's, FFmpeg's name.
        pix_fmt: of the frames to come, FFmpeg's name.
        depth: bits of a sample.
        container: FFmpeg's name of the muxer.
        asked: an encoder's name by the user, or None for the default.
        quality: by the user, on the encoder's own scale (smaller is better), or None.

    Raises:
        OptionError: no such encoder, or a quality that it does not take.
        OutputError: the container cannot hold it, or nothing here encodes such pixels.
    """
    if asked is not None:
        encoder = KNOWN.get(asked) or Encoder(asked, codec_of(asked), MappingProxyType({}), (), 0, (0, 0))
        if pix_fmt not in _formats(encoder):
            raise OptionError(
                f"encoder {asked} cannot write {pix_fmt}", hint="Leave the choice of encoder to masquerade"
            )
    else:
        encoder = _default(codec, pix_fmt, depth, container)
    if quality is not None and not encoder.quality_options:
        raise OptionError(f"encoder {encoder.name} takes no quality here", hint=f"Choose one of {', '.join(KNOWN)}")
    chosen = encoder.quality if quality is None else quality
    best, worst = encoder.scale
    if not best <= chosen <= worst:
        raise OptionError(f"quality {chosen} is not in {best} (best) to {worst} of {encoder.name}")
    options = dict(encoder.options) | dict.fromkeys(encoder.quality_options, str(chosen))
    if encoder.name == "libsvtav1":
        os.environ.setdefault("SVT_LOG", "1")  # it writes to the terminal by itself; errors only
    return encoder, options


def _default(codec: str, pix_fmt: str, depth: int, container: str) -> Encoder:
    if container == "webm":
        names = ["libsvtav1", "libvpx-vp9"] if codec == "av1" else ["libvpx-vp9", "libsvtav1"]
    elif container == "avi":
        names = ["mpeg4", "libx264"]  # AVI has no presentation times, which H.264 needs
    elif codec in ("av1", "vp9") and container != "mpegts":
        names = ["libsvtav1" if codec == "av1" else "libvpx-vp9", "libx264", "libx265"]
    elif codec == "h264" or depth == 8:
        names = ["libx264", "libx265"]
    else:
        names = ["libx265", "libx264"]
    for name in names:
        if name in av.codec.codecs_available and pix_fmt in _formats(KNOWN[name]):
            return KNOWN[name]
    raise OutputError(
        f"no encoder here writes {pix_fmt} video into {container}", hint="Choose an output ending in .mkv"
    )


def _formats(encoder: Encoder) -> list[str]:
    return [format_.name for format_ in av.codec.Codec(encoder.name, "w").video_formats or []]


def codec_of(name: str) -> str:
    """The codec that a video encoder writes, FFmpeg's name.

    Raises:
        OptionError: there is no such video encoder here.
    """
    try:
        codec = av.codec.Codec(name, "w")
    except ValueError as error:
        raise OptionError(
            f"there is no encoder {name!r} in this FFmpeg", hint=f"Known are {', '.join(KNOWN)}"
        ) from error
    if codec.type != "video":
        raise OptionError(f"{name} encodes {codec.type}, not video", hint=f"Known are {', '.join(KNOWN)}")
    return str(codec.canonical_name)
