import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from masquerade.nets.upscaler import Upscaler, enlarged  # noqa: E402


def random(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def trained():
    torch.manual_seed(0)
    network = Upscaler()
    torch.nn.init.normal_(network.paint[0].weight, std=0.05)
    return network


def test_before_it_has_learnt_anything_it_is_opencvs_enlargement():
    crops = random(2, 3, 24, 32)
    made = Upscaler()(crops).detach().numpy()
    for one, crop in zip(made, crops.numpy(), strict=True):
        expected = cv2.resize(crop.transpose(1, 2, 0), (64, 48), interpolation=cv2.INTER_CUBIC)
        np.testing.assert_allclose(one.transpose(1, 2, 0), expected, atol=1e-5)


def test_it_is_small_enough_to_ship():
    assert sum(parameter.numel() for parameter in Upscaler().parameters()) < 250_000


def test_every_layer_learns():
    network = trained()
    network(random(1, 3, 16, 16)).square().mean().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in network.parameters())


def test_a_patch_is_enlarged_as_it_is_within_the_whole():
    """What is learnt from patches holds for crops: far from a patch's border it does not matter what lies beyond."""
    network, crop = trained().eval(), random(1, 3, 96, 96)
    reach = 28  # 14 layers of 3x3 at half the side
    with torch.no_grad():
        whole, patch = network(crop), network(crop[..., 10:90, 4:84])
        inside = slice(2 * (reach + 4), 2 * (80 - reach - 4))
        expected = whole[..., 20:180, 8:168][..., inside, inside]
    torch.testing.assert_close(patch[..., inside, inside], expected, rtol=0, atol=1e-5)
    assert (whole - enlarged(crop)).abs().mean() > 1e-3
