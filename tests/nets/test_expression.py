import pytest

torch = pytest.importorskip("torch")

from masquerade.nets.expression import DIMENSIONS, ExpressionEmbedder, Projection  # noqa: E402


def test_an_embedder_makes_unit_vectors_reads_them_and_stays_small():
    torch.manual_seed(0)
    network = ExpressionEmbedder(7, 10).eval()
    with torch.no_grad():
        said = network(torch.rand(3, 3, 112, 112) * 2 - 1)
        projected = Projection()(said.embedding)
    assert [part.shape for part in said] == [(3, DIMENSIONS), (3, 7), (3, 2), (3, 10)]
    for vectors in (said.embedding, projected):
        assert torch.allclose(vectors.norm(dim=1), torch.ones(3), atol=1e-5)
    assert said.affect.abs().max() < 1
    assert 2 * sum(parameter.numel() for parameter in network.parameters()) < 8e6


def test_the_readings_see_nothing_but_the_embedding():
    torch.manual_seed(0)
    heads = ExpressionEmbedder(7, 10).heads.eval()
    features = torch.randn(2, 48 * 49)
    one, other = heads(features), heads(3 * features)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(one, other, strict=True))
