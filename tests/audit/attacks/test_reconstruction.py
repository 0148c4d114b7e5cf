import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("openvino")

from masquerade.audit.attacks import open_adversary  # noqa: E402
from masquerade.errors import WeightsError  # noqa: E402
from masquerade.models.cards import PACKAGED  # noqa: E402
from masquerade.nets.compact import Compact  # noqa: E402
from masquerade.nets.reconstruction import Reconstructor  # noqa: E402
from masquerade.train.attack import build_encoder  # noqa: E402
from masquerade.train.export import export_generator  # noqa: E402
from masquerade.train.grids import pixels  # noqa: E402
from tests.train.archives import smooth  # noqa: E402


def test_an_exported_adversary_guesses_what_it_guessed_in_training(tmp_path):
    torch.manual_seed(0)
    generator = Compact(side=64, widths=(8, 12, 16, 24), style=16).eval()
    export_generator(generator, tmp_path / "adversary.onnx")
    crops = smooth(np.random.default_rng(0), 3, side=64)
    adversary = open_adversary(tmp_path / "adversary.onnx", threads=1)
    assert adversary.side == 64
    with torch.no_grad():
        expected = Reconstructor(generator, build_encoder())(
            torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 127.5 - 1
        )
    guesses = adversary.guess(crops)
    assert guesses.shape == crops.shape
    # The encoder sees the crop enlarged by another filter, and weights are stored in half precision.
    assert np.abs(guesses.astype(int) - pixels(expected)).mean() < 1.5
    assert adversary.guess(crops[:0]).shape == (0, 64, 64, 3)


def test_what_is_no_adversary_is_refused():
    with pytest.raises(WeightsError, match="no adversary"):
        open_adversary(PACKAGED / "guard.onnx")
