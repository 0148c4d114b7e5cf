"""Pixels → faces: `detect` finds them, `align` brings them upright and back."""

from masquerade.faces import align, detect

__all__ = ["align", "detect"]
