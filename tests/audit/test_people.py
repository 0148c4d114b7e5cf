"""Photos of known people: found, embedded and paired, with the errors a person can make."""

import numpy as np
import pytest
from PIL import Image

from masquerade.audit.people import embed_photos, embed_replaced, main_landmarks, read_sample
from masquerade.errors import InputError, OptionError
from masquerade.faces.embed import open_encoder
from tests.audit.crowd import POOL, write_crowd
from tests.faces.embed.networks import by_hand, write_linear
from tests.scenes import placed


def encoder_and_matrix(folder):
    matrix = write_linear(folder / "net.onnx", pool=POOL)
    return open_encoder(folder / "net.onnx", kind="arcface", threads=1), matrix


def seen_by_hand(path, matrix):
    pixels = np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1) / 127.5 - 1
    return by_hand(pixels, matrix, POOL)


def test_a_folder_of_people(tmp_path):
    folder = write_crowd(tmp_path / "crowd", people=4, each=3)
    (folder / "notes.txt").write_text("no photo")
    (folder / "P00/notes.txt").write_text("no photo")
    sample = read_sample(folder)
    assert (sample.name, len(sample.photos)) == ("crowd", 12)
    assert (sample.photos[4].name, sample.photos[4].person) == ("P01/P01_0002", "P01")

    encoder, matrix = encoder_and_matrix(tmp_path)
    told = []
    seen = embed_photos(sample.photos, [encoder], None, lambda *at: told.append(at))
    assert seen.found == sample.photos and seen.missed == () and told[-1] == (12, 12)
    for photo, vector in zip(seen.found, seen.vectors[0], strict=True):
        assert vector == pytest.approx(seen_by_hand(photo.path, matrix), abs=2e-3)

    pairs, folds = sample.pairs(seen.found)
    assert folds is None
    assert (pairs.same.sum(), (~pairs.same).sum()) == (4 * 3, 66 - 12)
    for a, b, same in zip(pairs.first, pairs.second, pairs.same, strict=True):
        assert (seen.found[a].person == seen.found[b].person) == same
    assert len(sample.pairs(seen.found, most=5)[0].same) == 10


def test_a_list_of_pairs(tmp_path):
    folder = write_crowd(tmp_path / "crowd", people=3, each=2)
    text = "2\t1\nP00\t1\t2\nP00\t1\tP01\t2\nP01\t1\t2\nP02\t1\tP01\t1\n"
    (tmp_path / "pairs.txt").write_text(text)
    sample = read_sample(tmp_path / "pairs.txt", folder)
    assert [photo.name for photo in sample.photos] == [
        "P00/P00_0001", "P00/P00_0002", "P01/P01_0001", "P01/P01_0002", "P02/P02_0001",
    ]  # fmt: skip
    pairs, folds = sample.pairs(sample.photos)
    assert [pairs.first.tolist(), pairs.second.tolist()] == [[0, 0, 2, 4], [1, 3, 3, 2]]
    assert pairs.same.tolist() == [True, False, True, False] and folds.tolist() == [0, 0, 1, 1]
    pairs, folds = sample.pairs([photo for photo in sample.photos if photo.person != "P02"])
    assert len(pairs.same) == 3, "pairs of faces that were not found are left out"
    assert folds.tolist() == [0, 0, 1]
    with pytest.raises(InputError, match="no faces of two people"):
        sample.pairs(sample.photos[:2])
    with pytest.raises(InputError, match="no two faces of one person"):
        sample.pairs([sample.photos[0], sample.photos[3]])


