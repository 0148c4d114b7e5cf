"""A face → another face, or none."""

from masquerade.swap.base import Canvas, Guard, Replacer, Swapped, Swapper
from masquerade.swap.redactor import Redactor

__all__ = ["Canvas", "Guard", "Redactor", "Replacer", "Swapped", "Swapper"]
