"""People who are patterns of colours: their photos are told apart by an encoder that is one matrix."""

import cv2
import numpy as np
from PIL import Image

POOL = 28
"""Pixels of a crop that the patterns' encoder averages: `write_linear(path, pool=POOL)` sees 4 x 4 colours."""


def write_crowd(folder, people=20, each=3, noise=60, seed=0, side=112, suffix="png"):
    """Writes `each` aligned crops of each person as PERSON/PERSON_0001.png; returns the folder."""
    rng = np.random.default_rng(seed)
    for person in range(people):
        name = f"P{person:02d}"
        (folder / name).mkdir(parents=True)
        pattern = rng.integers(0, 256, (4, 4, 3))
        for number in range(1, each + 1):
            colours = np.clip(pattern + rng.integers(-noise, noise + 1, pattern.shape), 0, 255).astype(np.uint8)
            crop = cv2.resize(colours, (side, side), interpolation=cv2.INTER_NEAREST)
            Image.fromarray(crop).save(folder / name / f"{name}_{number:04d}.{suffix}")
    return folder
