"""What is known of the expressions of faces that nobody labelled: a teacher's seven classes, and geometry.

Both lie in small files beside an archive, by the names of its pictures, so that they also serve a smaller archive of
the same pictures on a machine that cannot make them.
"""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from masquerade.errors import InputError, WeightsError
from masquerade.train import engine
from masquerade.train.data import SIDE, FaceSet, at_side, whole_file
from masquerade.train.geometry import lids, measured, mesh

Values = NDArray[np.float32]

AFFECT = np.array(
    [[-0.5, 0.6], [-0.65, 0.4], [-0.5, 0.7], [0.8, 0.25], [-0.65, -0.3], [0.15, 0.7], [0.0, 0.0]], np.float32
)
"""Valence and arousal that stand for each class until there are real labels; our choice, after Russell's circumplex."""

_TEACHER_SIDE = 224
_VIEWS = ((0, 0, 127, 127), (20, 8, 108, 122))
"""First and last pixel, x1, y1, x2, y2, in the aligned crop of 128: all there is, and the face's box.

The teacher wavers between them (they agree on four faces of five), so both are asked.
"""


@dataclass(frozen=True, slots=True)
class Labels:
    """Of n faces.

    Attributes:
        classes: probabilities (n, 7), in the order of `faces.expression.CLASSES`.
        geometry: (n, 10), as `faces.expression.MEASURES` names them.
    """

    classes: Values
    geometry: Values

    @property
    def affect(self) -> Values:
        """Valence and arousal (n, 2), −1 to 1, those of the classes by their probabilities."""
        return self.classes @ AFFECT

    def hard(self, certain: float) -> NDArray[np.int64]:
        """The class of each face, −1 where the teacher is less certain; (n,)."""
        return np.where(self.classes.max(1) >= certain, self.classes.argmax(1), -1).astype(np.int64)


def read_labels(name: str, faces: FaceSet, data: Path, cache: Path, teachers: Path) -> Labels:
    """Labels of an archive's faces, from beside the archive, else from the cache, else made and kept there.

    Args:
        name: of the archive, in `data`.
        faces: what `read_archive` gave of it, at the side of 128 px.
        data: folder of archives.
        cache: folder of what is derived from them.
        teachers: folder of `fr_expression.onnx` and `face_landmark.tflite`.
    """
    return Labels(
        _of_kind(
            "expression", name, faces, data, cache, lambda some: teacher_classes(teachers / "fr_expression.onnx", some)
        ),
        read_geometry(name, faces, data, cache, teachers),
    )


def read_geometry(name: str, faces: FaceSet, data: Path, cache: Path, teachers: Path) -> Values:
    """`Labels.geometry` alone, of which the teacher of the classes need not be here; see `read_labels`."""
    return _of_kind("geometry", name, faces, data, cache, lambda some: _measured(teachers, some))


def read_lids(name: str, faces: FaceSet, data: Path, cache: Path, teachers: Path) -> Values:
    """`geometry.lids` of an archive's faces, in pixels of crops of 128; see `read_labels`."""
    seen = at_side(faces.faces, SIDE) if faces.faces.shape[1] != SIDE else faces.faces
    return _of_kind("lids", name, FaceSet(seen, faces.people), data, cache, lambda some: _lids(teachers, some)).reshape(
        -1, 2, 2, 9, 2
    )


def _of_kind(
    kind: str, name: str, faces: FaceSet, data: Path, cache: Path, make: Callable[[NDArray[np.uint8]], Values]
) -> Values:
    with zipfile.ZipFile(data / name) as zipped:
        names = sorted(one for one in zipped.namelist() if not one.endswith("/"))
    stored = f"{Path(name).stem}.{kind}.npz"
    path = data / stored if (data / stored).is_file() else cache / stored
    if not path.is_file():
        store(path, names, make(faces.faces))
    return _of_names(path, names)


def store(path: Path, names: list[str], values: Values) -> None:
    """Values (n, k) of pictures, by their names, in half precision."""
    with whole_file(path) as part, part.open("wb") as file:
        np.savez_compressed(file, names=np.array(names), values=values.astype(np.float16))


def _of_names(path: Path, names: list[str]) -> Values:
    with np.load(path) as stored:
        rows = {name: row for row, name in enumerate(stored["names"].tolist())}
        values = stored["values"].astype(np.float32)
    if missing := [name for name in names if name not in rows]:
        raise InputError(f"says nothing of {missing[0]}", path=path, hint="Delete it")
    return np.asarray(values[[rows[name] for name in names]], np.float32)


def _measured(teachers: Path, faces: NDArray[np.uint8]) -> Values:
    look = mesh(teachers)
    return np.concatenate([measured(look(faces[i : i + 64])) for i in range(0, len(faces), 64)])


def _lids(teachers: Path, faces: NDArray[np.uint8]) -> Values:
    look = mesh(teachers)
    return np.concatenate([lids(look(faces[i : i + 64])).reshape(-1, 72) for i in range(0, len(faces), 64)])


