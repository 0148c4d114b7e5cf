"""Files that lie on the disk as AffectNet's do, of faces that are drawn."""

import cv2
import numpy as np

MOODS = {0: (0, 0), 1: (12, 0.8), 3: (0, 0.2), 6: (-12, -0.6)}
"""Class → how far the corners of the mouth are up, and valence; class 3 opens the mouth."""


def drawn(kind, rng, side):
    """A face on a colour that says nothing, in one of four moods."""
    picture = np.full((128, 128, 3), rng.integers(80, 220, 3), np.uint8)
    shift = rng.integers(-3, 4, 2)
    for x in (44, 84):
        cv2.circle(picture, (int(x + shift[0]), int(48 + shift[1])), 6, (20, 20, 20), -1)
    centre = (int(64 + shift[0]), int(92 + shift[1]))
    if kind == 3:
        cv2.ellipse(picture, centre, (14, 18), 0, 0, 360, (20, 20, 20), -1)
    else:
        up = MOODS[kind][0]
        corners = [(centre[0] + dx, centre[1] - up * abs(dx) // 24) for dx in (-24, -12, 0, 12, 24)]
        cv2.polylines(picture, [np.array(corners, np.int32)], False, (20, 20, 20), 6)
    return cv2.resize(picture, (side, side))


def write_affectnet(folder, counts, side=112):
    """`train_set` and `val_set`, so many faces of each class; every label in a file of its own, as text."""
    rng = np.random.default_rng(0)
    for part in ("train_set", "val_set"):
        for name in ("images", "annotations"):
            (folder / part / name).mkdir(parents=True)
        number = 0
        for kind, count in counts.items():
            for _ in range(count if part == "train_set" else 6):
                face = cv2.imencode(".jpg", drawn(kind, rng, side))[1]
                (folder / part / "images" / f"{number}.jpg").write_bytes(face.tobytes())
                for label, value in (("exp", kind), ("val", MOODS[kind][1]), ("aro", 0.1), ("lnd", 0)):
                    np.save(folder / part / "annotations" / f"{number}_{label}.npy", np.array(str(value)))
                number += 1
    return folder
