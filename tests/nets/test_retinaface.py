"""The exported network computes what the PyTorch one does, at any size, and reads only its own weights."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from masquerade.errors import WeightsError  # noqa: E402
from masquerade.faces.detect import RetinaFace as Detector  # noqa: E402
from masquerade.faces.detect import open_any_size  # noqa: E402
from masquerade.nets.retinaface import RetinaFace, export  # noqa: E402


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    net = RetinaFace()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # as if trained: not the identity
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return net.eval()


def test_export_equals_torch_at_another_size_than_it_was_traced_at(net, tmp_path):
    file = tmp_path / "weights.pth"
    torch.save({f"module.{name}": tensor for name, tensor in net.state_dict().items()}, file)  # as DataParallel saves
    session = open_any_size(export(file), threads=1)
    picture = np.random.default_rng(0).normal(size=(1, 3, 96, 160)).astype(np.float32) * 50
    with torch.no_grad():
        expected = net(torch.from_numpy(picture))
    outputs = session.run({"input": picture})
    anchors = 2 * sum((96 // stride) * (160 // stride) for stride in (8, 16, 32))
    for output, reference, values in zip(outputs.values(), expected, (4, 2, 10), strict=True):
        assert output.shape == (1, anchors, values)
        np.testing.assert_allclose(output, reference.numpy(), atol=1e-3, rtol=1e-3)
    faces = Detector(session, threshold=0.0).detect([np.zeros((50, 70, 3), np.uint8)])[0]
    assert faces and all(np.isfinite(face.landmarks).all() for face in faces)


@pytest.mark.parametrize("content", [b"no weights", b""])
def test_what_is_no_state_dict_is_refused(content, tmp_path):
    file = tmp_path / "broken.pth"
    file.write_bytes(content)
    with pytest.raises(WeightsError, match=r"broken\.pth"):
        export(file)


def test_weights_of_another_network_are_refused(tmp_path):
    file = tmp_path / "other.pth"
    torch.save(torch.nn.Linear(2, 2).state_dict(), file)
    with pytest.raises(WeightsError, match=r"other\.pth"):
        export(file)
