"""Video in and out through FFmpeg: every frame with its own timestamp, every audio packet as it was.

What is kept: frames and timestamps, size, pixel aspect, rotation, colour tags, depth, interlacing, audio and subtitle
packets (bit by bit), their language and disposition. What is not, since it may name or show a person: all other
metadata, attached pictures, data streams (timecode, GPS, sensors) and chapters; `VideoWriter.dropped` lists them. What
is not, though a viewer would miss it: further video streams, and sound or subtitles of an unknown codec;
`VideoWriter.lost` lists them.
"""

import contextlib
import errno
import struct
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import av
import av.container
import numpy as np
from av.codec.context import Flags as CodecFlags
from av.sidedata.sidedata import Type as SideData
from av.stream import Discard, Disposition, Stream
from av.video.format import VideoFormat
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from masquerade.errors import InputError, MasqueradeError, OptionError, OutputError
from masquerade.media import containers, encoders
from masquerade.media.color import BT601, BT709, FULL_RANGE, UNSPECIFIED, Coding, matrix_or_default
from masquerade.media.files import atomic_output, check_readable
from masquerade.media.frame import Layout, Orientation, Scaler, VideoFrame

_MAX_SIDE = 16384  # what H.264, HEVC and VP9 hold at most; a header that says more is damaged or hostile
_DEFAULT_RATE = Fraction(25)
_NOT_VIDEO = frozenset({"concat", "hls", "sdp", "tty"})  # what FFmpeg makes of texts
_SWSCALE = {BT601: 5, BT709: 1}  # libswscale's numbers of the matrices that RGB sources are coded with
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What is known of a video before it is read.

    Attributes:
        path: of the file.
        width: pixels, as a person sees it (rotation honoured).
        height: likewise.
        fps: mean frames per second, an estimate.
        frames: how many the container says there are; None where it does not say.
        duration: seconds, an estimate; None where the container does not say.
        codec: FFmpeg's name, such as "h264".
        pixel_format: of the source, FFmpeg's name, such as "yuv420p10le".
        depth: bits of a sample as read and written: 8, 10 or 12.
        rotation: degrees clockwise that a player turns the stored picture by: 0, 90, 180 or 270.
        pixel_aspect: width of a pixel over its height.
        audio: number of audio streams.
        subtitles: number of subtitle streams.
    """

    path: Path
    width: int
    height: int
    fps: float
    frames: int | None
    duration: float | None
    codec: str
    pixel_format: str
    depth: int
    rotation: int
    pixel_aspect: Fraction
    audio: int
    subtitles: int

    @property
    def has_audio(self) -> bool:
        """Whether there is sound."""
        return self.audio > 0


@dataclass(frozen=True, slots=True)
class _Tags:
    """Colour tags, FFmpeg's numbers."""

    matrix: int
    range: int
    primaries: int
    transfer: int


def probe(path: Path | str) -> VideoInfo:
    """What is known of a video without reading it; decodes one frame.

    Raises:
        InputError: there is no video that can be read.
    """
    with open_video(path) as reader:
        return reader.info


def open_video(path: Path | str) -> "VideoReader":
    """Open a video for reading; use it as a context manager.

    Raises:
        InputError: missing, empty, truncated, damaged, without video, or of a codec that cannot be decoded.
    """
    return VideoReader(path)


