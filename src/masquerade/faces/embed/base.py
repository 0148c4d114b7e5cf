"""What every encoder is: faces in, unit vectors out."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from masquerade.errors import EngineError, FaceError, OptionError, WeightsError
from masquerade.faces.align import estimate_similarity, template, warp

if TYPE_CHECKING:
    from masquerade.models.cards import Alignment, InputSpec, Threshold
    from masquerade.models.runtime import Session

_BATCH = 32
"""Faces at a time, where the network takes any number."""

_DLIB_UNIT = ((0.2255, 0.2160), (0.7548, 0.2160), (0.490127, 0.515625), (0.254149, 0.780233), (0.726104, 0.780233))


def dlib_template(size: int) -> NDArray[np.float32]:
    """Eye centres, nose and mouth corners where dlib's alignment of 68 points puts them in its chip, shape (5, 2)."""
    return (np.asarray(_DLIB_UNIT, np.float32) + np.float32(0.25)) / np.float32(1.5) * np.float32(size)


TEMPLATES: dict["Alignment", Callable[[int], NDArray[np.float32]]] = {"arcface": template, "dlib": dlib_template}
"""Where an encoder wants the five landmarks, for a crop of so many pixels."""


class Encoder:
    """A network that turns a face into a unit vector, whatever it wants to be fed.

    Safe to call from several threads, as far as the session is.

    Args:
        session: the network, one input of four dimensions.
        name: what people call it.
        sha256: of its file.
        spec: what the input wants; its size is given.
        alignment: where it wants the landmarks.
        calibration: thresholds that were measured.
        kind: which of `opening.KINDS` a user's own file is; None where a card says it all.

    Attributes:
        name, sha256, calibration, kind: as given.
        dimensions: length of the vectors.

    Raises:
        WeightsError: the network does not take such faces, or gives no single vector for each.
    """

    def __init__(
        self,
        session: "Session",
        *,
        name: str,
        sha256: str,
        spec: "InputSpec",
        alignment: "Alignment" = "arcface",
        calibration: Sequence["Threshold"] = (),
        kind: str | None = None,
    ) -> None:
        if spec.height is None or spec.height != spec.width:
            raise WeightsError(f"{name} does not say which size of square faces it takes")
        self.name = name
        self.sha256 = sha256
        self.calibration = tuple(calibration)
        self.kind = kind
        self._session = session
        self._spec = spec
        self._size = spec.height
        self._template = TEMPLATES[alignment](self._size)
        (port,) = session.inputs
        self._fixed = port.shape[0] > 0
        self._batch = port.shape[0] if self._fixed else _BATCH
        self._output, self.dimensions = self._look_at_output()

    def __repr__(self) -> str:
        return f"Encoder({self.name!r}, {self.dimensions}-d, {self._size} px)"

    def embed_crops(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Faces that are aligned already.

        Args:
            crops: RGB uint8, shape (n, side, side, 3), aligned by `faces.align` to the ArcFace template at that side;
                n may be 0. They are brought to the encoder's own template and size.

        Returns:
            Unit vectors, shape (n, dimensions).

        Raises:
            FaceError: crops of another shape or type.
            EngineError: the engine failed, or the network gave something that is no direction.
        """
        if crops.ndim != 4 or crops.shape[1] != crops.shape[2] or crops.shape[3] != 3 or crops.dtype != np.uint8:
            raise FaceError(f"encoders want square RGB crops of uint8, not {crops.shape} of {crops.dtype}")
        own, given = self._template, template(crops.shape[1])
        if crops.shape[1] == self._size and np.array_equal(own, given):
            return self._embed(iter(crops), len(crops))
        matrix = estimate_similarity(given, own)
        return self._embed((warp(crop, matrix, (self._size, self._size)) for crop in crops), len(crops))

    def embed(self, image: NDArray[np.uint8], landmarks: Sequence[ArrayLike]) -> NDArray[np.float32]:
        """Faces of one picture, aligned to the encoder's own template and size.

        Args:
            image: RGB uint8, shape (height, width, 3).
            landmarks: of each face five points in pixels of the picture, shape (5, 2), in the order of `types`.

        Returns:
            Unit vectors, shape (faces, dimensions).

        Raises:
            FaceError: the picture or landmarks are not what they must be.
            EngineError: as `embed_crops`.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise FaceError(f"encoders want RGB pictures of uint8, not {image.shape} of {image.dtype}")
        return self._embed((self._cut(image, points) for points in landmarks), len(landmarks))

    def threshold(self, far: float) -> float:
        """The calibrated cosine distance below which two faces match, for a false acceptance rate.

        Raises:
            OptionError: the encoder was not calibrated for that rate.
        """
        for entry in self.calibration:
            if np.isclose(entry.far, far, rtol=1e-6):
                return entry.threshold
        raise OptionError(
            f"the encoder {self.name} has no threshold for a false acceptance rate of {far:g}",
            hint=f"Run 'masquerade calibrate' for it; it has {[entry.far for entry in self.calibration] or 'none'}",
        )

    def _cut(self, image: NDArray[np.uint8], points: ArrayLike) -> NDArray[np.uint8]:
        return warp(image, estimate_similarity(points, self._template), (self._size, self._size))

    def _embed(self, faces: Iterator[NDArray[np.uint8]], count: int) -> NDArray[np.float32]:
        vectors = np.empty((count, self.dimensions), np.float32)
        for start in range(0, count, self._batch):
            stop = min(start + self._batch, count)
            feed = self._prepare(np.stack([next(faces) for _ in range(start, stop)]))
            outputs = self._session.run({self._spec.name: feed})
            vectors[start:stop] = outputs[self._output].reshape(len(feed), -1)[: stop - start]
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (np.isfinite(length).all() and (length > 0).all()):
            raise EngineError(f"the encoder {self.name} gave a vector that is 0 or not finite for a face")
        return np.asarray(vectors / length, np.float32)

    def _prepare(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        """RGB (n, side, side, 3) → the network's input, filled up to its batch where that is fixed."""
        spec = self._spec
        low, high = spec.range
        pixels: NDArray[np.float32] = faces.astype(np.float32) * np.float32((high - low) / 255) + np.float32(low)
        if spec.colour == "BGR":
            pixels = pixels[..., ::-1]
        pixels = np.asarray((pixels - np.array(spec.mean, np.float32)) / np.array(spec.std, np.float32), np.float32)
        if spec.standardise:
            std = np.std(pixels, axis=(1, 2, 3), keepdims=True)
            pixels = pixels - pixels.mean(axis=(1, 2, 3), keepdims=True)
            # As FaceNet has it: a flat picture is not blown up.
            pixels = np.asarray(pixels / np.maximum(std, 1 / np.sqrt(pixels[0].size)), np.float32)
        missing = self._batch - len(faces) if self._fixed else 0
        if missing:
            pixels = np.concatenate([pixels, np.zeros((missing, *pixels.shape[1:]), np.float32)])
        return pixels.transpose(0, 3, 1, 2) if spec.layout == "NCHW" else pixels

    def _look_at_output(self) -> tuple[str, int]:
        """The name of the output that holds a vector for each face, and its length."""
        two = self._prepare(np.zeros((min(2, self._batch), self._size, self._size, 3), np.uint8))
        outputs = self._session.run({self._spec.name: two})
        lengths = {name: array.size // len(two) for name, array in outputs.items() if len(array) == len(two)}
        # Some encoders also give the vector's length before it was normalised: one number a face.
        vectors = [(name, length) for name, length in lengths.items() if length > 1]
        if len(vectors) != 1:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in outputs.items())
            raise WeightsError(f"{self.name} is no encoder: for {len(two)} faces it gives {shapes}")
        return vectors[0]
