"""What a student of expressions learns from a teacher and from geometry, and a swapper from that student."""

import torch
from torch import Tensor, nn
from torch.nn import functional


def soft_classes(logits: Tensor, probabilities: Tensor, weights: Tensor) -> Tensor:
    """Cross entropy to a teacher's probabilities, a class's share multiplied by its weight.

    Args:
        logits: (n, classes).
        probabilities: (n, classes), rows sum to 1.
        weights: (classes,).
    """
    weighted = probabilities * weights
    return -(weighted * functional.log_softmax(logits, 1)).sum() / weighted.sum()


def likeness(probabilities: Tensor, geometry: Tensor) -> Tensor:
    """How alike faces express themselves, 1 for the same and toward 0 for what has nothing in common; (n, n).

    exp(−D/2) with D = ‖√p_i − √p_j‖² + ‖g_i − g_j‖² / measures: a kernel, so there are unit vectors that have these
    cosines.

    Args:
        probabilities: (n, classes).
        geometry: (n, measures), in standard deviations.
    """
    roots = probabilities.sqrt()
    spread = torch.cdist(roots, roots).square() + torch.cdist(geometry, geometry).square() / geometry.shape[1]
    return torch.exp(-spread / 2)


def alike(embedding: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared difference between the cosines of a batch and what they should be, diagonals left out.

    Args:
        embedding: unit vectors (n, d).
        wanted: (n, n), as `likeness` gives it.
    """
    others = ~torch.eye(len(embedding), dtype=torch.bool, device=embedding.device)
    return (embedding @ embedding.T - wanted)[others].square().mean()


def recognised(embedding: Tensor, wanted: Tensor, labels: Tensor, people: Tensor) -> Tensor:
    """How much nearer one person's faces of one class are than two people's, beyond what they express.

    The square of the difference between the mean cosines of the two kinds of pairs, each less what it should be; 0
    where a batch lacks one kind. Who minimises it does not see who it is, so far as distances within a class tell.

    Args:
        embedding: unit vectors (n, d).
        wanted: (n, n), as `likeness` gives it.
        labels: int64 (n,); a face with a negative one takes no part.
        people: int64 (n,).
    """
    excess = embedding @ embedding.T - wanted
    one_class = (labels[:, None] == labels) & (labels >= 0)
    one_person = people[:, None] == people
    own = excess[one_class & one_person & ~torch.eye(len(people), dtype=torch.bool, device=people.device)]
    strangers = excess[one_class & ~one_person]
    if not (len(own) and len(strangers)):
        return excess.sum() * 0
    return (own.mean() - strangers.mean()).square()


def kept(embedder: nn.Module, target: Tensor, made: Tensor) -> Tensor:
    """How far results are from what their targets express: mean 1 − cos of the embeddings, for training swappers.

    Who is trained with it is not judged by it.

    Args:
        embedder: as `train.expression_export.read_expression` gives it, in evaluation mode.
        target, made: RGB crops (n, 3, 112, 112) in [−1, 1]; only the latter get gradients.
    """
    with torch.no_grad():
        wanted = embedder(target).embedding
    return (1 - functional.cosine_similarity(embedder(made).embedding, wanted)).mean()
