"""FIVA's objective (thesis chapter 5.4): away from the identity that was given.

The thesis says that identity is driven away from the target and that a negated embedding still finds the person; from
that we conclude the form, which is not published.
"""

from torch import Tensor
from torch.nn import functional


def counterfactual(given: Tensor, got: Tensor) -> Tensor:
    """Mean of 1 + cos(z, E(G(x, z))): 0 where every result is the opposite of the given vector.

    Args:
        given: z, (n, d), of any length but 0; the target's own embedding in training.
        got: embeddings of the results, (n, d).
    """
    return (1 + functional.cosine_similarity(given, got, dim=1)).mean()


def mask_area(masks: Tensor) -> Tensor:
    """Mean of a generator's masks, (n, 1, h, w) in [0, 1]: a small weight on it lets the mask close where it may."""
    return masks.mean()
