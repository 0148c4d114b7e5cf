import pytest

torch = pytest.importorskip("torch")

from masquerade.nets.encoder import ENCODERS  # noqa: E402


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_makes_unit_vectors_and_stays_small(name):
    torch.manual_seed(0)
    encoder = ENCODERS[name]().eval()
    with torch.no_grad():
        embeddings = encoder(torch.rand(3, 3, 112, 112) * 2 - 1)
    assert embeddings.shape == (3, encoder.dimensions)
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(3), atol=1e-5)
    assert 2 * sum(parameter.numel() for parameter in encoder.parameters()) < 4e6


def test_the_two_encoders_share_no_shape_of_convolution_past_the_stem():
    shapes = [
        {m.weight.shape for m in list(encoder().modules()) if isinstance(m, torch.nn.Conv2d)}
        for encoder in ENCODERS.values()
    ]
    assert not shapes[0] & shapes[1]
