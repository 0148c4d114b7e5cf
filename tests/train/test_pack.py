import zipfile

import cv2
import numpy as np
import pytest

from masquerade.errors import InputError
from masquerade.train.data import read_archive
from masquerade.train.pack import pack


@pytest.fixture
def archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as zipped:
        for person in range(5):
            for i in range(3):
                face = np.full((128, 128, 3), 40 * person + i, np.uint8)
                zipped.writestr(f"{person}/{i}.png", cv2.imencode(".png", face)[1].tobytes())
    np.save(tmp_path / "all.npy", np.repeat(np.arange(15, dtype=np.float32)[:, None], 4, 1))
    return tmp_path / "faces.zip"


def test_some_people_with_all_their_pictures_and_their_embeddings(archive, tmp_path):
    packed = tmp_path / "packed" / "faces.zip"
    assert pack(archive, packed, tmp_path / "all.npy", 3) == 9
    faces = read_archive(packed, tmp_path / "cache", labelled=True)
    assert faces.people.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert faces.faces[:, 0, 0, 0].tolist() == [0, 1, 2, 80, 81, 82, 160, 161, 162]
    vectors = np.load(tmp_path / "packed" / "faces.fr_feature2.npy")
    assert vectors.dtype == np.float16
    assert vectors[:, 0].tolist() == [0, 1, 2, 6, 7, 8, 12, 13, 14]


def test_embeddings_of_another_archive_are_refused(archive, tmp_path):
    np.save(tmp_path / "all.npy", np.zeros((4, 4), np.float32))
    with pytest.raises(InputError, match="4 embeddings of 15 pictures"):
        pack(archive, tmp_path / "packed.zip", tmp_path / "all.npy", 2)
    assert not (tmp_path / "packed.zip").exists()