def test_errors_name_the_file_and_the_way_out(tmp_path):
    folder = write_crowd(tmp_path / "crowd", people=2, each=2)
    empty = tmp_path / "empty"
    empty.mkdir()
    single = write_crowd(tmp_path / "single", people=3, each=1)
    (tmp_path / "pairs.txt").write_text("1\nP00\t1\t2\nP00\t1\tP07\t1\n")
    for arguments, error, said in (
        ((empty,), InputError, "photos of 0 people.*one sub-folder for each"),
        ((folder / "P00",), InputError, "photos of 0 people"),
        ((single,), InputError, "one photo of each person"),
        ((folder, folder), OptionError, "--images"),
        ((tmp_path / "pairs.txt",), OptionError, "--images"),
        ((tmp_path / "pairs.txt", tmp_path / "none"), InputError, "none: no such folder"),
        ((tmp_path / "pairs.txt", folder), InputError, "no photo P07/P07_0001"),
        ((tmp_path / "none.txt",), InputError, r"none\.txt"),
    ):
        with pytest.raises(error, match=said):
            read_sample(*arguments)
    encoder, _ = encoder_and_matrix(tmp_path)
    Image.new("RGB", (90, 112)).save(folder / "P01/P01_0001.png")
    with pytest.raises(InputError, match=r"P01_0001\.png: is no aligned crop: 90x112"):
        embed_photos(read_sample(folder).photos, [encoder], None)
    (folder / "P01/P01_0001.png").write_bytes(b"\x89PNG but broken")
    with pytest.raises(InputError, match=r"P01_0001\.png"):
        embed_photos(read_sample(folder).photos, [encoder], None)


def test_the_person_of_a_photo_is_the_large_face_in_its_middle(astronaut, detector):
    picture, beside = placed(astronaut, 0.55, -70, -30, 400, 240)
    for scale, chosen in ((0.4, "middle"), (0.2, "beside")):
        small, middle = placed(astronaut, scale, round(250 - 224 * scale), round(120 - 130 * scale), 400, 240)
        picture[:, 160:] = small[:, 160:]
        points = main_landmarks(picture, detector)
        box = middle if chosen == "middle" else beside
        assert box.x1 < points[:, 0].min() and points[:, 0].max() < box.x2
        assert box.y1 < points[:, 1].min() and points[:, 1].max() < box.y2
    assert main_landmarks(np.full((240, 320, 3), 90, np.uint8), detector) is None


def test_photos_without_a_face_are_told(tmp_path, astronaut, detector):
    for name, picture in (("A/1", astronaut), ("A/2", astronaut[:, ::-1]), ("B/1", np.full((99, 99, 3), 90, np.uint8))):
        (tmp_path / "set" / name[0]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(tmp_path / f"set/{name}.png")
    encoder, _ = encoder_and_matrix(tmp_path)
    photos = read_sample(tmp_path / "set").photos
    seen = embed_photos(photos, [encoder, encoder], detector)
    assert [photo.name for photo in seen.missed] == ["B/1"]
    assert [vectors.shape for vectors in seen.vectors] == [(2, 8)] * 2
    assert np.array_equal(seen.vectors[0][:1], encoder.embed(astronaut, [seen.landmarks[0]]))
    with pytest.raises(InputError, match="no face was found in any of 1 photos"):
        embed_photos(photos[2:], [encoder], detector)

    # Replaced by nothing at half the size: looked at where the face was.
    for photo in seen.found:
        (tmp_path / "gone" / photo.person).mkdir(parents=True, exist_ok=True)
        grey = np.linspace(0, 255, 256, dtype=np.uint8)[:, None, None]
        Image.fromarray(np.broadcast_to(grey, (256, 256, 3)).copy()).save(tmp_path / "gone" / f"{photo.name}.png")
    [replaced], gone = embed_replaced(seen, tmp_path / "gone", [encoder], detector)
    assert gone == 2
    shown = np.broadcast_to(grey, (256, 256, 3)).copy()
    assert replaced[0] == pytest.approx(encoder.embed(shown, [seen.landmarks[0] / 2])[0], abs=1e-6)
    with pytest.raises(InputError, match=r"1\.png"):
        embed_replaced(seen, tmp_path / "none", [encoder], detector)
