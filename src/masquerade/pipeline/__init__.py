"""The walk itself: analyze → Plan → render, for files, batches and single frames."""

from masquerade.pipeline.analyze import analyze
from masquerade.pipeline.anonymize import Settings, anonymize
from masquerade.pipeline.frames import Anonymizer
from masquerade.pipeline.people import Wishes
from masquerade.pipeline.render import Report, render

__all__ = ["Anonymizer", "Report", "Settings", "Wishes", "analyze", "anonymize", "render"]
