"""RetinaFace with a MobileNet-0.25 backbone, so that public PyTorch weights can be used. Not trained here.

Layers carry the names of the state dict `mobilenet0.25_Final.pth` of biubug6/Face-Detector-1MB-with-landmark (MIT):
rectified units throughout, smallest anchor 10 pixels. The older biubug6/Pytorch_Retinaface has weights of the same
names and shapes for leaky units and larger anchors; here they would load and find nothing sensible.
"""

import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from masquerade.errors import WeightsError

CHANNELS = 64
ANCHORS = 2


def _conv(into: int, out: int, size: int = 3, stride: int = 1, *, active: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(into, out, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(out),
    ]
    if active:
        layers.append(nn.ReLU())
    return nn.Sequential(*layers)


def _separable(into: int, out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(into, into, 3, stride, 1, groups=into, bias=False),
        nn.BatchNorm2d(into),
        nn.ReLU(),
        nn.Conv2d(into, out, 1, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(),
    )


class Body(nn.Module):
    """MobileNet v1 at a quarter of its width; features at strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stage1 = nn.Sequential(
            _conv(3, 8, stride=2),
            _separable(8, 16),
            _separable(16, 32, 2),
            _separable(32, 32),
            _separable(32, 64, 2),
            _separable(64, 64),
        )
        self.stage2 = nn.Sequential(_separable(64, 128, 2), *(_separable(128, 128) for _ in range(5)))
        self.stage3 = nn.Sequential(_separable(128, 256, 2), _separable(256, 256))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        first = self.stage1(x)
        second = self.stage2(first)
        return first, second, self.stage3(second)


class Pyramid(nn.Module):
    """Brings what the coarse levels know to the fine ones."""

    def __init__(self) -> None:
        super().__init__()
        self.output1 = _conv(64, CHANNELS, 1)
        self.output2 = _conv(128, CHANNELS, 1)
        self.output3 = _conv(256, CHANNELS, 1)
        self.merge1 = _conv(CHANNELS, CHANNELS)
        self.merge2 = _conv(CHANNELS, CHANNELS)

    def forward(self, levels: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        first, second, third = self.output1(levels[0]), self.output2(levels[1]), self.output3(levels[2])
        second = self.merge2(second + F.interpolate(third, scale_factor=2.0))
        first = self.merge1(first + F.interpolate(second, scale_factor=2.0))
        return first, second, third


class Context(nn.Module):
    """Three fields of view side by side ("SSH")."""

    def __init__(self) -> None:
        super().__init__()
        quarter = CHANNELS // 4
        self.conv3X3 = _conv(CHANNELS, CHANNELS // 2, active=False)
        self.conv5X5_1 = _conv(CHANNELS, quarter)
        self.conv5X5_2 = _conv(quarter, quarter, active=False)
        self.conv7X7_2 = _conv(quarter, quarter)
        self.conv7x7_3 = _conv(quarter, quarter, active=False)

    def forward(self, x: Tensor) -> Tensor:
        shared = self.conv5X5_1(x)
        views = [self.conv3X3(x), self.conv5X5_2(shared), self.conv7x7_3(self.conv7X7_2(shared))]
        return F.relu(torch.cat(views, dim=1))


class Head(nn.Module):
    """`values` numbers for each anchor."""

    def __init__(self, values: int) -> None:
        super().__init__()
        self.values = values
        self.conv1x1 = nn.Conv2d(CHANNELS, ANCHORS * values, 1)

    def forward(self, x: Tensor) -> Tensor:
        rows: Tensor = self.conv1x1(x).permute(0, 2, 3, 1)
        return rows.reshape(rows.shape[0], -1, self.values)


class RetinaFace(nn.Module):
    """BGR minus (104, 117, 123), (batch, 3, height, width) with sides that are multiples of 32.

    Returns, one row for each anchor of the levels at strides 8, 16, 32: offsets of boxes (batch, n, 4), logits of no
    face and face (batch, n, 2), offsets of landmarks (batch, n, 10). `faces.detect.retinaface` decodes them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = Body()
        self.fpn = Pyramid()
        self.ssh1, self.ssh2, self.ssh3 = Context(), Context(), Context()
        self.ClassHead = nn.ModuleList(Head(2) for _ in range(3))
        self.BboxHead = nn.ModuleList(Head(4) for _ in range(3))
        self.LandmarkHead = nn.ModuleList(Head(10) for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        first, second, third = self.fpn(self.body(x))
        levels = self.ssh1(first), self.ssh2(second), self.ssh3(third)
        boxes, logits, points = (
            torch.cat([head(level) for head, level in zip(heads, levels, strict=True)], dim=1)
            for heads in (self.BboxHead, self.ClassHead, self.LandmarkHead)
        )
        return boxes, logits, points


def export(weights: Path) -> bytes:
    """The ONNX model of a state dict in PyTorch's file format, for pictures of any size.

    Raises:
        WeightsError: the file is no state dict of this network. Only tensors are read; no code in it is run.
    """
    net = RetinaFace()
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        net.load_state_dict({name.removeprefix("module."): tensor for name, tensor in state.items()})
    except Exception as error:
        raise WeightsError(
            f"this is no state dict of RetinaFace with MobileNet-0.25 ({str(error).partition(chr(10))[0]})",
            path=weights,
        ) from error
    return to_onnx(net)


def to_onnx(net: RetinaFace) -> bytes:
    """ONNX with the input `input` and the outputs `boxes`, `logits`, `landmarks`; batch and picture size are free."""
    file: Any = io.BytesIO()  # taken, though not declared
    free = {0: "batch", 2: "height", 3: "width"}
    torch.onnx.export(
        net.eval(),
        (torch.zeros(1, 3, 64, 64),),
        file,
        dynamo=False,
        input_names=["input"],
        output_names=["boxes", "logits", "landmarks"],
        dynamic_axes={"input": free, **{name: {0: "batch", 1: "anchors"} for name in ("boxes", "logits", "landmarks")}},
    )
    return bytes(file.getvalue())
