"""The replacer that every other one falls back to."""

from masquerade.plan import Treatment
from masquerade.swap.base import Canvas
from masquerade.swap.redact import Redaction, redact, window
from masquerade.types import Box, Face


class Redactor:
    """Covers a face by blur, mosaic or colour.

    Args:
        treatment: how. "swap" covers by blur: it asks for somebody else's work, and this is for whom that leaves.
    """

    def __init__(self, treatment: Treatment) -> None:
        red, green, blue = treatment.color
        method = "blur" if treatment.method == "swap" else treatment.method
        self._redaction = Redaction(
            method=method, shape=treatment.shape, margin=treatment.margin, color=(red, green, blue)
        )

    def replace(self, canvas: Canvas, face: Face) -> None:
        """See `Replacer`. A face wholly outside the picture changes nothing."""
        region = window(face.box, self._redaction.margin, canvas.width, canvas.height)
        if region is None:
            return
        x, y, width, height = region
        box = face.box
        inside = Box(box.x1 - x, box.y1 - y, box.x2 - x, box.y2 - y)
        canvas.write(x, y, redact(canvas.read(x, y, width, height), inside, self._redaction))