class VideoReader:
    """Iterate over it, once, for every frame in presentation order.

    A file that is cut off is refused when it is opened, one that is damaged inside when the damage is met.

    Attributes:
        path: of the file.
        info: what is known before reading.
        stream, layout, tags, matrix, interlaced, hdr10: what `VideoWriter` passes on.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = check_readable(path)
        containers.check_whole(self.path)
        with ExitStack() as stack:
            with _reading(self.path):
                self._container = stack.enter_context(_open(self.path))
                self.stream = _main_video(self._container, self.path)
                for other in self._container.streams:
                    if other is not self.stream:
                        other.discard = Discard.all
                self.stream.thread_type = "AUTO"
                self._pictures = self._decode()
                first = next(self._pictures, None)
            if first is None:
                raise InputError("has no frame that can be decoded", path=self.path, hint="Record or export it again")
            self._first: av.VideoFrame | None = first
            self._size = first.width, first.height
            self._normalise = VideoReformatter()
            self.layout, self.tags = _layout(first)
            self.matrix = _display_matrix(first)
            self.interlaced = first.interlaced_frame
            self.hdr10 = _hdr10(first)
            self.info = self._describe(first)
            self._close = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file. Frames already read stay good."""
        self._pictures.close()
        self._close.close()

    def __iter__(self) -> Iterator[VideoFrame]:
        """The frames not yet read.

        Raises:
            InputError: a packet is damaged, or the picture changes its size on the way.
        """
        index, last = 0, None
        step = max(round(1 / self.info.fps / self.time_base), 1)
        first, self._first = self._first, None
        if first is None:
            raise RuntimeError("a VideoReader is read once; open the file again")
        picture: av.VideoFrame | None = first
        while picture is not None:
            # Damaged indexes give frames without a time, or two at once; a player shows them one after another.
            if picture.pts is None:
                picture.pts = 0 if last is None else last + step
            elif last is not None and picture.pts <= last:
                picture.pts = last + 1
            last = picture.pts
            yield VideoFrame(self._planar(picture), index, float(last * self.time_base), self.layout)
            index += 1
            with _reading(self.path):
                picture = next(self._pictures, None)

    @property
    def time_base(self) -> Fraction:
        """Seconds per unit of the timestamps."""
        return _fraction(self.stream.time_base) or Fraction(1, 1000)

    def _decode(self) -> Generator[av.VideoFrame]:
        for packet in self._container.demux(self.stream):
            for picture in packet.decode():
                if picture.is_corrupt or packet.is_corrupt:
                    at = f" at {picture.time:.1f} s" if picture.time is not None else ""
                    raise _damaged(self.path, at)
                picture.time_base = self.stream.time_base
                yield picture

    def _planar(self, picture: av.VideoFrame) -> av.VideoFrame:
        """The picture in the layout that regions are read from and written to."""
        if (picture.width, picture.height) != self._size:
            raise InputError(
                f"changes its size from {self._size[0]}x{self._size[1]} to {picture.width}x{picture.height}",
                path=self.path,
                hint="Split it there, or scale it to one size first",
            )
        if picture.format.name != self.layout.pix_fmt:
            range_ = 2 if self.layout.coding.full else 1
            planar = {"src_color_range": range_, "dst_color_range": range_}  # the same samples, arranged otherwise
            if _is_rgb(picture.format):
                planar = {"dst_color_range": range_, "dst_colorspace": _SWSCALE[self.layout.coding.matrix]}
            picture = self._normalise.reformat(picture, format=self.layout.pix_fmt, threads=1, **planar)
        return picture

    def _describe(self, first: av.VideoFrame) -> VideoInfo:
        stream, container = self.stream, self._container
        width, height = self.layout.orientation.size(first.width, first.height)
        rate = _fraction(stream.average_rate) or _fraction(stream.guessed_rate) or _DEFAULT_RATE
        duration: float | None = None
        if stream.duration:
            duration = float(stream.duration * self.time_base)
        elif container.duration:
            duration = container.duration / av.time_base
        return VideoInfo(
            path=self.path,
            width=width,
            height=height,
            fps=float(rate),
            frames=stream.frames or None,
            duration=duration,
            codec=stream.codec_context.codec.canonical_name,
            pixel_format=first.format.name,
            depth=self.layout.coding.depth,
            rotation=self.layout.orientation.rotation,
            pixel_aspect=_fraction(stream.sample_aspect_ratio) or Fraction(1),
            audio=len(container.streams.audio),
            subtitles=len(container.streams.subtitles),
        )


