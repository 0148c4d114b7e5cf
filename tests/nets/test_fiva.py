import pytest

torch = pytest.importorskip("torch")

from masquerade.nets.fiva import FIVA  # noqa: E402
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
    return FIVA(side=64, width=4, dimensions=16)


def test_it_makes_a_crop_of_the_identity_and_a_mask(net):
    check_shapes(net, masked=True)
    check_identity_matters(net)


def test_it_learns(net):
    check_learns(net)


def test_it_exports(net):
    check_export(net)


def test_it_runs_in_half_precision(net):
    check_half_precision(net)


def test_where_the_mask_is_shut_the_target_stays_and_where_it_is_open_it_goes(net):
    crops, identities, _ = net.eval().examples()
    last = net.paint[-1]
    with torch.no_grad():
        last.weight[3].zero_()
        last.bias[3] = -60.0
        assert torch.allclose(net(crops, identities).crops, crops, atol=1e-6)
        last.bias[3] = 60.0
        result = net(crops, identities)
        assert torch.allclose(result.masks, torch.ones(1))
        other = net(torch.zeros_like(crops), identities)
        assert float((result.crops - crops).abs().mean()) > 0.1
        assert float(other.crops.abs().max()) <= 1


def test_a_swap_is_the_result_of_the_negated_source(net):
    crops, sources, _ = net.eval().examples()
    with torch.no_grad():
        assert torch.equal(net.swap(crops, sources).crops, net(crops, -sources).crops)
        assert not torch.allclose(net.swap(crops, sources).crops, net(crops, sources).crops, atol=1e-3)
