import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
openvino = pytest.importorskip("openvino")

from masquerade.errors import WeightsError  # noqa: E402
from masquerade.train import geometry  # noqa: E402
from masquerade.train.mesh import FaceMesh, convert  # noqa: E402

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
NETWORK = SHARED / "models" / "face_landmark.tflite"
PHOTOS = SHARED / "data" / "celeba-val-128.zip"
ops = openvino.opset13


def small(path, last="PRelu", points=468):
    """A network of every operation the mesh has, as random as can be, written as OpenVINO's own file."""
    rng = np.random.default_rng(0)

    def weight(*shape):
        return ops.constant(rng.normal(0, 0.3, shape).astype(np.float16).astype(np.float32))

    def prelu(x, channels):
        return ops.prelu(x, weight(1, channels, 1, 1))

    picture = ops.parameter([1, 192, 192, 3], np.float32)
    x = ops.transpose(picture, np.array([0, 3, 1, 2]))
    x = ops.convolution(x, weight(4, 3, 3, 3), [8, 8], [0, 0], [1, 1], [1, 1])
    x = prelu(ops.add(x, weight(1, 4, 1, 1)), 4)
    inner = ops.group_convolution(x, weight(4, 1, 1, 3, 3), [1, 1], [1, 1], [1, 1], [1, 1])
    x = prelu(ops.add(x, ops.add(inner, weight(1, 4, 1, 1))), 4)
    x = ops.max_pool(x, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2])
    more = ops.constant(np.array([0, 2, 0, 0]))
    x = ops.pad(x.output(0), ops.constant(np.array([0, 0, 0, 0])), more, "constant", ops.constant(np.float32(0)))
    x = prelu(x, 6) if last == "PRelu" else ops.sigmoid(x)
    x = ops.add(ops.convolution(x, weight(3 * points, 6, 12, 12), [12, 12], [0, 0], [0, 0], [1, 1]),
                weight(1, 3 * points, 1, 1))  # fmt: skip
    presence = ops.convolution(picture, weight(1, 192, 192, 3), [1, 1], [0, 0], [0, 0], [1, 1])
    outputs = [ops.transpose(presence, np.array([0, 2, 3, 1])), ops.transpose(x, np.array([0, 2, 3, 1]))]
    openvino.save_model(openvino.Model(outputs, [picture]), path, compress_to_fp16=False)
    return path


def asked(network, pictures):
    compiled = openvino.Core().compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    (output,) = (one for one in compiled.outputs if one.shape[-1] == 3 * 468)
    return np.stack([compiled(picture[None])[output].reshape(468, 3) for picture in pictures])


def test_a_converted_network_says_what_openvino_says_and_passes_gradients(tmp_path):
    convert(small(tmp_path / "small.xml"), tmp_path / "small.npz")
    mesh = FaceMesh(tmp_path / "small.npz")
    pictures = np.random.default_rng(1).random((2, 192, 192, 3), np.float32)
    found = mesh.points(torch.from_numpy(pictures).permute(0, 3, 1, 2))
    np.testing.assert_allclose(found, asked(tmp_path / "small.xml", pictures), atol=1e-3)
    crops = (torch.rand(2, 3, 128, 128) * 2 - 1).requires_grad_()
    mesh(crops).square().sum().backward()
    assert (crops.grad.abs().amax((1, 2, 3)) > 0).all() and crops.grad.isfinite().all()
    assert not list(mesh.parameters())


def test_points_are_as_exact_under_autocast(tmp_path):
    convert(small(tmp_path / "small.xml"), tmp_path / "small.npz")
    mesh, crops = FaceMesh(tmp_path / "small.npz"), torch.rand(1, 3, 128, 128) * 2 - 1
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = mesh(crops)
    assert found.dtype == torch.float32
    assert torch.equal(found, mesh(crops))


def test_what_cannot_be_read_is_said(tmp_path):
    with pytest.raises(WeightsError, match="Sigmoid"):
        convert(small(tmp_path / "other.xml", last="Sigmoid"), tmp_path / "other.npz")
    with pytest.raises(WeightsError, match="468 points"):
        convert(small(tmp_path / "fewer.xml", points=68), tmp_path / "other.npz")
    with pytest.raises(WeightsError, match="no such network"):
        convert(tmp_path / "none.tflite", tmp_path / "other.npz")
    (tmp_path / "text.tflite").write_text("not a network")
    with pytest.raises(WeightsError, match="OpenVINO"):
        convert(tmp_path / "text.tflite", tmp_path / "other.npz")
    assert not list(tmp_path.glob("other.npz*"))
    with pytest.raises(WeightsError, match="no such mesh"):
        FaceMesh(tmp_path / "other.npz")
    np.savez(tmp_path / "half.npz", steps=np.array(json.dumps([])), other=np.zeros(3))
    (tmp_path / "text.npz").write_text("not a mesh")
    for name in ("half.npz", "text.npz"):
        with pytest.raises(WeightsError, match="not a mesh"):
            FaceMesh(tmp_path / name)


@pytest.mark.skipif(not (NETWORK.is_file() and PHOTOS.is_file()), reason="needs MediaPipe's face mesh and photos")
def test_the_mesh_here_is_mediapipes(tmp_path):
    convert(NETWORK, tmp_path / "mesh.npz")
    mesh = FaceMesh(tmp_path / "mesh.npz")
    with zipfile.ZipFile(PHOTOS) as zipped:
        names = [name for name in sorted(zipped.namelist()) if not name.endswith("/")][::250]
        files = [np.frombuffer(zipped.read(name), np.uint8) for name in names]
    faces = np.stack([cv2.cvtColor(cv2.imdecode(file, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB) for file in files])
    wide = np.stack([cv2.resize(face, (192, 192)) for face in faces]).astype(np.float32) / 255
    found = mesh.points(torch.from_numpy(wide).permute(0, 3, 1, 2)).numpy()
    assert np.abs(found - asked(NETWORK, wide)).max() < 0.1  # of 192 px
    crops = torch.from_numpy(faces).permute(0, 3, 1, 2).float() / 127.5 - 1
    expected = geometry.mesh(NETWORK.parent)(faces)
    assert np.abs(mesh(crops).numpy() - expected).max() < 0.5  # OpenCV rounds where it looks to 1/32 of a pixel
