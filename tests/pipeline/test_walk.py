"""The whole walk on a real face: a public-domain portrait that the test moves, so that the truth is known."""

import numpy as np
import pytest
from PIL import Image

from masquerade.errors import FaceError, InputError
from masquerade.faces.detect import detect_everywhere
from masquerade.faces.embed import open_encoder
from masquerade.pipeline import Anonymizer, Settings, analyze, anonymize
from masquerade.pipeline.batch import MANIFEST
from masquerade.plan import Treatment
from masquerade.swap.impose import Outcome
from masquerade.types import Face

from ..scenes import FACE, background, placed, write_clip

pytestmark = pytest.mark.network


def covered(plan, frame):
    return [f.face.box for p in plan.people for f in p.faces if f.frame == frame]


def contains(box, point):
    return box.x1 <= point[0] <= box.x2 and box.y1 <= point[1] <= box.y2


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_a_photo(tmp_path, detector, astronaut, suffix):
    source, out = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    Image.fromarray(astronaut).save(source)
    [result] = anonymize(source, out, Settings(Treatment(method="solid")), detector=detector)
    assert result.status == "done"
    before, after = np.array(Image.open(source)).astype(int), np.array(Image.open(out)).astype(int)
    x, y = map(int, FACE.centre)
    assert after[y - 30 : y + 30, x - 25 : x + 25].mean() < 3
    assert np.abs(before - after)[300:, :100].mean() < 3
    assert not Anonymizer(detector=detector).detect(after.astype(np.uint8))


@pytest.mark.parametrize("method", ["blur", "pixelate", "solid"])
def test_no_face_is_found_where_one_was(detector, astronaut, method):
    anonymizer = Anonymizer(Treatment(method=method), detector=detector)
    assert len(anonymizer.detect(astronaut)) == 1
    assert not anonymizer.detect(anonymizer(astronaut))


def test_a_face_that_moves_is_covered_in_every_frame(tmp_path, detector, astronaut):
    pictures, truth = zip(*(placed(astronaut, 0.5, 4 * i - 40, 20, 640, 360) for i in range(60)), strict=True)
    plan = analyze(write_clip(tmp_path / "clip.mp4", pictures), detector)
    assert len(plan.people) == 1, "one person, one track"
    for i, box in enumerate(truth):
        x, y = box.centre
        if x > 10:
            assert any(contains(found, (x, y)) for found in covered(plan, i)), i


def test_a_small_face_in_a_large_frame_is_covered_in_every_frame(tmp_path, detector, astronaut):
    # 0.16 of 104 px: a face of 17 px, 6 px in the coarse look, comes in late and only the full look finds it.
    pictures = [background(1920, 1080)] * 10
    truth = []
    for i in range(40):
        picture, box = placed(astronaut, 0.17, 900 + 3 * i, 500, 1920, 1080)
        pictures.append(picture)
        truth.append(box)
    plan = analyze(write_clip(tmp_path / "clip.mp4", pictures), detector)
    missed = [
        i for i, box in enumerate(truth, 10) if not any(contains(found, box.centre) for found in covered(plan, i))
    ]
    assert missed == []


def test_a_face_behind_a_hand_is_covered_throughout(tmp_path, detector, astronaut):
    pictures = []
    for i in range(60):
        picture, box = placed(astronaut, 0.5, 150 + i, 20, 640, 360)
        if 20 <= i < 40:  # longer than the detector looks away
            x1, y1, x2, y2 = map(int, box.scaled(1.2))
            picture[y1:y2, x1:x2] = (150, 120, 100)
        pictures.append(picture)
    plan = analyze(write_clip(tmp_path / "clip.mp4", pictures), detector)
    for i in range(60):
        x, y = FACE.centre
        assert any(contains(found, (x * 0.5 + 150 + i, y * 0.5 + 20)) for found in covered(plan, i)), i


def test_a_single_frame_between_two_cuts_is_covered(tmp_path, detector, astronaut):
    empty = 255 - background(640, 360)
    picture, box = placed(astronaut, 0.5, 150, 20, 640, 360)
    pictures = [empty] * 7 + [picture] + [empty] * 12
    plan = analyze(write_clip(tmp_path / "clip.mp4", pictures), detector)
    assert any(contains(found, box.centre) for found in covered(plan, 7))


