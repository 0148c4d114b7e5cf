"""Published weights → a swapper that opens."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("h5py")

from masquerade.nets.facedancer import CONFIGURATIONS, FaceDancer  # noqa: E402
from masquerade.swap.neural import open_swapper  # noqa: E402

from ..nets.test_import_keras import write_as_keras  # noqa: E402
from .command import masquerade  # noqa: E402


def test_a_keras_file_becomes_a_swapper_that_says_the_same(tmp_path):
    torch.manual_seed(4)
    net = FaceDancer(CONFIGURATIONS["c"], width=4, dimensions=16).eval()
    write_as_keras(net, tmp_path / "weights.h5")
    said = masquerade("models", "import", tmp_path / "weights.h5", "-o", tmp_path / "mine.onnx", "--json")
    assert said.code == 0, said
    swapper = open_swapper(tmp_path / "mine.toml")
    assert (swapper.name, swapper.side, swapper.dimensions) == ("facedancer-c", 256, 16)
    crops = np.random.default_rng(0).uniform(-1, 1, (1, 3, 256, 256)).astype(np.float32)
    identity = np.eye(1, 16, dtype=np.float32)
    with torch.no_grad():
        expected = net(torch.from_numpy(crops), torch.from_numpy(identity)).crops.numpy()
    np.testing.assert_allclose(swapper.swap(crops, identity).crops, expected.clip(-1, 1), atol=1e-3)


def test_what_is_no_such_file_is_refused_and_leaves_nothing(tmp_path):
    other = tmp_path / "weights.h5"
    other.write_bytes(b"not HDF5")
    masquerade("models", "import", other, "-o", tmp_path / "mine.onnx").refused("no-weights", other)
    masquerade("models", "import", other, "-o", tmp_path / "mine.pb").refused("bad-option", ".onnx")
    masquerade("models", "import", other, "-o", tmp_path / "none" / "mine.onnx").refused("bad-output", "mine.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["weights.h5"]