class VideoWriter:
    """Write the frames of a reader to another file; use it as a context manager.

    The file appears under its name only when the block ends well. Same input and options give the same bytes.

    Attributes:
        path: the final name.
        encoder: FFmpeg's name of the encoder that runs.
        dropped: what of the source is left out on purpose, one phrase each.
        lost: what of the source is left out and a viewer would miss, one phrase each.
    """

    def __init__(
        self,
        path: Path | str,
        source: VideoReader,
        *,
        encoder: str | None = None,
        quality: int | None = None,
        note: str | None = None,
    ) -> None:
        """Args:
            path: its suffix names the container: one of `encoders.CONTAINERS`.
            source: whose frames will be written; its other streams are copied from the file.
            encoder: FFmpeg's name, such as "libx265"; None chooses, see `encoders`.
            quality: on the encoder's own scale, smaller is better; None is close to the source.
            note: the only metadata of the file, as its comment. Where the container knows none, `dropped` says so.

        Raises:
            OutputError: unknown suffix, or the container cannot hold what the source has.
            OptionError: unknown encoder or quality out of its range.
        """
        self.path = Path(path)
        self._source = source
        self._note = note
        muxer = encoders.CONTAINERS.get(self.path.suffix.lower())
        if muxer is None:
            raise OutputError(
                f"videos cannot be written as {self.path.suffix or 'a file without suffix'}",
                path=self.path,
                hint=f"Choose one of {', '.join(encoders.CONTAINERS)}",
            )
        if source.matrix is not None and muxer not in encoders.KEEP_ROTATION:
            raise OutputError(
                f"{self.path.suffix} cannot say that the video is turned",
                path=self.path,
                hint="Choose .mp4, .mov or .mkv",
            )
        self._muxer = muxer
        layout, info = source.layout, source.info
        self._pix_fmt = layout.pix_fmt
        odd = any(side % (1 << shift) for side, shift in _sides(source))
        choose = partial(
            encoders.choose, codec=info.codec, depth=info.depth, container=muxer, asked=encoder, quality=quality
        )
        chosen, self._options = choose(pix_fmt=layout.pix_fmt)
        if odd and chosen.codec in ("h264", "hevc"):  # they hold odd sizes only where chroma has every pixel's colour
            self._pix_fmt = layout.pix_fmt.replace("420", "444").replace("422", "444")
            chosen, self._options = choose(pix_fmt=self._pix_fmt)
        if chosen.name == "libx265" and source.hdr10:
            self._options["x265-params"] += f":{source.hdr10}"
        self._codec = chosen.codec
        self.encoder = chosen.name
        self.dropped: tuple[str, ...] = ()
        self.lost: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._part = stack.enter_context(atomic_output(self.path, inputs=[self._source.path]))
            with _writing(self.path):
                self._container = av.open(
                    f"file:{self._part}",
                    "w",
                    format=self._muxer,
                    container_options=_muxer_options(self._muxer, self._source),
                )
                stack.push(self._abandon)
                if self._note:
                    self._container.metadata["comment"] = self._note
                self._stream = self._add_video()
            self._others = stack.enter_context(_Others(self._source, self._container, self.path))
            unsaid = [f"the note on its faces, which {self.path.suffix} cannot hold"]
            self.dropped = tuple(self._others.dropped + unsaid * bool(self._note and self._muxer == "mpegts"))
            self.lost = tuple(self._others.lost)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            with self._stack:
                self._finish()
        else:
            self._stack.__exit__(kind, error, trace)

    def write(self, frame: VideoFrame) -> None:
        """Encode a frame, edited or not; frames come in the order they were read in.

        Raises:
            OutputError: it cannot be encoded or written.
        """
        picture = frame.picture
        with _writing(self.path):
            if picture.format.name != self._pix_fmt:
                picture = picture.reformat(format=self._pix_fmt, threads=1)
            picture.pict_type = 0  # the encoder decides; a decoder's choice would be taken as an order
            if self._rate is not None:
                self._snap(picture, self._rate)
            self._container.mux(self._stream.encode(picture))
        self._others.copy_until(frame.time)

    def _finish(self) -> None:
        with _writing(self.path):
            self._container.mux(self._stream.encode(None))
        self._others.copy_until(None)
        with _writing(self.path):
            self._container.close()

    def _abandon(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            return
        with contextlib.suppress(OSError):
            self._part.unlink(missing_ok=True)  # first, so that closing does not rewrite a file nobody wants
        with contextlib.suppress(Exception):
            self._container.close()

    def _add_video(self) -> VideoStream:
        source = self._source
        rate = Fraction(source.info.fps).limit_denominator(1001)
        try:
            stream = cast(VideoStream, self._container.add_stream(self.encoder, rate=rate, options=self._options))
        except ValueError as error:
            raise OptionError(
                f"{self.path.suffix} cannot hold what {self.encoder} writes",
                hint="Leave the choice of encoder to masquerade",
            ) from error
        stream.width, stream.height = source.layout.orientation.size(source.info.width, source.info.height)
        stream.pix_fmt = self._pix_fmt
        context = stream.codec_context
        # AVI has no timestamps, only a rate: a frame's place is its time.
        self._rate = rate if self._muxer == "avi" else None
        self._grid_start: int | None = None
        context.time_base = source.time_base if self._rate is None else 1 / self._rate
        if source.info.pixel_aspect != 1:
            context.sample_aspect_ratio = source.info.pixel_aspect
        context.color_range = source.tags.range
        context.color_primaries = source.tags.primaries
        context.color_trc = source.tags.transfer
        context.colorspace = source.tags.matrix
        context.flags |= CodecFlags.frame_duration.value  # else the last frame's duration is lost
        context.thread_type = "FRAME"
        if source.interlaced and self._codec in ("h264", "mpeg4"):
            context.flags |= CodecFlags.interlaced_dct.value | CodecFlags.interlaced_me.value
            context.field_order = source.stream.codec_context.field_order
        if self._muxer in ("avi", "mpegts"):
            context.max_b_frames = 0  # with them decoding starts before 0, which these would make up for by a delay
        if self._codec == "hevc" and self._muxer in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # what Apple's players ask for
        if source.matrix is not None:
            stream.set_display_matrix(source.matrix.tolist())
        _keep_language(source.stream, stream)
        return stream

    def _snap(self, picture: av.VideoFrame, rate: Fraction) -> None:
        """Give the frame its place on AVI's grid, whose first cell is the first frame's."""
        place = (picture.pts or 0) * self._source.time_base * rate
        if self._grid_start is None:
            # FFmpeg reads H.264 from AVI one frame late; more than that is a start that AVI cannot tell.
            self._grid_start = min(round(place), 1)
        if abs(round(place) - place) / rate > Fraction(2, 1000):
            raise OutputError(
                ".avi cannot hold these timestamps, only a steady rate from 0 on",
                path=self.path,
                hint="Choose .mp4, .mov or .mkv",
            )
        picture.pts, picture.time_base = round(place) - self._grid_start, 1 / rate
        picture.duration = 1


class _Enough(Exception):  # noqa: N818 - nothing went wrong
    """The answer is known; the rest of the block is not wanted."""


def check_video_output(source: Path, path: Path, *, encoder: str | None = None, quality: int | None = None) -> None:
    """Find out now, not after hours of work, that a `VideoWriter` would refuse. Leaves nothing behind.

    Raises:
        InputError: the source cannot be opened.
        OutputError: `path` cannot be written, or its container cannot hold what the source has.
        OptionError: unknown encoder or quality out of its range.
    """
    with (
        contextlib.suppress(_Enough),
        open_video(source) as reader,
        VideoWriter(path, reader, encoder=encoder, quality=quality),
    ):
        raise _Enough


class _Others:
    """Copies audio and subtitle packets, reading the source a second time so that nothing piles up in memory."""

    def __init__(self, source: VideoReader, output: av.container.OutputContainer, path: Path) -> None:
        self._source, self._output, self._path = source, output, path
        self._waiting: av.Packet[Any] | None = None
        self.dropped: list[str] = []
        self.lost: list[str] = []
        with _reading(source.path):
            self._container = _open(source.path)
        self._streams: dict[int, Stream] = {}
        for stream in self._container.streams:
            if stream.index == source.stream.index:
                stream.discard = Discard.all
                continue
            name = stream.codec_context.codec.canonical_name if stream.codec_context else None
            if stream.type not in ("audio", "subtitle") or name is None:
                stream.discard = Discard.all
                self._leave_out(stream, name)
                continue
            self._streams[stream.index] = self._add(stream, name)
        if self._container.chapters():
            self.dropped.append("chapters")
        wanted = [self._container.streams[index] for index in self._streams]
        self._packets = self._container.demux(wanted) if wanted else iter(())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._packets = iter(())
        self._container.close()

    def copy_until(self, time: float | None) -> None:
        """Copy the packets due by `time` in seconds, or all the rest."""
        while True:
            if self._waiting is None:
                with _reading(self._source.path):
                    self._waiting = next(self._packets, None)
                if self._waiting is None:
                    return
            packet = self._waiting
            due = packet.dts if packet.dts is not None else packet.pts
            if packet.size == 0 and due is None:  # the demuxer's sign that a stream has ended
                self._waiting = None
                continue
            if time is not None and due is not None and due * (_fraction(packet.time_base) or 0) > time:
                return
            if packet.is_corrupt:
                raise _damaged(self._source.path, " in its sound or subtitles")
            packet.stream = self._streams[packet.stream_index]
            if not (packet.size == 2 and packet.stream.name == "mov_text"):  # the muxer itself marks where a text ends
                with _writing(self._path):
                    self._output.mux_one(packet)
            self._waiting = None

    def _leave_out(self, stream: Stream, name: str | None) -> None:
        if stream.disposition & Disposition.attached_pic:
            self.dropped.append("attached picture")
        elif stream.type == "video":
            self.lost.append("further video stream")
        elif stream.type in ("audio", "subtitle"):
            self.lost.append(f"{stream.type} stream of an unknown codec")
        else:
            self.dropped.append(f"{stream.type} stream{f' ({name})' if name else ''}")

    def _add(self, stream: Stream, name: str) -> Stream:
        try:
            copy = self._output.add_stream_from_template(stream)
        except ValueError as error:
            raise OutputError(
                f"{self._path.suffix} cannot hold the source's {stream.type} ({name})",
                path=self._path,
                hint=f"Choose an output ending in {self._source.path.suffix} or .mkv",
            ) from error
        _keep_language(stream, copy)
        copy.disposition = stream.disposition
        return copy


def _open(path: Path) -> av.container.InputContainer:
    # The prefix keeps a name such as "rtsp:1.mp4" from being taken as an address, and the list keeps a playlist that
    # calls itself a video from fetching anything.
    container = av.open(f"file:{path}", metadata_errors="replace", container_options={"protocol_whitelist": "file"})
    if not _NOT_VIDEO.isdisjoint(container.format.name.split(",")):
        container.close()
        raise InputError("is a text or a playlist, not a video", path=path, hint="Name the video itself")
    return container


def _main_video(container: av.container.InputContainer, path: Path) -> VideoStream:
    videos = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not videos:
        what = "has sound but no video" if container.streams.audio else "has no video"
        raise InputError(what, path=path, hint="Name a video")
    stream = max(videos, key=lambda s: bool(s.disposition & Disposition.default))  # the first of several defaults
    if stream.codec_context is None:
        raise InputError("is of a video codec that cannot be decoded here", path=path, hint="Convert it to H.264 first")
    width, height = stream.codec_context.width, stream.codec_context.height
    if width > _MAX_SIDE or height > _MAX_SIDE:
        raise InputError(
            f"is {width}x{height} pixels, more than {_MAX_SIDE} on a side", path=path, hint="Scale it down first"
        )
    return stream


def _layout(first: av.VideoFrame) -> tuple[Layout, _Tags]:
    """The planar layout nearest to the first frame's format, and the colour tags of what will be written."""
    format_ = first.format
    parts = [part for part in format_.components if not part.is_alpha]
    bits = max(part.bits for part in parts)
    depth = next((d for d in (8, 10) if bits <= d), 12)
    rgb = _is_rgb(format_)
    gray = len(parts) == 1 and not rgb
    if gray or rgb:
        shift_x = shift_y = 0
        name = "gray" if gray else "yuv444p"
    else:
        shift_x = 1 if format_.chroma_width(16) < 16 else 0
        shift_y = 1 if format_.chroma_height(16) < 16 and shift_x else 0  # 4:4:0, which nobody encodes, gets all rows
        name = f"yuv4{'4' if not shift_x else '2'}{'4' if not shift_x else '0' if shift_y else '2'}p"
    name += "" if depth == 8 else f"{depth}le"
    # Grey without a range is full, yuvj always is; everything else unnamed is limited.
    full = not rgb and (first.color_range == FULL_RANGE or "yuvj" in format_.name or (gray and not first.color_range))
    matrix = matrix_or_default(UNSPECIFIED if rgb else first.colorspace, first.width, first.height)
    tags = _Tags(
        matrix=matrix if rgb else first.colorspace,
        range=FULL_RANGE if full else 1 if rgb else first.color_range,
        primaries=first.color_primaries,
        transfer=first.color_trc,
    )
    orientation = Orientation() if (found := _display_matrix(first)) is None else Orientation.from_matrix(found)
    return Layout(name, gray, shift_x, shift_y, Coding(matrix, full, depth), orientation, Scaler()), tags


def _hdr10(picture: av.VideoFrame) -> str:
    """What HDR10 says of the screen it was graded on and of its brightest pixels, in x265's words; "" for nothing."""
    side_data: Any = picture.side_data
    found = {part.type: bytes(part) for part in side_data}
    words = []
    if SideData.MASTERING_DISPLAY_METADATA in found:
        *numbers, has_primaries, has_luminance = struct.unpack("22i", found[SideData.MASTERING_DISPLAY_METADATA])
        if has_primaries and has_luminance:
            values = [Fraction(a, b or 1) for a, b in zip(numbers[::2], numbers[1::2], strict=True)]
            rx, ry, gx, gy, bx, by, wx, wy = (round(value * 50000) for value in values[:8])
            low, high = (round(value * 10000) for value in values[8:])
            words.append(f"master-display=G({gx},{gy})B({bx},{by})R({rx},{ry})WP({wx},{wy})L({high},{low})")
    if SideData.CONTENT_LIGHT_LEVEL in found:
        words.append("max-cll={},{}".format(*struct.unpack("2I", found[SideData.CONTENT_LIGHT_LEVEL])))
    return ":".join(words)


def _is_rgb(format_: VideoFormat) -> bool:
    return format_.is_rgb or format_.has_palette or format_.is_bayer


def _display_matrix(picture: av.VideoFrame) -> NDArray[np.int32] | None:
    """Nine int32, or None where the picture stands upright as stored."""
    side_data: Any = picture.side_data  # its stub says that it maps strings, but it maps these
    if SideData.DISPLAYMATRIX not in [part.type for part in side_data]:
        return None
    matrix = np.frombuffer(bytes(side_data[SideData.DISPLAYMATRIX]), np.int32)
    return matrix if matrix[1] or matrix[3] or matrix[0] < 0 or matrix[4] < 0 else None


def _sides(source: VideoReader) -> list[tuple[int, int]]:
    width, height = source.layout.orientation.size(source.info.width, source.info.height)
    return [(width, source.layout.shift_x), (height, source.layout.shift_y)]


def _muxer_options(muxer: str, source: VideoReader) -> dict[str, str]:
    options = {"fflags": "+bitexact"}  # else Matroska files get random numbers, and all of them FFmpeg's version
    if muxer in ("mp4", "mov"):
        options["movflags"] = "+faststart"  # so that a browser can start before it has all
        # A start later than 0 is told in these units; FFmpeg's milliseconds would round it.
        options["movie_timescale"] = str(max(source.time_base.denominator, 1000))
    if muxer == "mpegts":
        options["mpegts_copyts"] = "1"  # else everything starts later
    return options


def _keep_language(source: Stream, output: Stream) -> None:
    """All that is kept of a stream's metadata: a title or a handler's name may name a person or a device."""
    language = source.metadata.get("language")
    if language:
        output.metadata["language"] = language


def _fraction(value: Fraction | None) -> Fraction | None:
    """FFmpeg's rational as a fraction; None for none and for 0/0, which means unknown."""
    return Fraction(value.numerator, value.denominator) if value else None


def _damaged(path: Path, where: str) -> InputError:
    return InputError(
        f"is damaged{where}", path=path, hint="Repair it first, for example: ffmpeg -i damaged.mp4 repaired.mp4"
    )


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except MasqueradeError:
        raise
    except (av.error.DecoderNotFoundError, av.error.PatchWelcomeError, av.error.NotImplementedError) as error:
        raise InputError(
            "is of a video codec that cannot be decoded here", path=path, hint="Convert it first"
        ) from error
    except EOFError as error:
        raise InputError("ends before its first frame", path=path, hint="Record or export it again") from error
    except av.FFmpegError as error:
        raise InputError(
            f"cannot be read as video ({_reason(error)})",
            path=path,
            hint="Check that it plays; copy or export it again",
        ) from error


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except MasqueradeError:
        raise
    except av.FFmpegError as error:
        if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
            raise  # told by atomic_output, which knows the disk
        raise OutputError(
            f"cannot be written ({_reason(error)})", path=path, hint="Try another format, such as .mkv"
        ) from error


def _reason(error: BaseException) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())
