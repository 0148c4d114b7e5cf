"""What every detector is: pictures in, faces out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from masquerade.errors import EngineError, FaceError, WeightsError
from masquerade.faces.detect.boxes import Floats, non_maximum_suppression
from masquerade.types import Box, Face

if TYPE_CHECKING:
    from masquerade.models.runtime import Engine, Session


def open_any_size(
    model: Path | bytes, *, engine: "Engine" = "auto", provider: str | None = None, threads: int = 0
) -> "Session":
    """A session that takes pictures of any size, one at a time, even where the graph has fixed dimensions.

    Args and errors are those of `models.runtime.open_session`.
    """
    from masquerade.models.runtime import open_session  # noqa: PLC0415 - loads an engine

    session = open_session(model, engine=engine, provider=provider, threads=threads)
    picture = session.inputs[0]
    if picture.shape[2:] == (-1, -1):
        return session
    free = {picture.name: (1, 3, -1, -1)}
    return open_session(model, engine=engine, provider=provider, threads=threads, shapes=free)


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a network proposes for one picture, before overlapping proposals are thinned out.

    Attributes:
        boxes: (n, 4) in pixels of the network's input.
        scores: (n,), 0 to 1.
        landmarks: (n, 5, 2) in the same pixels, or None.
    """

    boxes: Floats
    scores: Floats
    landmarks: Floats | None


class Detector(ABC):
    """Finds faces at the size at which they stand in the picture; `everywhere` looks at other sizes too.

    A subclass says what its network eats (`bgr`, `mean`, `divisor`) and how its outputs read (`_decode`).

    Args:
        model: an ONNX file, or a session that `open_any_size` opened.
        threshold: faces that score less are left out. The default is low on purpose: a false face costs a blur, a
            missed one a person. Whoever wants only sure faces looks at the score.
        overlap: of two proposals whose IoU is above this, only the better one stays.
    """

    name: ClassVar[str]
    """What people call it on the command line and in a Plan."""
    bgr: ClassVar[bool] = False
    mean: ClassVar[tuple[float, float, float]] = (0, 0, 0)
    """Subtracted from 0..255, in the order of the network's channels."""
    divisor: ClassVar[float] = 1
    multiple: ClassVar[int] = 32
    """The network's input has sides that are multiples of this; the picture is filled up with black."""
    outputs: ClassVar[tuple[int, ...]]
    """How many outputs the network may have."""

    def __init__(self, model: "Session | Path", *, threshold: float = 0.2, overlap: float = 0.4) -> None:
        self.session = open_any_size(model) if isinstance(model, Path) else model
        if len(self.session.outputs) not in self.outputs:
            raise WeightsError(
                f"this network has {len(self.session.outputs)} outputs, {self.name} has {self.outputs[0]}",
                path=model if isinstance(model, Path) else None,
                hint="Choose the detector that the file belongs to",
            )
        self.threshold = threshold
        self.overlap = overlap

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[list[Face]]:
        """The faces of each picture, best score first.

        Pictures go through the network one by one: batches were measured and are not faster on CPUs. Safe to call
        from several threads, as far as the session is.

        Args:
            images: RGB, uint8, (height, width, 3), of any sizes. Memory grows with the largest picture; for pictures
                of many megapixels use `everywhere.detect_everywhere`.

        Returns:
            For each picture its faces, with boxes (which may reach outside) and landmarks in its pixels.

        Raises:
            FaceError: a picture of another shape or type.
            EngineError: the engine failed, or the network gave numbers that are not finite: no score is then above any
                threshold, and a picture full of faces would pass for one without.
        """
        return [self._detect(image) for image in images]

    @abstractmethod
    def _decode(self, outputs: Mapping[str, NDArray[np.float32]], width: int, height: int) -> Candidates:
        """Read the outputs for one input of width by height; proposals under the threshold may be left out."""

    def _detect(self, image: NDArray[np.uint8]) -> list[Face]:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            raise FaceError(f"detectors want RGB pictures of uint8, not {image.shape} of {image.dtype}")
        feed = self._prepare(image)
        outputs = self.session.run({self.session.inputs[0].name: feed})
        if not all(np.isfinite(output).all() for output in outputs.values()):
            raise EngineError(f"the detector {self.name} gave numbers that are not finite for a picture")
        found = self._decode(outputs, feed.shape[3], feed.shape[2])
        sure = np.flatnonzero(found.scores >= self.threshold)
        kept = sure[non_maximum_suppression(found.boxes[sure], found.scores[sure], self.overlap)]
        return [
            Face(
                Box(*found.boxes[i].tolist()),
                float(found.scores[i]),
                None if found.landmarks is None else found.landmarks[i].astype(np.float32),
            )
            for i in kept
        ]

    def _prepare(self, image: NDArray[np.uint8]) -> Floats:
        """The network's input, (1, 3, height, width), filled up to multiples."""
        height, width = image.shape[:2]
        feed = np.zeros((1, 3, height + -height % self.multiple, width + -width % self.multiple), np.float32)
        feed[0, :, :height, :width] = (image[..., ::-1] if self.bgr else image).transpose(2, 0, 1)
        if self.mean != (0, 0, 0):
            feed -= np.array(self.mean, np.float32)[:, None, None]
        if self.divisor != 1:
            feed /= np.float32(self.divisor)
        return feed
