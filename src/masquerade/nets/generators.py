"""All generators by name, each at the size of its paper (Compact: as it ships) unless told otherwise."""

from collections.abc import Callable
from functools import partial

from masquerade.nets.base import Generator
from masquerade.nets.ciagan import CIAGAN
from masquerade.nets.compact import Compact
from masquerade.nets.deepprivacy import DeepPrivacy
from masquerade.nets.facedancer import CONFIGURATIONS, FaceDancer
from masquerade.nets.faceshifter import FaceShifter
from masquerade.nets.fiva import FIVA
from masquerade.nets.simswap import SimSwap
from masquerade.nets.veiled import Veiled

GENERATORS: dict[str, Callable[..., Generator]] = {
    **{f"facedancer-{name}": partial(FaceDancer, configuration) for name, configuration in CONFIGURATIONS.items()},
    "compact": Compact,
    **{f"veiled-{seen}": partial(Veiled, seen=seen) for seen in (8, 16, 32)},
    "simswap": SimSwap,
    "faceshifter": FaceShifter,
    "fiva": FIVA,
    "ciagan": CIAGAN,
    "deepprivacy": DeepPrivacy,
}
"""Name → what builds it; the keyword arguments are those of the class (`side`, `width`, ...)."""
