"""Interpreted Feature Similarity Regularization (thesis chapter 5.3.2; FaceDancer).

The early blocks of a face encoder still know pose, expression, light and occlusion. IFSR asks that a result stays as
near to its target there as the results of a known good swapper do, and no nearer. With f_i the flattened map of block
i,

    d_i = mean over the batch of 1 − cos(f_i(target), f_i(result))
    L   = Σ_i max(0, d_i − s · m_i)

m_i being the mean d_i of that swapper. FIVA leaves the margins out (thesis chapter 5.4): L = Σ_i d_i.
"""

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.nn import functional

from masquerade.train import processes

PUBLISHED_MARGINS = {
    "conv2_block3": 0.035144,
    "conv3_block1": 0.047970,
    "conv3_block2": 0.047487,
    "conv3_block3": 0.048719,
    "conv3_block4": 0.044928,
    "conv4_block1": 0.089046,
    "conv4_block2": 0.097296,
    "conv4_block3": 0.109391,
    "conv4_block4": 0.117972,
    "conv4_block5": 0.128827,
    "conv4_block6": 0.121357,
}
"""m_i of FaceDancer: residual blocks 3 to 13 of its own ArcFace ResNet-50, shallow first, measured with SimSwap on
FaceForensics++. They mean nothing for another encoder: measure its own with `train.margins`."""


def ifsr(
    target: Sequence[Tensor], result: Sequence[Tensor], margins: Sequence[float] | None = None, scale: float = 1.2
) -> Tensor:
    """L of a batch; FaceDancer's weight is 1.

    Args:
        target, result: the chosen blocks' maps for targets and results, each (n, ...) with n the same everywhere; no
            gradient need reach those of the target.
        margins: m_i, one for each block, or None for FIVA's form.
        scale: s; 1.2 as published. Smaller holds the result closer to the target.
    """
    margins = [0.0] * len(target) if margins is None else margins
    parts = [
        functional.relu(processes.mean(distances(a, b).mean()) - scale * margin)
        for a, b, margin in zip(target, result, margins, strict=True)
    ]
    return sum(parts[1:], start=parts[0])


def distances(target: Tensor, result: Tensor) -> Tensor:
    """1 − cos between the flattened maps of each pair, (n,)."""
    return 1 - functional.cosine_similarity(target.flatten(1), result.flatten(1), dim=1)


def block_features(encoder: nn.Module, blocks: Sequence[str], faces: Tensor) -> list[Tensor]:
    """What the named blocks of any encoder give for a batch, in the order of the names.

    Args:
        encoder: any network; it is run once.
        blocks: names as `encoder.named_modules()` has them.
        faces: what the encoder takes.

    Raises:
        AttributeError: the encoder has no block of that name.
    """
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        return lambda _module, _inputs, output: found.update({name: output})

    modules = {name: encoder.get_submodule(name) for name in blocks}
    handles = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    try:
        encoder(faces)
    finally:
        for handle in handles:
            handle.remove()
    return [found[name] for name in blocks]
