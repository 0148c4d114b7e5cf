import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("openvino")

from masquerade.nets.compact import Compact  # noqa: E402
from masquerade.train.data import FaceSet  # noqa: E402
from masquerade.train.export import export_generator  # noqa: E402
from masquerade.train.grids import pixels  # noqa: E402
from masquerade.train.judge import landmarks, open_swapper, openness, pairs, recognised  # noqa: E402
from masquerade.train.teachers import poses  # noqa: E402

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="third-party networks and faces are not at hand")


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_shares_tell_who_is_found():
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((60, 512))
    people = np.repeat(np.arange(60), 3)
    known = unit(centres[people] + 0.2 * rng.standard_normal((180, 512)))
    target, source = known[::3], known[(np.arange(0, 180, 3) + 90) % 180]
    made = unit(source + 0.05 * rng.standard_normal(source.shape))
    made[:6], made[6:9] = target[:6], -target[6:9]
    found = recognised(known, people, target, source, made)
    assert found.own == pytest.approx(6 / 60, abs=0.02)
    assert found.negated == pytest.approx(3 / 60, abs=0.02)
    assert found.source == pytest.approx(51 / 60, abs=0.02)
    assert found.strangers <= 0.02
    assert found.people == 1


def test_targets_meet_other_people():
    faces = FaceSet(np.zeros((40, 128, 128, 3), np.uint8), np.repeat(np.arange(10), 4))
    targets, sources = pairs(faces, 20)
    assert len(np.unique(targets)) == 20 and sorted(targets) == sorted(sources)
    assert (faces.people[targets] != faces.people[sources]).all()


def test_openness_is_height_by_width():
    points = np.zeros((1, 68, 2), np.float32)
    points[0, [60, 64]] = [(40, 90), (70, 90)]
    for top, bottom in [(61, 67), (62, 66), (63, 65)]:
        points[0, [top, bottom]] = [(50, 85), (50, 100)]
    for left, right, top, bottom in [(36, 39, (37, 38), (41, 40)), (42, 45, (43, 44), (47, 46))]:
        points[0, [left, right]] = [(30, 50), (50, 50)]
        points[0, list(top)], points[0, list(bottom)] = (35, 48), (35, 52)
    np.testing.assert_allclose(openness(points), [[15 / 30, 4 / 20]])


def test_a_checkpoint_and_its_export_make_the_same_faces(tmp_path):
    torch.manual_seed(0)
    net = Compact().eval()
    with torch.no_grad():
        for weight in net.parameters():
            weight.copy_(weight.half().float())
    torch.save({"averages": {"generator": net.state_dict()}}, tmp_path / "checkpoint.pt")
    export_generator(net, tmp_path / "swapper.onnx")
    faces = np.random.default_rng(0).integers(0, 256, (17, 128, 128, 3), np.uint8)
    wanted = unit(np.random.default_rng(1).standard_normal((17, 512)))
    ours, theirs = (open_swapper(tmp_path / name)(faces, wanted) for name in ("checkpoint.pt", "swapper.onnx"))
    assert ours.shape == faces.shape and ours.dtype == np.uint8
    assert np.abs(ours.astype(int) - theirs).max() <= 1
    with torch.no_grad():
        last = net(torch.from_numpy(faces[16:]).permute(0, 3, 1, 2) / 127.5 - 1, torch.from_numpy(wanted[16:])).crops
    assert np.abs(pixels(last)[0].astype(int) - ours[16]).max() <= 1


@pytest.fixture
def portraits():
    with zipfile.ZipFile(SHARED / "data" / "portraits-256.zip") as zipped:
        names = sorted(name for name in zipped.namelist() if name.endswith(".webp"))[::500]
        read = [cv2.imdecode(np.frombuffer(zipped.read(name), np.uint8), cv2.IMREAD_COLOR_RGB) for name in names]
    return np.stack([cv2.resize(face, (128, 128), interpolation=cv2.INTER_AREA) for face in read])


@needs_shared
def test_a_mirrored_head_turns_the_other_way(portraits):
    model = SHARED / "models" / "fr_pose.onnx"
    here, there = poses(model, portraits), poses(model, portraits[:, :, ::-1])
    assert np.abs(here[:, 0] + there[:, 0]).mean() < 4
    assert np.abs(here[:, 1] - there[:, 1]).mean() < 4
    assert np.abs(here[:, 0]).max() > 5


@needs_shared
def test_landmarks_lie_where_the_crop_was_aligned_to(portraits):
    points = landmarks(SHARED / "models" / "fr_landmark.onnx", portraits)
    eyes = np.stack([points[:, 36:42].mean(1), points[:, 42:48].mean(1)], 1)
    expected = np.array([(38.2946, 51.6963), (73.5318, 51.5014)]) * 128 / 112
    assert np.linalg.norm(eyes - expected, axis=2).mean() < 5
