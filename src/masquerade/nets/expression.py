"""What a face expresses, whoever it is: aligned 112 px crop in [−1, 1], RGB → unit vector, and readings of it.

The embedding is the product; two faces are compared by the Euclidean distance of their embeddings. Everything else is
read off the embedding by one linear layer each, so that what the readings can tell apart, distances tell apart too.
PAPER II (thesis 5.2) has the projection head and the two heads of valence and arousal; classes and geometry are ours,
for distillation.

Plain 3x3 convolutions, which general processors run at full speed, on 4x4 pixels folded into channels. The last map is
read place by place (not averaged): a mouth's corner and an eyelid are told by where they are.

The backbones of table 5.1 are here too, and what is put on top of them to compare ways of pretraining.
"""

from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from masquerade.errors import MasqueradeError
from masquerade.nets.encoder import Residual

Backbone = Literal["small", "efficientnet-b0", "resnet50-v2"]
_TIMM = {"efficientnet-b0": "efficientnet_b0", "resnet50-v2": "resnetv2_50"}

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


class TimmBody(nn.Module):
    """One of the library `timm`, untrained: (n, 3, side, side) → features (n, width), averaged over places.

    Raises:
        MasqueradeError: timm cannot be imported.
    """

    def __init__(self, name: Literal["efficientnet-b0", "resnet50-v2"]) -> None:
        super().__init__()
        try:
            import timm  # noqa: PLC0415 - heavy, and an extra
        except (ImportError, RuntimeError) as error:  # the latter where its torchvision is of another torch
            hint = 'pip install "masquerade[backbones]", with the torchvision that belongs to your torch'
            raise MasqueradeError(f"the backbone {name} needs timm, which cannot be imported", hint=hint) from error
        self.network = timm.create_model(_TIMM[name], pretrained=False, num_classes=0)
        # By name: with timm it is a Tensor or a Module to mypy, without it anything.
        self.width = int(getattr(self.network, "num_features"))  # noqa: B009

    def forward(self, faces: Tensor) -> Tensor:
        features: Tensor = self.network(faces)
        return features


def build_body(name: Backbone) -> SmallBody | TimmBody:
    """What turns faces into features (n, `width`); the small one takes 112 px, the others any multiple of 32."""
    return SmallBody() if name == "small" else TimmBody(name)


class Contrast(nn.Module):
    """What PAPER II puts on an encoder: features → unit vectors (n, 128) for the contrast, and affect (n, 2)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.projection = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, DIMENSIONS))
        self.affect = nn.Linear(width, 2)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return functional.normalize(self.projection(features)), self.affect(features).tanh()


class SimSiam(nn.Module):
    """Features of two views → loss, without labels (Chen and He 2021): each view's projection foretells the other's."""

    _WIDTH, _NARROW = 512, 128

    def __init__(self, width: int) -> None:
        super().__init__()
        self.projection = nn.Sequential(
            nn.Linear(width, self._WIDTH, bias=False),
            nn.BatchNorm1d(self._WIDTH),
            nn.ReLU(),
            nn.Linear(self._WIDTH, self._WIDTH, bias=False),
            nn.BatchNorm1d(self._WIDTH, affine=False),
        )
        self.prediction = nn.Sequential(
            nn.Linear(self._WIDTH, self._NARROW, bias=False),
            nn.BatchNorm1d(self._NARROW),
            nn.ReLU(),
            nn.Linear(self._NARROW, self._WIDTH),
        )

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        seen = self.projection(one), self.projection(other)
        foretold = self.prediction(seen[1]), self.prediction(seen[0])
        likeness = functional.cosine_similarity(torch.cat(foretold), torch.cat(seen).detach())
        return -likeness.mean()


class Decoder(nn.Module):
    """Features → the faces they were made of, (n, 3, side, side) in [−1, 1]: the other half of an auto-encoder.

    Args:
        width: of the features.
        side: pixels, 7 doubled any number of times.
    """

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        stages = (side // 7).bit_length() - 1
        if side != 7 << stages:
            raise ValueError(f"a decoder makes faces of 7, 14, 28, ... pixels, not {side}")
        self.begin = nn.Linear(width, 128 * 7 * 7)
        widths = [max(16, 128 >> i) for i in range(stages + 1)]
        self.stages = nn.ModuleList(
            nn.Sequential(*_convolution(inputs, outputs)) for inputs, outputs in pairwise(widths)
        )
        self.end = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        maps = self.begin(features).unflatten(1, (128, 7, 7))
        for stage in self.stages:
            maps = stage(functional.interpolate(maps, scale_factor=2.0))
        return torch.tanh(self.end(maps))


class Classifier(nn.Module):
    """Features → logits (n, classes): the multi-layer perceptron that is put on a frozen encoder."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 256), nn.ReLU(), nn.Linear(256, classes))

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.layers(features)
        return logits


def _convolution(inputs: int, outputs: int, stride: int = 1) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.PReLU(outputs)
