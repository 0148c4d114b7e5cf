"""What a face expresses, whoever it is: aligned 112 px crop in [−1, 1], RGB → unit vector, and readings of it.

The embedding is the product; two faces are compared by the Euclidean distance of their embeddings. Everything else is
read off the embedding by one linear layer each, so that what the readings can tell apart, distances tell apart too.
PAPER II (thesis 5.2) has the projection head and the two heads of valence and arousal; classes and geometry are ours,
for distillation.

Plain 3x3 convolutions, which general processors run at full speed, on 4x4 pixels folded into channels. The last map is
read place by place (not averaged): a mouth's corner and an eyelid are told by where they are.
"""

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from masquerade.nets.encoder import Residual

SIDE = 112
"""Pixels."""

DIMENSIONS = 128
"""Of the embedding."""


class Expression(NamedTuple):
    """What a network says of n faces.

    Attributes:
        embedding: unit vectors (n, 128).
        classes: logits (n, classes).
        affect: valence and arousal, (n, 2), each −1 to 1.
        geometry: (n, measures), in standard deviations from the mean face.
    """

    embedding: Tensor
    classes: Tensor
    affect: Tensor
    geometry: Tensor


class ExpressionEmbedder(nn.Module):
    """The small network that ships: about 285 M multiply-adds and 3.0 M weights with its heads.

    Args:
        classes: how many expressions have a name.
        measures: how many are measured in the face's geometry.
    """

    def __init__(self, classes: int, measures: int) -> None:
        super().__init__()
        self.body = SmallBody()
        self.heads = Heads(self.body.width, classes, measures)

    def forward(self, faces: Tensor) -> Expression:
        """(n, 3, 112, 112) → what they express."""
        said: Expression = self.heads(self.body(faces))
        return said


class SmallBody(nn.Module):
    """(n, 3, 112, 112) → features (n, 2352)."""

    width = 48 * 7 * 7

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.PixelUnshuffle(4), *_convolution(48, 64), Residual(64))
        self.middle = nn.Sequential(*_convolution(64, 160, stride=2), Residual(160))
        self.late = nn.Sequential(*_convolution(160, 288, stride=2), Residual(288))
        self.narrow = nn.Sequential(nn.Conv2d(288, 48, 1, bias=False), nn.BatchNorm2d(48), nn.PReLU(48))

    def forward(self, faces: Tensor) -> Tensor:
        maps: Tensor = self.narrow(self.late(self.middle(self.stem(faces))))
        return maps.flatten(1)


class Heads(nn.Module):
    """Features (n, width) → embedding, and what can be read off it."""

    def __init__(self, width: int, classes: int, measures: int) -> None:
        super().__init__()
        self.embedding = nn.Sequential(nn.Linear(width, DIMENSIONS, bias=False), nn.BatchNorm1d(DIMENSIONS))
        self.classes = nn.Linear(DIMENSIONS, classes)
        self.affect = nn.Linear(DIMENSIONS, 2)
        self.geometry = nn.Linear(DIMENSIONS, measures)

    def forward(self, features: Tensor) -> Expression:
        embedding = functional.normalize(self.embedding(features))
        # On the unit sphere one coordinate is about 1 / √d: scaled by √d, linear layers see what they expect.
        seen = embedding * DIMENSIONS**0.5
        return Expression(embedding, self.classes(seen), self.affect(seen).tanh(), self.geometry(seen))


class Projection(nn.Module):
    """Where the contrastive loss compares, in training only (Khosla et al. 2020): embedding → unit vectors (n, 64)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(DIMENSIONS, DIMENSIONS), nn.ReLU(), nn.Linear(DIMENSIONS, 64))

    def forward(self, embedding: Tensor) -> Tensor:
        return functional.normalize(self.layers(embedding * DIMENSIONS**0.5))


def _convolution(inputs: int, outputs: int, stride: int = 1) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.PReLU(outputs)
