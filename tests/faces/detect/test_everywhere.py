"""Looking everywhere, with a detector that finds coloured discs in a limited range of sizes, as real ones do."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from masquerade.faces.detect import Detector, detect_everywhere, detect_in_windows, iou
from masquerade.faces.detect import everywhere as e
from masquerade.types import Box, Face


class Discs(Detector):
    """Finds red discs of 10 to 400 pixels that have a green dot in their upper half, so only upright ones.

    Landmarks: four times the disc's centre, then the dot. Discs cut by the border are found too, as far as they show.
    """

    def __init__(self, smallest=10, largest=400):
        self.smallest, self.largest = smallest, largest
        self.seen = []

    def _decode(self, outputs, width, height):
        raise NotImplementedError

    def detect(self, images):
        return [self._discs(image) for image in images]

    def _discs(self, image):
        self.seen.append(image.shape[:2])
        red = (image[..., 0] > 100).astype(np.uint8)
        count, _, stats, centres = cv2.connectedComponentsWithStats(red)
        faces = []
        for (x, y, width, height, _), centre in zip(stats[1:count], centres[1:count], strict=True):
            if not self.smallest <= max(width, height) <= self.largest:
                continue
            dots = np.argwhere(image[y : y + height, x : x + width, 1] > 100)
            if not len(dots) or dots[:, 0].mean() > 0.4 * height:
                continue
            dot = dots.mean(axis=0)[::-1] + np.array([x, y])
            landmarks = np.array([centre, centre, centre, centre, dot], np.float32)
            score = 0.9 - 0.1 * abs(np.log(max(width, height) / 80))
            faces.append(Face(Box(x - 0.5, y - 0.5, x + width - 0.5, y + height - 0.5), float(score), landmarks))
        return sorted(faces, key=lambda face: -face.score)


def scene(width, height, discs, angle=0):
    """A black picture with discs (x, y, diameter) and their dots; `angle`: degrees by which faces are turned."""
    image = np.zeros((height, width, 3), np.uint8)
    up = np.array([np.sin(np.deg2rad(angle)), -np.cos(np.deg2rad(angle))])
    for x, y, diameter in discs:
        cv2.circle(image, (x, y), diameter // 2, (255, 0, 0), -1)
        dot = np.array([x, y]) + up * diameter * 0.25
        cv2.circle(image, tuple(int(v) for v in dot.round()), max(diameter // 6, 1), (255, 255, 0), -1)
    return image


def check(faces, discs):
    assert len(faces) == len(discs)
    for x, y, diameter in discs:
        half = diameter // 2 + 0.5
        best = max(faces, key=lambda face: iou(face.box, Box(x - half, y - half, x + half, y + half)))
        assert iou(best.box, Box(x - half, y - half, x + half, y + half)) > 0.75
        np.testing.assert_allclose(best.landmarks[0], [x, y], atol=0.02 * diameter + 0.6)
        np.testing.assert_allclose(best.landmarks[4], [x, y - 0.25 * diameter], atol=0.06 * diameter + 1)
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)


def test_tiny_and_huge_faces_in_a_large_photo_are_each_found_once():
    discs = [(30, 40, 14), (700, 800, 100), (3000, 1500, 2400), (5900, 3900, 40), (1500, 3000, 700)]
    detector = Discs()
    check(detect_everywhere(detector, scene(6000, 4000, discs)), discs)
    assert max(h * w for h, w in detector.seen) <= e.TILE[0] * e.TILE[1]


def test_a_face_on_the_border_of_tiles_is_taken_from_the_tile_that_has_it_whole():
    width, height = 2600, 1800
    spans_x, spans_y = e._spans(width, e.TILE[0]), e._spans(height, e.TILE[1])
    assert len(spans_x) == len(spans_y) == 2
    discs = [
        (spans_x[1][0], 300, 150),  # on a tile's left border
        (spans_x[0][1], 800, 150),  # on another's right border
        (400, spans_y[1][0], 150),
        (spans_x[1][0], spans_y[1][0], 150),  # on four tiles
    ]
    check(detect_everywhere(Discs(smallest=100, largest=160), scene(width, height, discs)), discs)


def test_a_cut_face_that_no_tile_has_whole_is_kept():
    # Only sizes near 380 are found: too large for the overlap, and no other size is looked at that would do.
    width, height = 2600, 600
    edge = e._spans(width, e.TILE[0])[1][0]
    faces = detect_everywhere(Discs(smallest=200, largest=400), scene(width, height, [(edge + 30, 300, 380)]))
    assert faces
    hidden = np.zeros((height, width), bool)
    for face in faces:
        x1, y1, x2, y2 = (round(v) for v in face.box)
        hidden[max(y1, 0) : y2 + 1, max(x1, 0) : x2 + 1] = True
    assert hidden[300 - 150 : 300 + 150, edge + 5 : edge + 180].all()


def test_faces_on_the_pictures_own_border_are_not_taken_for_cut_ones():
    discs = [(0, 500, 200), (1919, 500, 200)]
    faces = detect_everywhere(Discs(), scene(1920, 1080, discs))
    assert len(faces) == 2


def test_small_pictures_are_enlarged():
    discs = [(40, 40, 6)]
    assert not Discs().detect([scene(100, 80, discs)])[0]
    assert len(detect_everywhere(Discs(), scene(100, 80, discs))) == 1


@pytest.mark.parametrize("angle", [90, 180, 270])
@pytest.mark.parametrize("size", [(900, 700), (3000, 1200)])
def test_lying_faces_are_found_only_by_turning(angle, size):
    discs = [(300, 400, 120), (650, 440, 300)]
    image = scene(*size, discs, angle)
    assert detect_everywhere(Discs(), image) == []
    faces = detect_everywhere(Discs(), image, turned=True)
    assert len(faces) == 2
    up = np.array([np.sin(np.deg2rad(angle)), -np.cos(np.deg2rad(angle))])
    for x, y, diameter in discs:
        (face,) = (
            f
            for f in faces
            if iou(f.box, Box(x - diameter / 2, y - diameter / 2, x + diameter / 2, y + diameter / 2)) > 0.7
        )
        np.testing.assert_allclose(face.landmarks[0], [x, y], atol=0.05 * diameter)
        np.testing.assert_allclose(face.landmarks[4], [x, y] + up * diameter * 0.25, atol=0.06 * diameter + 1)


def test_turning_adds_nothing_to_upright_faces():
    discs = [(300, 400, 120), (600, 200, 100)]
    check(detect_everywhere(Discs(), scene(900, 700, discs), turned=True), discs)


@given(st.integers(1, 20_000), st.sampled_from(e.TILE))
def test_tiles_cover_every_pixel_and_overlap(length, tile):
    spans = e._spans(length, tile)
    assert spans[0][0] == 0 and spans[-1][1] == length
    assert all(end - start == min(tile, length) for start, end in spans)
    assert all(before[1] - after[0] >= e.OVERLAP - 1 for before, after in pairwise(spans))


class Picture:
    """Read by region; remembers which."""

    def __init__(self, image):
        self.image = image
        self.height, self.width = image.shape[:2]
        self.reads = []

    def read(self, x, y, width, height):
        assert x >= 0 and y >= 0 and x + width <= self.width and y + height <= self.height
        self.reads.append((x, y, x + width, y + height))
        return self.image[y : y + height, x : x + width].copy()


@pytest.mark.parametrize("deep", [False, True])
def test_windows_find_what_lies_in_them_at_its_place(deep):
    discs = [(100, 100, 30), (150, 110, 20), (1800, 1000, 40), (20, 1060, 16)]
    image = scene(1920, 1080, [*discs, (1000, 500, 60)])
    picture = Picture(image.astype(np.uint16) * 257 if deep else image)
    windows = [Box(x - d, y - d, x + d, y + d) for x, y, d in discs]
    check(detect_in_windows(Discs(), picture, windows), discs)
    assert len(picture.reads) == 3  # the first two were joined
    assert sum((r - x) * (b - y) for x, y, r, b in picture.reads) < 100_000


def test_no_window_no_face():
    assert detect_in_windows(Discs(), Picture(scene(100, 100, [(50, 50, 30)])), []) == []


windows = st.lists(
    st.builds(
        lambda x, y, w, h: Box(x, y, x + w, y + h),
        st.floats(-300, 900),
        st.floats(-300, 700),
        st.floats(0.1, 900),
        st.floats(0.1, 900),
    ),
    max_size=8,
)


@given(windows)
@example([Box(0.0, 0.0, 1.0, 128.0)])
@example([Box(10.5, 20.5, 202.5, 148.5)])
def test_windows_are_covered_as_far_as_the_picture_goes_without_reading_much_more(boxes):
    picture = Picture(np.zeros((600, 800, 3), np.uint8))
    detect_in_windows(Discs(), picture, boxes)
    seen = np.zeros((600, 800), bool)
    for x1, y1, x2, y2 in picture.reads:
        seen[y1:y2, x1:x2] = True
    for box in boxes:
        low_x, low_y = max(int(np.ceil(box.x1)), 0), max(int(np.ceil(box.y1)), 0)
        assert seen[low_y : max(int(box.y2) + 1, 0), low_x : max(int(box.x2) + 1, 0)].all()


def test_what_lies_in_a_face_beyond_doubt_is_a_part_of_it():
    large = Face(Box(0, 0, 400, 500), 0.95)
    cheek = Face(Box(40, 200, 240, 420), 0.86)
    beside = Face(Box(300, 100, 500, 320), 0.86)  # a neighbour: half of it lies outside
    surer = Face(Box(100, 100, 200, 220), 0.97)  # held before it
    faces = [surer, large, cheek, beside]
    assert e._without_parts(faces, faces) == [surer, large, beside]
    # The large one itself may have been kept as it was seen at another size, with a lower score.
    again = Face(Box(5, 3, 396, 480), 0.7)
    assert e._without_parts([again, cheek], [again, cheek, large]) == [again]
    unsure = Face(large.box, 0.85)
    assert e._without_parts([cheek, unsure], [cheek, unsure]) == [cheek, unsure]


def test_a_face_is_taken_as_it_was_seen_at_a_size_that_detectors_know():
    def sighting(score, side, shift=0.0):
        return e._Sighting(Face(Box(shift, 0, 400 + shift, 500), score), False, side)

    huge, known, faint = sighting(0.98, 900), sighting(0.8, 225, 3), sighting(0.4, 112, 6)
    assert e._thinned([huge, known, faint]) == [known.face]
    assert e._thinned([huge, faint]) == [huge.face]
    assert e._thinned([known, sighting(0.9, 300, 1)]) == [sighting(0.9, 300, 1).face]
