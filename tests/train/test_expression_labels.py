import zipfile
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from masquerade.errors import InputError, WeightsError  # noqa: E402
from masquerade.faces.align import template  # noqa: E402
from masquerade.faces.expression import CLASSES, MEASURES  # noqa: E402
from masquerade.models.runtime import open_session  # noqa: E402
from masquerade.train.data import read_archive  # noqa: E402
from masquerade.train.expression_labels import (  # noqa: E402
    AFFECT,
    Labels,
    Teacher,
    read_geometry,
    read_labels,
    read_lids,
    store,
    teacher_classes,
    without_identity,
)
from tests.train.archives import write_archives  # noqa: E402

SHARED = Path(__file__).resolve().parents[3] / "shared"


def test_labels_go_by_name_so_that_a_part_of_an_archive_finds_its_own(tmp_path):
    write_archives(tmp_path)
    with zipfile.ZipFile(tmp_path / "train.zip") as zipped:
        names = sorted(zipped.namelist())
    rng = np.random.default_rng(1)
    classes, geometry = rng.dirichlet(np.ones(7), 6), rng.random((6, 10))
    everybody = ["zz/9.png", *names[::-1], "a/1.png"]
    store(tmp_path / "train.expression.npz", everybody, classes)
    store(tmp_path / "train.geometry.npz", everybody, geometry)
    faces = read_archive(tmp_path / "train.zip", tmp_path / "cache", labelled=True)
    alone = read_geometry("train.zip", faces, tmp_path, tmp_path / "cache", tmp_path)
    labels = read_labels("train.zip", faces, tmp_path, tmp_path / "cache", tmp_path)
    assert np.array_equal(alone, labels.geometry)
    assert labels.classes == pytest.approx(classes[4:0:-1], abs=1e-3)
    assert labels.geometry == pytest.approx(geometry[4:0:-1], abs=1e-3)
    store(tmp_path / "train.geometry.npz", everybody[:-2], geometry[:-2])
    with pytest.raises(InputError, match=names[0]):
        read_labels("train.zip", faces, tmp_path, tmp_path / "cache", tmp_path)


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared")
def test_lids_are_found_about_the_eyes_at_any_side_and_kept(tmp_path):
    archive = SHARED / "data/portraits-256.zip"
    with zipfile.ZipFile(archive) as zipped, zipfile.ZipFile(tmp_path / "some.zip", "w") as some:
        for name in sorted(zipped.namelist())[:4]:
            some.writestr(name, zipped.read(name))
    found = []
    for side in (128, 256):
        cache = tmp_path / str(side)
        faces = read_archive(tmp_path / "some.zip", cache, labelled=False, side=side)
        found.append(read_lids("some.zip", faces, tmp_path, cache, SHARED / "models"))
        assert (cache / "some.lids.npz").is_file()
        assert np.array_equal(read_lids("some.zip", faces, tmp_path, cache, tmp_path), found[-1])
    eyes = template(128)[:2]
    for one in found:
        assert one.shape == (4, 2, 2, 9, 2)
        assert np.abs(one.mean((2, 3)) - eyes).max() < 6
    assert np.abs(found[0] - found[1]).max() < 1.5


def test_without_labels_and_without_a_teacher_it_says_what_is_missing(tmp_path):
    write_archives(tmp_path)
    faces = read_archive(tmp_path / "train.zip", tmp_path / "cache", labelled=True)
    with pytest.raises(WeightsError, match=r"fr_expression\.onnx"):
        read_labels("train.zip", faces, tmp_path, tmp_path / "cache", tmp_path)


def test_affect_is_the_classes_mean_and_doubtful_faces_have_no_class():
    classes = np.eye(7, dtype=np.float32)[[3, 4, 6]]
    mixed = np.array([[0.4, 0, 0, 0.6, 0, 0, 0]], np.float32)
    labels = Labels(np.concatenate([classes, mixed]), np.zeros((4, 10), np.float32))
    assert labels.affect[:3].tolist() == AFFECT[[3, 4, 6]].tolist()
    assert labels.affect[3] == pytest.approx(0.4 * AFFECT[0] + 0.6 * AFFECT[3])
    assert labels.hard(0.55).tolist() == [3, 4, 6, 3] and labels.hard(0.7).tolist() == [3, 4, 6, -1]
    assert len(AFFECT) == len(CLASSES)


def test_what_is_the_person_s_own_is_taken_away_and_what_is_done_with_the_face_stays():
    rng = np.random.default_rng(0)
    people = np.concatenate([np.repeat(np.arange(400), 5), 400 + np.arange(500)])
    smiling = rng.random(len(people)) < 0.5
    classes = np.eye(2, dtype=np.float32)[smiling.astype(int)]
    own = rng.normal(0, 2, (900, 1))[people]
    done = rng.normal(0, 1, (len(people), 1)) + 3 * smiling[:, None]
    cleaned = without_identity((own + done).astype(np.float32), classes, people)[:, 0]
    known = people < 400
    assert np.corrcoef(cleaned[known], done[known, 0])[0, 1] > 0.95
    assert abs(np.corrcoef(cleaned[known], own[known, 0])[0, 1]) < 0.15
    # Of who is seen once the best guess leaves w / (b + w), a fifth, of what no class explains.
    rest = cleaned[~known] - np.where(smiling[~known], cleaned[~known][smiling[~known]].mean(), 0)
    assert rest[~smiling[~known]].std() == pytest.approx(np.sqrt(5) / 5, rel=0.15)


def test_where_nobody_differs_nothing_is_taken_away():
    rng = np.random.default_rng(0)
    people, classes = np.repeat(np.arange(200), 4), np.ones((800, 1), np.float32)
    geometry = rng.standard_normal((800, 2)).astype(np.float32)
    assert np.abs(without_identity(geometry, classes, people) - geometry).max() < 0.15


@pytest.mark.skipif(not (SHARED / "models/fr_expression.onnx").is_file(), reason="needs the teacher's weights")
def test_the_teacher_in_torch_says_what_its_file_says():
    model = SHARED / "models/fr_expression.onnx"
    face = np.random.default_rng(0).random((1, 3, 224, 224), np.float32)
    expected = next(iter(open_session(model, threads=1).run({"input": face}).values()))
    with torch.no_grad():
        found = Teacher(model)(torch.from_numpy(face)).numpy()
    assert found == pytest.approx(expected, abs=0.05)
    assert np.abs(found).max() > 1
    crops = np.random.default_rng(1).integers(0, 256, (2, 128, 128, 3), np.uint8)
    said = teacher_classes(model, crops)
    assert said.sum(1) == pytest.approx([1, 1], abs=1e-5)
    assert said == pytest.approx(teacher_classes(model, np.ascontiguousarray(crops[:, :, ::-1])), abs=0.15)


def test_measures_have_names():
    assert len(set(MEASURES)) == 10
