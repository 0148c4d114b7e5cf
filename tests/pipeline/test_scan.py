"""When the scanner looks, on frames that the test makes itself."""

import numpy as np
import pytest

from masquerade.media import StillFrame
from masquerade.pipeline.scan import Scanner
from masquerade.types import Box, Face


class White:
    """A detector that finds one face wherever the picture is white."""

    name = "white"

    def detect(self, images):
        return [[Face(Box(8, 8, 40, 48), 0.9)] if image.mean() > 200 else [] for image in images]


def frame(index, rate, white):
    made = StillFrame(np.full((240, 320, 3), 255 if white else 90, np.uint8))
    made.index, made.time = index, index / rate
    return made


@pytest.mark.parametrize("told", [30.0, 1000.0])
def test_a_rate_that_a_container_makes_up_hides_nobody(told):
    """Some name the unit of their clock, a millisecond, where thirty frames a second come."""
    scanner = Scanner(White(), 320, 240, told)
    for i in range(100):
        scanner.add(scanner.prepare(frame(i, 30, 40 <= i < 70)))
    covered = {seen.frame for track in scanner.finish() for seen in track.faces}
    assert covered >= set(range(40, 70))
