"""Training data that a test makes itself."""

import zipfile

import cv2
import numpy as np


def unit(rng, count):
    """Random identities, (count, 512)."""
    vectors = rng.standard_normal((count, 512)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def smooth(rng, count, side=128):
    """Pictures of smooth noise, uint8 (count, side, side, 3)."""
    coarse = rng.integers(0, 256, (count, 8, 8, 3), np.uint8)
    return np.stack([cv2.resize(one, (side, side), interpolation=cv2.INTER_CUBIC) for one in coarse])


def write_archives(folder, people=4):
    """`train.zip` and `val.zip`, four pictures each, and what a teacher would have said, in half precision."""
    rng = np.random.default_rng(0)
    for name in ("train", "val"):
        with zipfile.ZipFile(folder / f"{name}.zip", "w") as zipped:
            for i, face in enumerate(smooth(rng, 4)):
                zipped.writestr(f"{i % people}/{i}.png", cv2.imencode(".png", face)[1].tobytes())
        np.save(folder / f"{name}.fr_feature2.npy", unit(rng, 4).astype(np.float16))


def colours(_):
    """A stand-in for third-party weights: the mean colour of each quarter, and its spread."""

    def embed(faces):
        quarters = faces.reshape(len(faces), 2, 64, 2, 64, 3).astype(np.float32)
        found = np.concatenate([quarters.mean((2, 4)), quarters.std((2, 4))], 3).reshape(len(faces), -1) + 1
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    return embed
