"""Repulsion: the result must not look like the target, whoever else it looks like.

Attraction to a source alone (`identity`) is not anonymity: a recogniser that took no part in training went on matching
most results to their targets. FIVA (thesis chapter 5.4) drives the identity away without end; here it is let go once
it is far enough, which leaves the picture alone.
"""

from torch import Tensor
from torch.nn import functional

from masquerade.train.losses.reconstruction import over_same


def repulsion(own: Tensor, got: Tensor, different: Tensor, limit: float) -> Tensor:
    """Mean of max(0, cos(E(target), E(result)) − limit) over the pairs that are to differ.

    Args:
        own: embeddings of the targets, (n, d), of any length but 0; no gradient need reach them.
        got: embeddings of the results, (n, d).
        different: (n,), 1 or True where source and target are two people.
        limit: the cosine from which on it is far enough; two strangers have about 0.
    """
    return over_same(functional.relu(functional.cosine_similarity(own, got, dim=1) - limit), different)
