"""Small clips that the tests make themselves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


@dataclass
class Clip:
    """What to make. Times are in units of `time_base`; `None` makes a steady 25 frames a second."""

    width: int = 96
    height: int = 64
    frames: int = 6
    encoder: str = "libx264"
    options: dict[str, str] = field(default_factory=lambda: {"crf": "4", "preset": "ultrafast"})
    pix_fmt: str = "yuv420p"
    times: Sequence[int] | None = None
    time_base: Fraction = Fraction(1, 12800)
    rotation: int = 0
    matrix: Sequence[int] | None = None
    colour: dict[str, int] = field(default_factory=dict)
    aspect: Fraction | None = None
    audio: str | None = None
    subtitles: bool = False
    metadata: dict[str, str] = field(default_factory=dict)
    picture: Callable[[int, int, int], np.ndarray] | None = None

    @property
    def pts(self) -> list[int]:
        step = int(Fraction(1, 25) / self.time_base)
        return list(self.times) if self.times is not None else [i * step for i in range(self.frames)]

    def write(self, path: Path) -> Path:
        with av.open(str(path), "w") as out:
            out.metadata.update(self.metadata)
            encoders = [self._picture(out)]
            if self.audio:
                encoders.append(self._sound(out))
            if self.subtitles:
                encoders.append(self._text(out, path.suffix))
            # All streams exist by now, so a muxer that writes its header at the first packet knows them.
            packets = [packet for encode in encoders for packet in encode()]
            packets.sort(key=lambda p: float((p.dts or 0) * p.time_base))
            for packet in packets:
                out.mux(packet)
        return path

    def _picture(self, out: av.container.OutputContainer) -> Callable[[], list[av.Packet]]:
        stream = out.add_stream(self.encoder, rate=25, options=self.options)
        stream.width, stream.height, stream.pix_fmt = self.width, self.height, self.pix_fmt
        stream.codec_context.time_base = self.time_base
        for name, value in self.colour.items():
            setattr(stream.codec_context, name, value)
        if self.aspect:
            stream.codec_context.sample_aspect_ratio = self.aspect
        if self.rotation:
            stream.set_display_rotation(self.rotation)
        if self.matrix:
            stream.set_display_matrix(self.matrix)
        stream.metadata.update({k: v for k, v in self.metadata.items() if k in ("language", "title", "handler_name")})

        def encode() -> list[av.Packet]:
            packets = []
            for index, pts in enumerate(self.pts):
                picture = self.frame(index)
                picture.pts, picture.time_base = pts, self.time_base
                for name, value in self.colour.items():
                    setattr(picture, name, value)
                packets += stream.encode(picture)
            return packets + stream.encode(None)

        return encode

    def _sound(self, out: av.container.OutputContainer) -> Callable[[], list[av.Packet]]:
        stream = out.add_stream(self.audio, rate=48000)
        stream.metadata["language"] = "deu"
        context = stream.codec_context
        context.layout = "mono"

        def encode() -> list[av.Packet]:
            seconds = float(self.pts[-1] * self.time_base) + 0.1
            tone = np.sin(np.arange(int(48000 * seconds)) / 20) * 0.3
            shape = context.format.name
            wave = tone.astype(np.float32) if shape.startswith("flt") else (tone * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(wave[None], format=shape, layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
            resampler = av.AudioResampler(shape, "mono", 48000, frame_size=context.frame_size or 1024)
            parts = [*resampler.resample(frame), *resampler.resample(None), None]
            return [packet for part in parts for packet in stream.encode(part)]

        return encode

    def _text(self, out: av.container.OutputContainer, suffix: str) -> Callable[[], list[av.Packet]]:
        stream = out.add_stream("subrip" if suffix == ".mkv" else "mov_text")
        stream.codec_context.subtitle_header = ASS_HEADER
        stream.time_base = Fraction(1, 1000)
        stream.metadata["language"] = "fra"

        def encode() -> list[av.Packet]:
            packets = []
            for at, words in ((0, b"Bonjour"), (80, b"Au revoir")):
                packet = av.Packet(words if suffix == ".mkv" else len(words).to_bytes(2, "big") + words)
                packet.pts = packet.dts = at
                packet.duration, packet.time_base, packet.stream = 60, Fraction(1, 1000), stream
                packets.append(packet)
            return packets

        return encode

    def frame(self, index: int) -> av.VideoFrame:
        """A smooth picture that moves, so that any shift in time or place is seen."""
        paint = self.picture or moving
        rgb = av.VideoFrame.from_ndarray(paint(index, self.width, self.height), format="rgb24")
        space = {1: 1, 9: 9}.get(self.colour.get("colorspace", 2), 5)
        return rgb.reformat(
            format=self.pix_fmt, dst_colorspace=space, dst_color_range=self.colour.get("color_range", 1) or 1
        )


ASS_HEADER = (
    b"[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name\nStyle: Default\n\n[Events]\nFormat: Text\n"
)


def moving(index: int, width: int, height: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    waves = [np.sin((x + 5 * index) / 9), np.sin((y - 3 * index) / 7), np.cos((x + y) / 11 + index)]
    return (128 + 90 * np.stack(waves, axis=2)).astype(np.uint8)


def decoded(path: Path) -> list[av.VideoFrame]:
    """All frames, straight from FFmpeg."""
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def times(path: Path) -> list[Fraction]:
    return [frame.pts * Fraction(frame.time_base.numerator, frame.time_base.denominator) for frame in decoded(path)]


def packets(path: Path, kind: str) -> list[tuple[bytes, Fraction]]:
    """(payload, presentation time) of every packet of the streams of a kind."""
    with av.open(str(path)) as container:
        found = [
            (p.stream_index, bytes(p), p.pts * Fraction(p.time_base.numerator, p.time_base.denominator))
            for p in container.demux()
            if p.stream.type == kind and p.size
        ]
    return [(payload, at) for _, payload, at in sorted(found, key=lambda f: f[0])]


def luma(frame: av.VideoFrame) -> np.ndarray:
    deep = frame.format.components[0].bits > 8
    samples = np.frombuffer(frame.planes[0], np.uint16 if deep else np.uint8)
    return samples.reshape(frame.height, -1)[:, : frame.width]


def planes(frame: av.VideoFrame) -> list[np.ndarray]:
    """Copies of the planes without their padding."""
    deep = frame.format.components[0].bits > 8
    found = []
    for plane in frame.planes:
        samples = np.frombuffer(plane, np.uint16 if deep else np.uint8).reshape(plane.height, -1)
        found.append(samples[:, : plane.width].copy())
    return found
