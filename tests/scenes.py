"""Photos and clips with one real face, a public-domain portrait's, placed so that the truth is known."""

from fractions import Fraction

import av
import cv2
import numpy as np

from masquerade.types import Box

FACE = Box(172, 66, 276, 196)
"""The face of the astronaut portrait, measured by hand."""


def background(width, height):
    blocks = np.random.default_rng(3).integers(40, 90, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    return cv2.GaussianBlur(np.kron(blocks, np.ones((8, 8, 1), np.uint8))[:height, :width], (0, 0), 3)


def placed(portrait, scale, x, y, width, height):
    """The portrait shrunk by `scale` with its corner at (x, y), and where its face is then."""
    picture = background(width, height)
    small = cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    top, left = max(0, y), max(0, x)
    part = small[top - y : top - y + height - top, left - x : left - x + width - left]
    picture[top : top + part.shape[0], left : left + part.shape[1]] = part
    return picture, Box(*(v * scale + o for v, o in zip(FACE, (x, y, x, y), strict=True)))


def write_clip(path, pictures, rate=25, crf=16):
    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": str(crf), "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for i, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture))
            frame.pts, frame.time_base = i, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
