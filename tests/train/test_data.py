import zipfile

import cv2
import numpy as np
import pytest

from masquerade.errors import InputError
from masquerade.train.data import Epochs, FaceSet, at_side, derived, inputs, map_batches, read_archive, whole_file


def an_archive(path, names, side=128):
    with zipfile.ZipFile(path, "w") as zipped:
        for i, name in enumerate(names):
            picture = np.full((side, side, 3), (10 * i, 5, 200), np.uint8)
            zipped.writestr(name, cv2.imencode(".png", picture[..., ::-1])[1].tobytes())
    return path


def test_an_archive_becomes_rgb_crops_and_people(tmp_path):
    archive = an_archive(tmp_path / "a.zip", ["30/1.png", "4/2.png", "30/3.png"], side=256)
    faces = read_archive(archive, tmp_path / "cache", labelled=True)
    assert faces.faces.shape == (3, 128, 128, 3)
    assert faces.faces[:, 64, 64].tolist() == [[0, 5, 200], [20, 5, 200], [10, 5, 200]]
    assert faces.people.tolist() == [0, 0, 1]
    assert read_archive(archive, tmp_path / "cache", labelled=False).people.tolist() == [-1, -1, -1]


def test_other_sides_are_cached_apart_and_smaller_pictures_enlarged_smoothly(tmp_path):
    archive = an_archive(tmp_path / "a.zip", ["p/1.png"])
    assert read_archive(archive, tmp_path, labelled=True).faces.shape == (1, 128, 128, 3)
    large = read_archive(archive, tmp_path, labelled=True, side=160)
    assert large.faces.shape == (1, 160, 160, 3) and large.faces[0, 80, 80].tolist() == [0, 5, 200]
    ramp = np.repeat(np.arange(0, 256, 4, np.uint8)[None, :, None], 64, 0).repeat(3, 2)
    up = at_side(ramp[None], 128)[0, 64, 8:-8, 0].astype(int)
    assert set(np.diff(up)) <= {1, 2, 3}
    assert np.abs(at_side(at_side(ramp[None], 128), 64).astype(int) - ramp).max() <= 2


def test_the_second_time_nothing_is_decoded(tmp_path):
    archive = an_archive(tmp_path / "a.zip", ["p/1.png"])
    read_archive(archive, tmp_path, labelled=True)
    before = (tmp_path / "a.npy").stat().st_mtime_ns
    assert isinstance(read_archive(archive, tmp_path, labelled=True), FaceSet)
    assert (tmp_path / "a.npy").stat().st_mtime_ns == before


def test_what_is_missing_empty_damaged_or_stale_is_said(tmp_path):
    with pytest.raises(InputError, match="no such archive"):
        read_archive(tmp_path / "none.zip", tmp_path, labelled=True)
    with pytest.raises(InputError, match="empty"):
        read_archive(an_archive(tmp_path / "empty.zip", []), tmp_path, labelled=True)
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as zipped:
        zipped.writestr("p/1.png", b"not a picture")
    with pytest.raises(InputError, match=r"p/1\.png"):
        read_archive(tmp_path / "bad.zip", tmp_path, labelled=True)
    assert not (tmp_path / "bad.npy").exists()
    read_archive(an_archive(tmp_path / "a.zip", ["p/1.png"]), tmp_path, labelled=True)
    with pytest.raises(InputError, match="another archive"):
        read_archive(an_archive(tmp_path / "a.zip", ["p/1.png", "p/2.png"]), tmp_path, labelled=True)


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(KeyError), whole_file(tmp_path / "x") as part:
        part.write_text("half")
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    with whole_file(tmp_path / "x") as part:
        part.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_derived_arrays_are_made_once(tmp_path):
    made = []

    def make():
        made.append(1)
        return np.arange(3, dtype=np.float32)

    for _ in range(2):
        assert derived(tmp_path / "d.npy", make).tolist() == [0, 1, 2]
    assert made == [1]


def test_batches_come_back_in_order():
    faces = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
    found = map_batches(lambda some: some.reshape(-1, 1).astype(np.float32) * 2, faces, size=3)
    assert found[:, 0].tolist() == [2 * i for i in range(10)]


def test_inputs_keep_the_picture_and_change_its_side():
    faces = np.full((2, 128, 128, 3), 77, np.uint8)
    assert inputs(faces).shape == (2, 112, 112, 3)
    assert (inputs(faces) == 77).all()


def test_epochs_show_all_in_new_orders_and_keep_together_what_belongs_together():
    plain = Epochs(np.arange(12), 4, 2.0, seed=1)
    assert len(plain) == 6
    shown = [np.concatenate([plain.at(step)[0] for step in range(start, start + 3)]) for start in (0, 3)]
    assert all(sorted(rows) == list(range(12)) for rows in shown)
    assert shown[0].tolist() != shown[1].tolist()
    assert plain.at(2)[1].random() == plain.at(2)[1].random() != plain.at(3)[1].random()
    people = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 3, 3, 3])
    rows = np.concatenate([Epochs(np.arange(12), 4, 1.0, seed=1, together=people).at(step)[0] for step in range(3)])
    assert sorted(rows) == list(range(12))
    assert (np.diff(people[rows]) != 0).sum() == 3
