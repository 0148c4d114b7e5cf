"""Photos in, archives out, with one public-domain face and what the test makes of it."""

import zipfile
from collections import Counter

import cv2
import numpy as np
import pytest
from PIL import Image

from masquerade.errors import InputError, OptionError
from masquerade.train.data import read_archive
from masquerade.train.prepare import _Seen, prepare

from ..scenes import background, placed

pytestmark = pytest.mark.network


def save(path, picture):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


@pytest.fixture
def folder(tmp_path, astronaut):
    raw = tmp_path / "raw"
    save(raw / "ann" / "1.png", astronaut)
    save(raw / "ann" / "again.jpg", astronaut)
    save(raw / "ann" / "blurred.png", cv2.GaussianBlur(astronaut, (0, 0), 9))
    save(raw / "bob" / "deep" / "2.png", np.ascontiguousarray(astronaut[:, ::-1]))
    save(raw / "bob" / "wall.png", background(300, 200))
    two, _ = placed(astronaut, 0.6, 0, 0, 700, 310)
    right, _ = placed(astronaut, 0.6, 350, 0, 700, 310)
    two[:, 350:] = right[:, 350:]
    save(raw / "bob" / "two.png", two)
    (raw / "bob" / "broken.jpg").write_bytes(b"no picture")
    (raw / "notes.txt").write_text("none either")
    return raw


def test_named_photos_become_people(folder, tmp_path, detector):
    made = prepare(folder, tmp_path / "faces.zip", detector, least=0.9)
    assert (made.photos, made.faces, made.people, made.validation) == (7, 2, 2, 0)
    assert made.dropped == {
        "seen before": 1,
        "too poor": 1,
        "without a face": 1,
        "with several faces": 1,
        "cannot be read": 1,
    }
    assert [path.name for path in made.unreadable] == ["broken.jpg"]
    faces = read_archive(tmp_path / "faces.zip", tmp_path / "cache", labelled=True)
    assert faces.faces.shape == (2, 128, 128, 3)
    assert faces.people.tolist() == [0, 1]
    # One is the other's mirror image, so near to it as the detector's landmarks are the same in both.
    first, second = faces.faces[0].astype(float).mean(axis=2), faces.faces[1][:, ::-1].astype(float).mean(axis=2)
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.6


def test_unnamed_photos_give_every_face(folder, tmp_path, detector):
    made = prepare(folder, tmp_path / "faces.zip", detector, named=False, side=64, least=0.0)
    with zipfile.ZipFile(tmp_path / "faces.zip") as zipped:
        names = zipped.namelist()
    assert made.people == 0
    assert made.faces == len(names) >= 3
    assert not any("/" in name for name in names)


def test_people_are_held_out_whole_and_by_name_alone(folder, tmp_path, detector, astronaut):
    for i in range(6):
        # A square of another shade makes it another picture.
        picture = astronaut.copy()
        picture[60:200, 170 + 20 * i : 190 + 20 * i] //= 2
        save(folder / f"person{i}" / "a.png", picture)
    paths = tmp_path / "train.zip", tmp_path / "val.zip"
    made = prepare(folder, paths[0], detector, least=0.0, validation=paths[1], share=0.5)
    owners = []
    for path in paths:
        with zipfile.ZipFile(path) as zipped:
            owners.append({name.split("/")[0] for name in zipped.namelist()})
    assert owners[0]
    assert owners[1]
    assert not owners[0] & owners[1]
    assert made.validation >= len(owners[1])
    again = prepare(folder, tmp_path / "b.zip", detector, least=0.0, validation=tmp_path / "c.zip", share=0.5)
    assert again == made


def test_nothing_is_left_where_no_face_can_be_used(tmp_path, detector):
    raw = tmp_path / "raw"
    save(raw / "bob" / "wall.png", background(300, 200))
    with pytest.raises(InputError, match="1 without a face"):
        prepare(raw, tmp_path / "faces.zip", detector)
    with pytest.raises(InputError, match="no such folder"):
        prepare(tmp_path / "none", tmp_path / "faces.zip", detector)
    with pytest.raises(InputError, match="holds no photo"):
        prepare(raw / "bob", tmp_path / "faces.zip", detector)
    with pytest.raises(OptionError, match="28 pixels"):
        prepare(raw, tmp_path / "faces.zip", detector, side=8)
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_a_picture_saved_again_is_known_and_another_is_new():
    rng = np.random.default_rng(0)
    seen, fresh = _Seen(), Counter()
    for _ in range(1100):  # more than are remembered at first
        coarse = rng.integers(0, 256, (12, 12, 3), np.uint8)
        crop = cv2.resize(coarse, (128, 128), interpolation=cv2.INTER_CUBIC)
        fresh["first"] += seen.new(crop)
        coded = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, 70])[1]
        fresh["again"] += seen.new(cv2.imdecode(coded, cv2.IMREAD_COLOR))
    assert fresh == {"first": 1100, "again": 0}
