"""What no swap touches: hair, ears, neck, background. Is a person known by them? Pure function of crops.

Give what `outside_only` leaves to a recogniser and hand its vectors to `matching.found_at_far`: what is found then is
found after any swap, and no method that changes faces alone can do better.
"""

import numpy as np
from numpy.typing import NDArray

from masquerade.faces.align import template
from masquerade.swap.blend import face_mask


def outside_only(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Aligned crops with the face painted over in the mean colour of what surrounds it.

    Args:
        crops: RGB, (n, side, side, 3), aligned to the ArcFace template.

    Returns:
        The same shape; where `swap.blend` leaves the picture as it is, so does this.
    """
    side = crops.shape[1]
    face = face_mask(template(side), side)[None, ..., None]
    around = 1 - face
    colour = (crops * around).sum(axis=(1, 2), keepdims=True) / around.sum()
    return np.asarray(np.rint(crops * around + colour * face), np.uint8)
