import pytest

torch = pytest.importorskip("torch")

from masquerade.nets.simswap import SimSwap  # noqa: E402
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
    return SimSwap(side=32, width=8, blocks=2, dimensions=16)


def test_it_makes_a_crop_of_the_identity(net):
    check_shapes(net)
    check_identity_matters(net)


def test_it_learns(net):
    check_learns(net)


def test_it_exports(net):
    check_export(net)


def test_it_runs_in_half_precision(net):
    check_half_precision(net)


def test_the_identity_acts_only_in_the_bottleneck(net):
    for block in net.bottleneck:
        for style in (block.first_style, block.second_style):
            torch.nn.init.zeros_(style.style.weight)
    crops = torch.rand(1, 3, 32, 32)
    net.eval()
    with torch.no_grad():
        assert torch.equal(net(crops, torch.randn(1, 16)).crops, net(crops, torch.randn(1, 16)).crops)


def test_at_the_papers_size_the_bottleneck_is_28_px_with_512_channels():
    with torch.device("meta"):
        net = SimSwap()
    assert len(net.bottleneck) == 9
    assert net.encoder(torch.zeros(1, 3, 224, 224, device="meta")).shape == (1, 512, 28, 28)
