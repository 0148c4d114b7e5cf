import pytest

torch = pytest.importorskip("torch")

from masquerade.nets.compact import Compact  # noqa: E402
from masquerade.nets.generators import GENERATORS  # noqa: E402
from masquerade.nets.reconstruction import ADVERSARIES, Reconstructor  # noqa: E402


class Mean(torch.nn.Module):
    """Says of a face which colour it has on average."""

    def forward(self, crops):
        assert crops.shape[2:] == (112, 112)
        return crops.mean((2, 3))


def test_the_adversary_is_told_what_its_own_input_shows():
    torch.manual_seed(0)
    generator = Compact(side=64, dimensions=3, widths=(4, 8, 8, 8), style=4)
    reconstruct = Reconstructor(generator, Mean()).eval()
    crops = (torch.rand(2, 3, 64, 64) * 2 - 1).requires_grad_()
    guess = reconstruct(crops)
    assert guess.shape == crops.shape
    # The picture is brought to 112 px by whole weights, so that its mean is nearly that of the crop.
    small = torch.nn.functional.interpolate(crops, (112, 112), mode="bilinear").mean((2, 3))
    torch.testing.assert_close(guess, generator(crops, small).crops)
    (gradient,) = torch.autograd.grad(guess.sum(), crops)
    assert gradient.abs().max() > 0


def test_both_adversaries_are_generators():
    assert set(ADVERSARIES.values()) <= set(GENERATORS)