def test_a_batch_of_folders_with_one_bad_file(tmp_path, detector, astronaut):
    root, out = tmp_path / "in", tmp_path / "out"
    (root / "sub").mkdir(parents=True)
    Image.fromarray(astronaut).save(root / "a.jpg")
    Image.fromarray(astronaut).save(root / "sub" / "b.png")
    (root / "broken.mp4").write_bytes(b"not a video")
    settings = Settings(Treatment(method="blur"))
    results = anonymize([root], out, settings, detector=detector)
    assert [(r.job.name, r.status) for r in results] == [
        ("a.jpg", "done"),
        ("broken.mp4", "failed"),
        ("sub/b.png", "done"),
    ]
    assert isinstance(results[1].error, InputError)
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()) == [
        "a.jpg",
        MANIFEST,
        "sub/b.png",
    ]
    again = anonymize([root], out, settings, detector=detector)
    assert [r.status for r in again] == ["unchanged", "failed", "unchanged"]


class TestAnonymizer:
    def test_boxes_landmarks_and_crops_of_ones_own(self, astronaut):
        anonymizer = Anonymizer(Treatment(method="solid", color=[0, 255, 0]))
        eyes_nose_mouth = np.array([[202, 110], [246, 112], [222, 138], [206, 160], [242, 162]], np.float32)
        for given in ({"boxes": [tuple(FACE)]}, {"landmarks": [eyes_nose_mouth]}, {"faces": [Face(FACE, 1.0)]}):
            safe = anonymizer(astronaut, **given)
            assert (safe[80:180, 190:260] == [0, 255, 0]).all(), given
            assert (safe[400:] == astronaut[400:]).all()
        crop = astronaut[66:196, 160:290]
        assert (anonymizer.crop(crop)[30:110, 30:100] == [0, 255, 0]).all()

    def test_the_picture_handed_in_is_not_changed(self, astronaut, detector):
        before = astronaut.copy()
        assert (Anonymizer(detector=detector)(astronaut) != before).any()
        assert (astronaut == before).all()

    def test_everyone_gets_a_fabricated_face_and_keeps_it_under_a_number(self, astronaut, detector):
        anonymizer = Anonymizer(detector=detector)
        dim = (astronaut * 0.8).astype(np.uint8)
        face = anonymizer.detect(astronaut)[0]
        guard, encoder = open_encoder("guard"), open_encoder()

        def seen(picture, **people):
            made = anonymizer(picture, faces=[face], **people)
            after = detect_everywhere(detector, made)[0]
            assert after.score > 0.6  # where a blurred face is not found
            [before], [now] = (guard.embed(shown, [face.landmarks]) for shown in (picture, made))
            assert 1 - before @ now > guard.threshold(1e-3)
            return encoder.embed(made, [face.landmarks])[0]

        first, again = seen(astronaut, people=[7]), seen(dim, people=[7])
        assert 1 - first @ again < 0.2
        assert 1 - first @ seen(dim, people=[8]) > 0.3
        assert max(1 - first @ seen(dim) for _ in range(3)) > 0.3  # by chance one may be the same
        assert anonymizer.outcomes == {Outcome.SWAPPED: 6}

    def test_who_is_known_by_a_box_alone_is_redacted(self, astronaut, detector):
        anonymizer = Anonymizer(detector=detector)
        face = anonymizer.detect(astronaut)[0]
        blurred = Anonymizer(Treatment(method="blur"))(astronaut, boxes=[tuple(face.box)])
        np.testing.assert_array_equal(anonymizer(astronaut, boxes=[tuple(face.box)]), blurred)
        with pytest.raises(FaceError, match="1 faces handed in, but 2 numbers"):
            anonymizer(astronaut, faces=[face], people=[1, 2])

    def test_deep_pictures_stay_deep(self, astronaut):
        deep = astronaut.astype(np.uint16) * 257
        safe = Anonymizer(Treatment(method="solid", color=[255, 255, 255]))(deep, boxes=[tuple(FACE)])
        assert safe.dtype == np.uint16
        assert (safe[100:150, 200:250] == 65535).all()

    @pytest.mark.parametrize(
        "given",
        [
            {"boxes": [(0, 0, float("nan"), 9)]},
            {"boxes": [(5, 5, 5, 9)]},
            {"landmarks": [np.full((5, 2), np.nan)]},
            {"landmarks": [np.zeros((5, 2))]},
            {"landmarks": [np.zeros((4, 2))]},
        ],
    )
    def test_what_is_no_face_is_refused(self, astronaut, given):
        with pytest.raises(FaceError):
            Anonymizer(Treatment())(astronaut, **given)

    @pytest.mark.parametrize("picture", [np.zeros((9, 9)), np.zeros((9, 9, 3)), np.zeros((0, 9, 3), np.uint8), "x"])
    def test_what_is_no_picture_is_refused(self, picture):
        with pytest.raises(FaceError):
            Anonymizer(Treatment())(picture, boxes=[(0, 0, 5, 5)])

    def test_a_crop_that_is_not_square_is_refused(self, astronaut):
        with pytest.raises(FaceError, match="square"):
            Anonymizer(Treatment()).crop(astronaut[:100])
