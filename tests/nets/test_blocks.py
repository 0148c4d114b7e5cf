import pytest

torch = pytest.importorskip("torch")

from masquerade.nets.blocks import AFFA, AdaIN, ResidualUp, double, mapping  # noqa: E402


def test_adain_gives_each_channel_the_identitys_mean_and_deviation():
    torch.manual_seed(0)
    layer = AdaIN(5, 7).double()
    x = torch.randn(2, 5, 16, 16, dtype=torch.float64) * 30 + 4
    z = torch.randn(2, 7, dtype=torch.float64)
    y = layer(x, z)
    assert torch.allclose(y.mean((2, 3)), layer.shift(z), atol=1e-6)
    assert torch.allclose(y.std((2, 3), correction=0), layer.scale(z).abs(), rtol=1e-4)


def test_affa_chooses_each_value_between_its_two_sources():
    torch.manual_seed(0)
    layer = AFFA(8)
    skip, features = torch.randn(2, 8, 6, 6), torch.randn(2, 8, 6, 6)
    mask = layer.mask(skip, features)
    assert mask.shape == skip.shape
    assert torch.allclose(layer(skip, features), (1 - mask) * skip + mask * features, atol=1e-6)
    with torch.no_grad():
        layer.decide.bias.fill_(50.0)
    assert torch.allclose(layer(skip, features), features, atol=1e-5)
    with torch.no_grad():
        layer.decide.bias.fill_(-50.0)
    assert torch.allclose(layer(skip, features), skip, atol=1e-5)


def test_doubling_the_sum_is_doubling_both_halves():
    torch.manual_seed(0)
    block, z = ResidualUp(6, 4, 3), torch.randn(2, 3)
    x = torch.randn(2, 6, 5, 5)
    main = block.convolution(torch.nn.functional.leaky_relu(block.adain(x, z), 0.2))
    assert torch.allclose(block(x, z), double(main) + double(block.skip(x)), atol=1e-5)


def test_doubling_keeps_a_ramp_a_ramp():
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    expected = torch.arange(16.0) / 2 - 0.25
    assert torch.allclose(double(ramp)[0, 0, 5, 1:-1], expected[1:-1])


@pytest.mark.parametrize("depth", [0, 1, 4])
def test_mapping_has_as_many_linear_layers_as_it_says_and_ends_in_one(depth):
    net = mapping(10, 12, depth)
    linear = [layer for layer in net if isinstance(layer, torch.nn.Linear)]
    assert len(linear) == depth
    assert net(torch.randn(2, 10)).shape == (2, 12 if depth else 10)
    if depth:
        assert net[-1] is linear[-1]
