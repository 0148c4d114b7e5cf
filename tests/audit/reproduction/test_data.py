"""Files that lie as the data sets lie when they are unpacked."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from masquerade.audit.reproduction import find_faces
from masquerade.errors import InputError


def photo(path, shade=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (shade, 0, 0)).save(path)


def test_lfw_and_vggface2_have_a_folder_for_each_person(tmp_path):
    lfw = tmp_path / "lfw"
    for name, count in (("Ann_Lee", 2), ("Bob_Ray", 1)):
        for i in range(count):
            photo(lfw / name / f"{name}_{i + 1:04d}.jpg")
    (lfw / "pairs.txt").write_text("not a photo")
    found = find_faces(lfw)
    assert (found.name, found.layout) == ("lfw", "people")
    assert [item.person for item in found.items] == ["Ann_Lee", "Ann_Lee", "Bob_Ray"]

    vggface2 = tmp_path / "vggface2"
    for part, person in (("train", "n000002"), ("test", "n000001")):
        photo(vggface2 / part / person / "0001_01.jpg")
        photo(vggface2 / part / person / "0002_01.jpg")
    (vggface2 / "meta").mkdir()
    (vggface2 / "meta" / "identity_meta.csv").write_text("n000001")
    assert {item.person for item in find_faces(vggface2).items} == {"n000001"}, "test, where there are both"
    assert {item.person for item in find_faces(vggface2 / "train").items} == {"n000002"}


def test_aflw2000_has_photos_of_anybody_beside_its_labels(tmp_path):
    for number in (2, 4, 6):
        photo(tmp_path / f"image{number:05d}.jpg")
        (tmp_path / f"image{number:05d}.mat").write_bytes(b"MATLAB")
    (tmp_path / "Code").mkdir()
    found = find_faces(tmp_path)
    assert found.layout == "photos"
    assert [item.person for item in found.items] == ["image00002", "image00004", "image00006"]


def test_faceforensics_has_its_originals_deep_inside(tmp_path):
    for place in ("original_sequences/youtube/c23", "original_sequences/youtube/raw", "manipulated_sequences/X/c23"):
        folder = tmp_path / place / "videos"
        folder.mkdir(parents=True)
        for name in ("000.mp4", "001.mp4"):
            (folder / name).write_bytes(b"")
    found = find_faces(tmp_path)
    assert found.layout == "videos"
    assert [item.path.relative_to(tmp_path).as_posix() for item in found.items] == [
        "original_sequences/youtube/c23/videos/000.mp4",
        "original_sequences/youtube/c23/videos/001.mp4",
    ]
    one = tmp_path / "one.mp4"
    one.write_bytes(b"")
    assert [item.person for item in find_faces(one).items] == ["one"]


def test_a_zip_is_read_photo_by_photo(tmp_path):
    for i in range(5):
        photo(tmp_path / "in" / f"p{i}" / "a.png", 10 * i)
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path in (tmp_path / "in").glob("*/*.png"):
            archive.write(path, f"faces/{path.parent.name}/{path.name}")
    found = find_faces(tmp_path / "set.zip")
    assert [item.person for item in found.items] == [f"p{i}" for i in range(5)]
    assert [item.read()[0, 0, 0] for item in found.some(3)] == [0, 20, 40]
    assert found.some(None) == found.some(9) == found.items
    np.testing.assert_array_equal(found.items[1].read()[..., 1:], 0)


def test_what_nobody_knows_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no faces")
    (tmp_path / "broken.zip").write_text("no zip")
    with zipfile.ZipFile(tmp_path / "flat.zip", "w") as archive:
        archive.writestr("a.png", b"")
    for path in (tmp_path, tmp_path / "none", tmp_path / "broken.zip", tmp_path / "flat.zip", tmp_path / "notes.txt"):
        with pytest.raises(InputError):
            find_faces(path)
