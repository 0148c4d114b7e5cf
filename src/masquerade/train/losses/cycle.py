"""The cycle loss: who is changed and changed back is who they were."""

from torch import Tensor


def cycle(target: Tensor, returned: Tensor) -> Tensor:
    """Mean |target − returned|, all pairs, gradient through both passes; FaceDancer's weight is 1.

    Args:
        target: x, (n, 3, h, w).
        returned: in FaceDancer G(G(x, z_source), z_target). In FIVA G(y, E(y)) with y = G(x, E(x)), since −(−z) = z
            (our reconstruction of it).
    """
    return (target - returned).abs().mean()
