"""Supervised contrastive learning of expressions (PAPER II, thesis 5.2.1; Khosla et al. 2020).

With unit vectors z, labels y, P(i) = the other faces of a batch that have the label of face i, A(i) = all other faces:

    L_c    = mean over i of  −1/|P(i)| Σ_{p ∈ P(i)} log( exp(z_i·z_p / τ) / Σ_{a ∈ A(i)} exp(z_i·z_a / τ) )
    L_wc   = the same, face i multiplied by w(y_i)
    L_tot  = L_c  + MSE(valence) + MSE(arousal)
    L_wtot = L_wc + MSE(valence) + MSE(arousal)

The thesis names these losses; their formulas are ours, inferred: w is the inverse frequency of a class, τ = 0.1, and
the mean is over the faces that have somebody in P(i).
"""

import torch
from torch import Tensor
from torch.nn import functional


def supcon(
    z: Tensor,
    labels: Tensor,
    *,
    weights: Tensor | None = None,
    people: Tensor | None = None,
    temperature: float = 0.1,
) -> Tensor:
    """L_c or, with weights, L_wc of a batch; 0 where nobody has a fellow.

    Args:
        z: unit vectors (n, d).
        labels: int64 (n,); a face with a negative one takes no part.
        weights: of each label, (classes,).
        people: int64 (n,). Where given, faces of one person with one label are left out of each other's P and A: what
            they have in common may be the person. One person's faces with different labels stay, the hardest of A.
        temperature: τ.
    """
    known = labels >= 0
    z, labels = z[known], labels[known]
    same = labels[:, None] == labels
    considered = ~torch.eye(len(z), dtype=torch.bool, device=z.device)
    if people is not None:
        people = people[known]
        considered &= ~(same & (people[:, None] == people))
    logits = z @ z.T / temperature
    logs = logits - logits.masked_fill(~considered, -torch.inf).logsumexp(1, keepdim=True)
    positive = same & considered
    count = positive.sum(1)
    losses = -logs.masked_fill(~positive, 0).sum(1) / count.clamp(min=1)
    if weights is not None:
        losses = losses * weights[labels]
    return losses.sum() / (count > 0).sum().clamp(min=1)


def with_affect(contrastive: Tensor, said: Tensor, truth: Tensor) -> Tensor:
    """L_tot from L_c, L_wtot from L_wc.

    Args:
        contrastive: L_c or L_wc.
        said, truth: valence and arousal (n, 2), −1 to 1.
    """
    valence, arousal = (functional.mse_loss(said[:, i], truth[:, i]) for i in range(2))
    return contrastive + valence + arousal


def class_weights(labels: Tensor, classes: int, *, limit: float = torch.inf) -> Tensor:
    """Inverse frequency, n / (classes that occur · n_c), so that a face weighs 1 in the mean; 0 for a class without.

    Args:
        labels: int64 (n,), of a whole set; negative ones do not count.
        classes: how many there are.
        limit: above which no weight rises, for a class that hardly occurs.
    """
    counts = torch.bincount(labels[labels >= 0], minlength=classes)
    balanced = counts.sum() / ((counts > 0).sum() * counts.clamp(min=1))
    return (balanced * (counts > 0)).clamp(max=limit)
