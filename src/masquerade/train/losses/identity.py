"""The identity loss: the result must look like the source to a face encoder E (thesis chapter 3.2; FaceDancer)."""

from torch import Tensor
from torch.nn import functional


def identity(wanted: Tensor, got: Tensor) -> Tensor:
    """Mean of 1 − cos(E(source), E(result)): 0 where all are the same person, 2 where they are opposite.

    FaceDancer's weight is 10.

    Args:
        wanted: embeddings of the sources, (n, d), of any length but 0; no gradient need reach them.
        got: embeddings of the results, (n, d).
    """
    return (1 - functional.cosine_similarity(wanted, got, dim=1)).mean()
