import pytest

from masquerade.errors import OutputError
from masquerade.media import encoders

CASES = [
    # codec, pixel format, depth, container, encoder
    ("h264", "yuv420p", 8, "mp4", "libx264"),
    ("h264", "yuv420p10le", 10, "mov", "libx264"),
    ("h264", "yuv444p", 8, "matroska", "libx264"),
    ("hevc", "yuv420p", 8, "mp4", "libx264"),
    ("hevc", "yuv420p10le", 10, "mp4", "libx265"),
    ("prores", "yuv422p10le", 10, "mov", "libx265"),
    ("prores", "yuv422p12le", 12, "mov", "libx265"),
    ("vp8", "yuv420p", 8, "webm", "libvpx-vp9"),
    ("vp9", "yuv420p", 8, "matroska", "libvpx-vp9"),
    ("vp9", "yuv420p10le", 10, "webm", "libsvtav1"),
    ("av1", "yuv420p10le", 10, "mp4", "libsvtav1"),
    ("av1", "yuv444p", 8, "mp4", "libx264"),
    ("h264", "yuv420p", 8, "webm", "libvpx-vp9"),
    ("mpeg4", "yuv420p", 8, "avi", "mpeg4"),
    ("mjpeg", "yuv422p", 8, "avi", "libx264"),
    ("mpeg2video", "yuv420p", 8, "mpegts", "libx264"),
    ("av1", "yuv420p", 8, "mpegts", "libx264"),
]


@pytest.mark.parametrize(("codec", "pix_fmt", "depth", "container", "name"), CASES)
def test_defaults(codec, pix_fmt, depth, container, name):
    encoder, options = encoders.choose(
        codec=codec, pix_fmt=pix_fmt, depth=depth, container=container, asked=None, quality=None
    )
    assert encoder.name == name
    assert options[encoder.quality_options[0]] == str(encoder.quality)


def test_what_nothing_encodes_is_refused():
    with pytest.raises(OutputError, match="no encoder here writes yuv444p12le"):
        encoders.choose(codec="vp9", pix_fmt="yuv444p12le", depth=12, container="webm", asked=None, quality=None)
