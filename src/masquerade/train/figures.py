"""Figures that training leaves beside its numbers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from masquerade.errors import MasqueradeError
from masquerade.train.data import whole_file


@contextmanager
def drawn(path: Path, width: float, height: float) -> Iterator[Any]:
    """A matplotlib figure of that many inches, empty at first, that is written when the block ends well.

    Args:
        path: `.png`, `.svg` or `.pdf`.

    Raises:
        MasqueradeError: matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - only figures need it
    except ImportError as error:
        raise MasqueradeError("drawing figures needs matplotlib", hint="pip install matplotlib") from error
    figure = Figure(figsize=(width, height), layout="constrained")
    yield figure
    with whole_file(path) as part:
        figure.savefig(part, format=path.suffix.removeprefix("."))
