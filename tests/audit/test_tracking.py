"""Switches, fragmentations and IDF1, against an example worked by hand."""

import pytest

from masquerade.audit.tracking import TrackingFigures, tracking_figures
from masquerade.types import Box

A, B, FAR = Box(0, 0, 10, 10), Box(30, 0, 40, 10), Box(80, 0, 90, 10)


def test_an_example_by_hand():
    """Person 1 is 7 for two frames, lost for one, then 8; person 2 is 8, twice, then 7 for two; 9 is nobody."""
    truth = [{1: A, 2: B}, {1: A, 2: B}, {1: A, 2: B}, {1: A, 2: B}, {2: B}]
    found = [{7: A, 8: B}, {7: A, 8: B}, {8: B}, {8: A, 7: B}, {7: B, 9: FAR}]
    figures = tracking_figures(truth, found)
    # In frame 3 person 1 is 8 after 7, person 2 is 7 after 8. Person 1 came back after a frame in which it was missed.
    assert (figures.switches, figures.fragmentations) == (2, 1)
    # Common frames: (1, 7) 2, (1, 8) 1, (2, 8) 3, (2, 7) 2; the best pairs are (1, 7) and (2, 8): 5 of 9 true, 9 found.
    assert (figures.both, figures.true, figures.found) == (5, 9, 9)
    assert figures.idf1 == pytest.approx(5 / 9)


def test_numbers_need_not_agree_and_pairs_hold_on():
    near = Box(1, 0, 11, 10)
    # In the second frame both numbers overlap the person; the one of before stays, though the other overlaps more.
    figures = tracking_figures([{5: A}, {5: A}], [{1: A}, {1: near, 2: A}])
    assert (figures.switches, figures.both, figures.found) == (0, 2, 3)
    assert tracking_figures([{5: A}], [{1: FAR}]) == TrackingFigures(0, 0, 0, 1, 1)


def test_nobody():
    nobody = tracking_figures([{}, {}], [{}, {}])
    assert nobody.idf1 == 1
    assert nobody + tracking_figures([{1: A}], [{}]) == TrackingFigures(0, 0, 0, 0, 1)
