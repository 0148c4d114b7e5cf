"""Pose, landmark and gaze networks that a user names, for figures that five landmarks cannot give. None comes with us.

Each is a file of a widespread kind; what it wants is fixed by that kind and checked when it is opened.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from masquerade.audit.utility import head_pose
from masquerade.errors import WeightsError
from masquerade.faces.align import warp
from masquerade.media import sha256
from masquerade.types import Box, Points

if TYPE_CHECKING:
    from masquerade.models.runtime import Engine, Session

_MEAN, _STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
_BINS = 66
_MARKS = 68
_EYE = 60  # pixels
_EYE_WIDTH = 0.8  # of the distance of the eyes, that a picture of one shows: it is about half as wide


class _Network:
    def __init__(self, path: Path, engine: "Engine", provider: str | None, threads: int) -> None:
        from masquerade.models.runtime import open_session  # noqa: PLC0415 - loads an engine

        if not path.is_file():
            raise WeightsError("no such network", path=path, hint="Name an ONNX file")
        self.name, self.sha256 = path.stem, sha256(path)
        self._session: Session = open_session(path, engine=engine, provider=provider, threads=threads)
        self._input = self._session.inputs[0]

    def _run(self, picture: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        feed = np.ascontiguousarray(picture.transpose(2, 0, 1)[None])
        return [np.asarray(out, np.float32) for out in self._session.run({self._input.name: feed}).values()]


class PoseNetwork(_Network):
    """Head pose in 66 bins of 3 degrees for each angle, as Hopenet has it (Ruiz et al. 2018).

    It takes RGB of 224 pixels with ImageNet's mean and deviation, cut by a square 1.4 times the face, and gives yaw,
    pitch and roll.

    Raises:
        WeightsError: the file is missing, or no such network.
    """

    def __init__(self, path: Path, engine: "Engine" = "auto", provider: str | None = None, threads: int = 0) -> None:
        super().__init__(path, engine, provider, threads)
        found = sum(out.size for out in self._run(np.zeros((224, 224, 3), np.float32)))
        if found != 3 * _BINS:
            raise WeightsError(f"gives {found} numbers, a Hopenet-type network {3 * _BINS}", path=path)

    def __call__(self, image: NDArray[np.uint8], box: Box) -> NDArray[np.float64]:
        """Yaw, pitch and roll in degrees, shape (3,), of the face in a box of an RGB picture."""
        face = cut_square(image, box.scaled(1.4), 224).astype(np.float32) / np.float32(255)
        logits = np.concatenate([out.reshape(-1, _BINS) for out in self._run((face - _MEAN) / _STD)]).astype(np.float64)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray((shares * np.arange(_BINS)).sum(axis=1) / shares.sum(axis=1) * 3 - 99)


class LandmarkNetwork(_Network):
    """68 landmarks in iBUG's order.

    It takes grey or RGB, 0 to 1, of the size that its file says (64 pixels where it does not), cut by a square 1.1
    times the face, and gives 68 points as shares of that square.

    Raises:
        WeightsError: the file is missing, or no such network.
    """

    def __init__(self, path: Path, engine: "Engine" = "auto", provider: str | None = None, threads: int = 0) -> None:
        super().__init__(path, engine, provider, threads)
        shape = self._input.shape
        if len(shape) != 4 or shape[1] not in (1, 3):
            raise WeightsError(f"takes {shape}, a landmark network one picture (1, 1 or 3, side, side)", path=path)
        self._side = shape[2] if shape[2] > 0 else 64
        self._grey = shape[1] == 1
        found = self(np.zeros((8, 8, 3), np.uint8), Box(0, 0, 8, 8))
        if found.shape != (_MARKS, 2):
            raise WeightsError(f"gives {found.size} numbers, 68 landmarks are 136", path=path)

    def __call__(self, image: NDArray[np.uint8], box: Box) -> NDArray[np.float64]:
        """Points in pixels of an RGB picture, shape (68, 2), of the face in a box."""
        around = box.scaled(1.1)
        face = cut_square(image, around, self._side)
        if self._grey:
            face = np.asarray(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), np.uint8)[..., None]
        (marks, *_) = self._run(face.astype(np.float32) / np.float32(255))
        side, (x, y) = max(around.width, around.height), around.centre
        return np.asarray(marks.reshape(-1, 2) * side + (x - side / 2, y - side / 2), np.float64)


class GazeNetwork(_Network):
    """Where the eyes look, as OpenVINO's gaze-estimation-adas-0002 says it (Open Model Zoo, Apache-2.0).

    It takes BGR pictures of both eyes, 60 pixels wide and upright, and the head's yaw, pitch and roll, and gives a
    direction: x to the picture's right, y up, z towards the camera's back. The head's pose is here fitted to five
    landmarks, and the eyes are looked for where these say: two pictures of one face that are asked about with the same
    landmarks differ by what the eyes show alone.

    Args:
        path: OpenVINO's `.xml`, whose `.bin` lies beside it, or an ONNX file with the same inputs.

    Raises:
        WeightsError: the file is missing, or no such network.
    """

    def __init__(self, path: Path, engine: "Engine" = "auto", provider: str | None = None, threads: int = 0) -> None:
        super().__init__(path, engine, provider, threads)
        shapes = {port.name: port.shape for port in self._session.inputs}
        eye = (1, 3, _EYE, _EYE)
        if shapes != {"left_eye_image": eye, "right_eye_image": eye, "head_pose_angles": (1, 3)}:
            raise WeightsError(f"takes {', '.join(shapes)}: not the inputs of gaze-estimation-adas-0002", path=path)

    def __call__(self, image: NDArray[np.uint8], landmarks: Points) -> NDArray[np.float64]:
        """A unit vector, shape (3,), in the frame of an upright head, for the face at five landmarks of an RGB picture.

        Raises:
            FaceError: the landmarks fix no pose.
        """
        yaw, pitch, _ = head_pose(landmarks)
        right, left = np.asarray(landmarks[:2], np.float64)  # the person's own, so their right eye is on the left
        feeds = {
            "left_eye_image": _eye(image, left, left - right),
            "right_eye_image": _eye(image, right, left - right),
            "head_pose_angles": np.array([[yaw, -pitch, 0]], np.float32),  # its pitch is positive downwards
        }
        (said,) = self._session.run(feeds).values()
        vector = np.asarray(said, np.float64).reshape(3)
        return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9))


def _eye(image: NDArray[np.uint8], centre: NDArray[np.float64], across: NDArray[np.float64]) -> NDArray[np.float32]:
    """BGR (1, 3, 60, 60), 0 to 255, of the eye at a centre; `across` points from one eye to the other."""
    distance = float(np.linalg.norm(across))
    cos, sin = across / distance * (_EYE / (_EYE_WIDTH * distance))
    turn = np.array([[cos, sin], [-sin, cos]])
    matrix = np.column_stack([turn, _EYE / 2 - turn @ centre])
    seen = warp(image, matrix, (_EYE, _EYE))[..., ::-1].astype(np.float32)
    return np.ascontiguousarray(seen.transpose(2, 0, 1)[None])


def cut_square(image: NDArray[np.uint8], box: Box, side: int) -> NDArray[np.uint8]:
    """The square about a box at `side` by `side` pixels; beyond the picture its border goes on."""
    (x, y), length = box.centre, max(box.width, box.height)
    scale = side / length
    matrix = np.array([[scale, 0, side / 2 - x * scale], [0, scale, side / 2 - y * scale]])
    return warp(image, matrix, (side, side))
