"""masquerade: every face replaced by a face that belongs to nobody."""

from masquerade.errors import MasqueradeError
from masquerade.pipeline import Anonymizer, Report, Settings, Wishes, analyze, anonymize, render
from masquerade.plan import Plan, Scope, Span, Treatment
from masquerade.types import Box, Face, Provenance, Track, TrackedFace
from masquerade.version import __version__

__all__ = [
    "Anonymizer",
    "Box",
    "Face",
    "MasqueradeError",
    "Plan",
    "Provenance",
    "Report",
    "Scope",
    "Settings",
    "Span",
    "Track",
    "TrackedFace",
    "Treatment",
    "Wishes",
    "__version__",
    "analyze",
    "anonymize",
    "render",
]
