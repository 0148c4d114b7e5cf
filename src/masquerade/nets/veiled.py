"""A swapper that cannot pass on what it has not seen: the defence against reconstruction that is built in.

A network trained on pairs undoes a swap by the traces that the target leaves in the result (thesis 5.4). Noise on top
of the result hides them from one who does not know of it. Here the target comes through a veil of a few coarse pixels:
enough for pose, light, mouth and the lie of the brows, too little to tell people apart. All detail has to be made up,
and whose it is the identity says.
"""

from torch import Tensor
from torch.nn import functional

from masquerade.errors import OptionError
from masquerade.nets.base import Generated
from masquerade.nets.compact import Compact


class Veiled(Compact):
    """`Compact`, with the same weights by the same names, that sees `seen` x `seen` averages of the crop.

    Args:
        seen: pixels a side that pass; the crop's side is a multiple of it.
        sizes: as `Compact` takes them.

    Raises:
        OptionError: the crop's side is no multiple of `seen`.
    """

    def __init__(self, *, seen: int, **sizes: int) -> None:
        super().__init__(**sizes)  # type: ignore[arg-type]
        if self.side % seen:
            raise OptionError(f"a crop of {self.side} pixels cannot be shown as {seen}")
        self.seen = seen

    def forward(self, crops: Tensor, identities: Tensor, **conditions: Tensor) -> Generated:
        return super().forward(veil(crops, self.seen), identities)


def veil(crops: Tensor, seen: int) -> Tensor:
    """(n, 3, side, side) → the same size, without what averages over side / seen pixels do not hold."""
    averages = functional.avg_pool2d(crops, crops.shape[-1] // seen)
    return functional.interpolate(averages, crops.shape[2:], mode="bilinear", align_corners=False)
