"""How far the walk is, for those who want to know."""

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int | None], None]
"""Called with (stage, frames done, frames in all if known)."""


def silent(stage: str, done: int, total: int | None) -> None:
    """Progress for those who do not."""
