import numpy as np
import pytest

from masquerade.errors import InputError
from masquerade.train.expression_affectnet import CLASSES, read_affectnet
from tests.train.affectnet import write_affectnet


@pytest.fixture
def folder(tmp_path):
    return write_affectnet(tmp_path / "AffectNet", {0: 3, 1: 2, 6: 4})


def test_pictures_and_labels_belong_together_at_any_side(folder, tmp_path):
    train = read_affectnet(folder, "train", tmp_path / "cache", side=64)
    assert train.faces.shape == (9, 64, 64, 3) and train.faces.dtype == np.uint8
    assert [CLASSES[number] for number in train.classes] == ["neutral"] * 3 + ["happiness"] * 2 + ["anger"] * 4
    assert train.affect[:, 0] == pytest.approx([0] * 3 + [0.8] * 2 + [-0.6] * 4)
    assert train.affect[:, 1] == pytest.approx([0.1] * 9)
    assert len(read_affectnet(folder, "val", tmp_path / "cache", side=64)) == 18
    # From the cache from now on: the pictures may go.
    before = train.faces.copy()
    (folder / "train_set" / "images" / "0.jpg").write_bytes(b"")
    assert np.array_equal(read_affectnet(folder, "train", tmp_path / "cache", side=64).faces, before)
    with pytest.raises(InputError, match=r"0\.jpg"):
        read_affectnet(folder, "train", tmp_path / "cache", side=32)


def test_labels_may_be_numbers_and_faces_that_nobody_could_name_are_left_out(folder, tmp_path):
    labels = folder / "train_set" / "annotations"
    np.save(labels / "0_exp.npy", np.array(9))
    np.save(labels / "0_val.npy", np.array(-2.0))
    np.save(labels / "1_val.npy", np.array(0.25))
    train = read_affectnet(folder, "train", tmp_path / "cache", side=32)
    assert len(train) == 8 and train.affect[0, 0] == 0.25


def test_what_is_not_affectnet_is_refused(folder, tmp_path):
    with pytest.raises(InputError, match="no pictures"):
        read_affectnet(tmp_path, "train", tmp_path, side=32)
    labels = folder / "train_set" / "annotations"
    np.save(labels / "2_aro.npy", np.array("1.5"))
    with pytest.raises(InputError, match="between -1 and 1"):
        read_affectnet(folder, "train", tmp_path, side=32)
    (labels / "2_aro.npy").unlink()
    with pytest.raises(InputError, match=r"2_aro\.npy: .*no label"):
        read_affectnet(folder, "train", tmp_path, side=32)
    assert list(tmp_path.glob("*.npy")) == []


def test_a_cache_of_other_pictures_is_not_taken_for_these(folder, tmp_path):
    read_affectnet(folder, "train", tmp_path, side=32)
    (folder / "train_set" / "images" / "0.jpg").unlink()
    with pytest.raises(InputError, match="other pictures"):
        read_affectnet(folder, "train", tmp_path, side=32)
