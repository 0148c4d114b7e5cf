"""Faces → identities: unit vectors whose angle tells people apart."""

from masquerade.faces.embed.base import Encoder, dlib_template
from masquerade.faces.embed.opening import KINDS, Kind, open_encoder

__all__ = ["KINDS", "Encoder", "Kind", "dlib_template", "open_encoder"]
