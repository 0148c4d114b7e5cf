import pytest

torch = pytest.importorskip("torch")

from masquerade.nets.faceshifter import _AAD, FaceShifter  # noqa: E402
from tests.nets.generators import (  # noqa: E402
    check_export,
    check_half_precision,
    check_identity_matters,
    check_learns,
    check_shapes,
)


@pytest.fixture
def net():
    torch.manual_seed(1)
    return FaceShifter(side=32, width=2, dimensions=16)


def test_it_makes_a_crop_of_the_identity(net):
    check_shapes(net)
    check_identity_matters(net)


def test_it_learns(net):
    check_learns(net)


def test_it_exports(net):
    check_export(net)


def test_it_runs_in_half_precision(net):
    check_half_precision(net)


def test_attributes_at_256_are_eight_maps_of_the_published_sizes():
    with torch.device("meta"):
        net = FaceShifter()
    maps = net.attributes(torch.zeros(1, 3, 256, 256, device="meta"))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (1024, 2, 2),
        (2048, 4, 4),
        (1024, 8, 8),
        (512, 16, 16),
        (256, 32, 32),
        (128, 64, 64),
        (64, 128, 128),
        (64, 256, 256),
    ]
    assert [m.shape[1] for m in maps] == net.attributes.channels
    channels = [stage.first.norm.num_features for stage in net.stages]
    assert channels == [1024, 1024, 1024, 1024, 512, 256, 128, 64]


def test_aad_lets_the_mask_choose_between_attributes_and_identity():
    torch.manual_seed(0)
    layer = _AAD(4, 3, 5).eval()
    h, attributes, z = torch.randn(2, 4, 6, 6), torch.randn(2, 3, 6, 6), torch.randn(2, 5)
    torch.nn.init.zeros_(layer.decide.weight)
    normed = layer.norm(h)
    with torch.no_grad():
        layer.decide.bias.fill_(60.0)
        scale, shift = layer.by_identity(z)[:, :, None, None].chunk(2, 1)
        assert torch.allclose(layer(h, attributes, z), scale * normed + shift, atol=1e-5)
        layer.decide.bias.fill_(-60.0)
        scale, shift = layer.by_attributes(attributes).chunk(2, 1)
        assert torch.allclose(layer(h, attributes, z), scale * normed + shift, atol=1e-5)
