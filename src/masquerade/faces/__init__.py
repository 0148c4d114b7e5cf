"""Pixels → faces: detection in `detect`, upright crops here."""

from masquerade.faces.align import (
    Matrix,
    align,
    estimate_similarity,
    invert,
    paste,
    round_trip_error,
    scale_of,
    template,
    transform,
    warp,
)

__all__ = [
    "Matrix",
    "align",
    "estimate_similarity",
    "invert",
    "paste",
    "round_trip_error",
    "scale_of",
    "template",
    "transform",
    "warp",
]