@torch.no_grad()
def teacher_classes(model: Path, faces: NDArray[np.uint8], batch: int = 64) -> Values:
    """Probabilities (n, 7), the mean over two boxes and their mirror images. Aligned crops (n, 128, 128, 3).

    The teacher's classes are those of `faces.expression`, in that order: checked by looking at whom it is surest of.
    """
    device = engine.device_of_choice()
    teacher = Teacher(model).to(device)
    found = []
    for start in range(0, len(faces), batch):
        some = torch.from_numpy(faces[start : start + batch]).to(device)
        bgr = some.permute(0, 3, 1, 2).flip(1).float() / 255
        views = [
            functional.interpolate(
                bgr[:, :, y1 : y2 + 1, x1 : x2 + 1], (_TEACHER_SIDE, _TEACHER_SIDE), mode="bilinear", align_corners=True
            )
            for x1, y1, x2, y2 in _VIEWS
        ]
        said = [teacher(seen).softmax(1) for view in views for seen in (view, view.flip(3))]
        found.append(torch.stack(said).mean(0).cpu().numpy())
    return np.concatenate(found)


class Teacher(nn.Module):
    """`fr_expression.onnx` in torch, where a GPU labels in seconds what takes a processor an hour.

    BGR (n, 3, 224, 224) in [0, 1] → logits (n, 7).

    Raises:
        WeightsError: there is no such file, or it holds a layer that is not known here.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        if not path.is_file():
            raise WeightsError("no such network", path=path, hint="Point --teachers at the folder that holds it")
        graph = onnx.load(path).graph
        self.input, self.output = graph.input[0].name, graph.output[0].name
        # The file keeps its weights in half precision and casts what comes in; here all is in single.
        self.nodes = [(n.op_type, list(n.input), n.output[0], _attributes(n)) for n in graph.node]
        if unknown := {kind for kind, *_ in self.nodes} - _LAYERS.keys():
            raise WeightsError(f"the network holds {', '.join(sorted(unknown))}, which is not read", path=path)
        self.numbers: dict[str, str] = {}
        for number, item in enumerate(graph.initializer):
            value = np.array(numpy_helper.to_array(item))
            self.numbers[item.name] = f"weight{number}"
            single = value.astype(np.float32) if value.dtype.kind == "f" else value
            self.register_buffer(f"weight{number}", torch.from_numpy(single))

    def forward(self, faces: Tensor) -> Tensor:
        values = {name: self.get_buffer(number) for name, number in self.numbers.items()} | {self.input: faces}
        for kind, inputs, output, attributes in self.nodes:
            values[output] = _LAYERS[kind](attributes, *(values[name] for name in inputs if name))
        logits: Tensor = values[self.output]
        return logits


def _attributes(node: onnx.NodeProto) -> dict[str, list[int]]:
    given = {"pads": [0, 0, 0, 0], "strides": [1, 1], "group": [1]}
    return given | {item.name: list(item.ints) or [item.i] for item in node.attribute}


def _pooled(attributes: dict[str, list[int]], x: Tensor, *, largest: bool) -> Tensor:
    how = functional.max_pool2d if largest else functional.avg_pool2d
    top, left, bottom, right = attributes["pads"]
    x = functional.pad(x, (left, right, top, bottom), value=-torch.inf if largest else 0.0)
    return how(x, attributes["kernel_shape"], attributes["strides"])


_LAYERS: dict[str, Callable[..., Tensor]] = {
    "AveragePool": lambda a, x: _pooled(a, x, largest=False),
    "BatchNormalization": lambda a, x, scale, shift, mean, variance: functional.batch_norm(
        x, mean, variance, scale, shift
    ),
    "Cast": lambda a, x: x,
    "Concat": lambda a, *parts: torch.cat(parts, 1),
    "Conv": lambda a, x, w, bias=None: functional.conv2d(x, w, bias, a["strides"], a["pads"][:2], groups=a["group"][0]),
    "Flatten": lambda a, x: x.flatten(1),
    "Gemm": lambda a, x, w, bias: functional.linear(x, w, bias),
    "GlobalAveragePool": lambda a, x: x.mean((2, 3), keepdim=True),
    "MaxPool": lambda a, x: _pooled(a, x, largest=True),
    "Pad": lambda a, x: functional.pad(x, _ends(a["pads"])),
    "Relu": lambda a, x: x.relu(),
}


def _ends(pads: list[int]) -> list[int]:
    """ONNX lists all beginnings, then all ends; torch goes from the last dimension to the first."""
    half = len(pads) // 2
    return [width for pair in zip(pads[half - 1 :: -1], pads[: half - 1 : -1], strict=True) for width in pair]


def without_identity(geometry: Values, classes: Values, people: NDArray[np.int64]) -> Values:
    """Geometry less what is the person's own (a low brow, full lips), as far as can be told.

    What a class explains is taken for expression. Of the rest, a person's mean over n pictures is taken for the
    person's own, shrunk by n·b / (n·b + w): the best guess where persons vary by b and pictures of one person by w.

    Args:
        geometry: (n, measures).
        classes: probabilities (n, classes).
        people: (n,), 0 to k − 1; some of them with several pictures.
    """
    rest = geometry - classes @ np.linalg.lstsq(classes, geometry, rcond=None)[0]
    counts = np.bincount(people)[:, None]
    sums = np.zeros((len(counts), geometry.shape[1]))
    np.add.at(sums, people, rest)
    means = sums / np.maximum(counts, 1)
    several = counts[:, 0] > 1
    squares = ((rest - means[people])[several[people]] ** 2).sum(0)
    within = squares / (counts[several] - 1).sum()
    between = np.maximum(means[several].var(0) - within * (1 / counts[several]).mean(), 0)
    own = counts * between / (counts * between + within) * means
    return np.asarray(geometry - own[people], np.float32)
