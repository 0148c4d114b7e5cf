"""The adversary of the reconstruction attack: an anonymized face → the face it was made from (thesis 5.4; PAPER IV).

As published it has FaceDancer's parts and two inputs: the anonymized picture, and what a face encoder says of that very
picture. So it is a generator like any other, told who is seen where the others are told whom to show. What it can find
is what the anonymizer has left: traces that no person sees.
"""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

from masquerade.nets.base import Generator

ADVERSARIES = {"attack-facedancer": "facedancer-d", "attack-compact": "compact"}
"""Name → its generator among `nets.generators.GENERATORS`. The first is the published one: AFFA at five stages, then
concatenation, and four mapping layers. The second is as small as the swapper that ships."""

ENCODER_SIDE = 112
"""Pixels of the crops that encoders read."""


class Reconstructor(nn.Module):
    """Anonymized crops (n, 3, side, side), RGB, [−1, 1] → what the adversary takes for the originals, likewise.

    The output is about [−1, 1] and may step outside.

    Args:
        generator: takes a crop and a unit vector.
        encoder: crops (n, 3, 112, 112), RGB, [−1, 1] → unit vectors of the generator's dimensions; it learns nothing.
    """

    def __init__(self, generator: Generator, encoder: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.generator = generator
        self._encoder = encoder

    def forward(self, crops: Tensor) -> Tensor:
        small = functional.interpolate(crops, (ENCODER_SIDE, ENCODER_SIDE), mode="bilinear", align_corners=False)
        made: Tensor = self.generator(crops, self._encoder(small)).crops
        return made
