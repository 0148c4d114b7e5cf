"""Networks in torch: encoders, detectors, and the generators that make faces."""

from masquerade.nets.base import Generated, Generator, to_onnx
from masquerade.nets.ciagan import CIAGAN
from masquerade.nets.compact import Compact
from masquerade.nets.deepprivacy import DeepPrivacy
from masquerade.nets.encoder import Driver, Guard
from masquerade.nets.facedancer import CONFIGURATIONS, Configuration, Discriminator, FaceDancer, Fusion
from masquerade.nets.faceshifter import FaceShifter
from masquerade.nets.fiva import FIVA
from masquerade.nets.generators import GENERATORS
from masquerade.nets.import_keras import import_facedancer
from masquerade.nets.patches import PatchDiscriminator
from masquerade.nets.reconstruction import ADVERSARIES, Reconstructor
from masquerade.nets.simswap import SimSwap
from masquerade.nets.upscaler import Upscaler
from masquerade.nets.veiled import Veiled

__all__ = [
    "ADVERSARIES",
    "CIAGAN",
    "CONFIGURATIONS",
    "FIVA",
    "GENERATORS",
    "Compact",
    "Configuration",
    "DeepPrivacy",
    "Discriminator",
    "Driver",
    "FaceDancer",
    "FaceShifter",
    "Fusion",
    "Generated",
    "Generator",
    "Guard",
    "PatchDiscriminator",
    "Reconstructor",
    "SimSwap",
    "Upscaler",
    "Veiled",
    "import_facedancer",
    "to_onnx",
]
