"""Detectors by name."""

from pathlib import Path
from typing import TYPE_CHECKING

from masquerade.errors import OptionError, WeightsError
from masquerade.faces.detect.base import Detector, open_any_size
from masquerade.faces.detect.centerface import CenterFace
from masquerade.faces.detect.retinaface import RetinaFace
from masquerade.faces.detect.scrfd import SCRFD
from masquerade.faces.detect.yunet import YuNet

if TYPE_CHECKING:
    from masquerade.models.runtime import Engine

DETECTORS: dict[str, type[Detector]] = {kind.name: kind for kind in (CenterFace, RetinaFace, SCRFD, YuNet)}
"""Every detector there is, by the name people call it."""


def open_detector(
    name: str = "centerface",
    weights: Path | None = None,
    *,
    engine: "Engine" = "auto",
    provider: str | None = None,
    threads: int = 0,
) -> Detector:
    """A detector ready to run.

    Args:
        name: one of `DETECTORS`.
        weights: its ONNX file, or for retinaface the PyTorch state dict; None for the store's, which are fetched once.
        engine, provider, threads: as for `models.runtime.open_session`.

    Raises:
        OptionError: there is no such detector, or the store has no weights for it and none were given.
        WeightsError: the weights cannot be had, or are not this detector's.
        EngineError: what was asked for is not what would run.
    """
    if name not in DETECTORS:
        raise OptionError(f"there is no detector {name!r}", hint=f"Choose one of {', '.join(DETECTORS)}")
    model = _network(weights) if weights else _from_store(name)
    try:
        return DETECTORS[name](open_any_size(model, engine=engine, provider=provider, threads=threads))
    except WeightsError as error:
        raise WeightsError(error.message, path=weights, hint=error.hint) from error


def _network(weights: Path) -> Path | bytes:
    if weights.suffix not in (".pt", ".pth"):
        return weights
    try:
        from masquerade.nets.retinaface import export  # noqa: PLC0415 - needs torch
    except ImportError as error:
        raise WeightsError(
            "reading PyTorch weights needs torch", path=weights, hint='Run pip install "masquerade[train]"'
        ) from error
    return export(weights)


def _from_store(name: str) -> Path:
    from masquerade.models.cards import cards  # noqa: PLC0415 - pydantic takes a while to load
    from masquerade.models.store import fetch  # noqa: PLC0415

    if name not in cards():
        raise OptionError(f"no weights of {name} come with masquerade", hint="Give its ONNX file with --weights")
    return fetch(cards()[name])
