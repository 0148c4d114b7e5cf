"""What the product tells its swapper of an identity (`identity.truncation`), for whoever trains with it."""

import torch
from torch import Tensor

from masquerade.faces.embed import open_encoder
from masquerade.identity.attributes import READER, Probe, coarse
from masquerade.models.cards import packaged_swapper
from masquerade.pipeline.tailor import truncator_of
from masquerade.swap.impose import GUARD_SIDE
from masquerade.train.data import at_side
from masquerade.train.grids import pixels


class Told:
    """Crops (n, 3, side, side) in [−1, 1] and identities (n, d) → what the packaged swapper is told, (n, d).

    Each crop's own apparent age and sex are held, and the identity is truncated, as the swapper's card says.
    """

    def __init__(self) -> None:
        truncate = truncator_of(packaged_swapper() or "")
        assert truncate is not None, "the package brings one that is truncated"
        self._guard = open_encoder("guard", threads=1)
        self._reader = Probe.load(READER, self._guard.sha256)
        self._truncate = truncate

    def __call__(self, crops: Tensor, identities: Tensor) -> Tensor:
        apparent = coarse(self._reader.scores(self._guard.embed_crops(at_side(pixels(crops), GUARD_SIDE))))
        told = self._truncate(identities.cpu().numpy(), apparent)
        return torch.from_numpy(told).to(identities.device)
