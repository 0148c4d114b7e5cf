import pytest

torch = pytest.importorskip("torch")

from masquerade.train.muon import Muon, orthogonal  # noqa: E402


@pytest.mark.parametrize("shape", [(8, 72), (72, 8), (16, 16)])
def test_orthogonal_keeps_directions_and_levels_their_sizes(shape):
    torch.manual_seed(0)
    left, sizes, right = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    sizes = torch.linspace(1, 0.05, len(sizes))
    found = torch.linalg.svd(orthogonal(left @ torch.diag(sizes) @ right), full_matrices=False)
    assert found[1].min() > 0.6 and found[1].max() < 1.25
    polar = left @ right
    assert float((orthogonal(left @ torch.diag(sizes) @ right) * polar).sum() / polar.norm() ** 2) > 0.8


def test_a_step_changes_a_bank_by_its_rate_and_keeps_its_size():
    torch.manual_seed(0)
    bank = torch.nn.Parameter(torch.randn(8, 4, 3, 3))
    before = bank.detach().clone()
    bank.grad = torch.randn_like(bank)
    Muon([bank], lr=0.05).step()
    assert float(bank.norm()) == pytest.approx(float(before.norm()), rel=1e-5)
    assert float((bank - before).norm() / before.norm()) == pytest.approx(0.05, rel=0.1)
    assert float((bank.grad * (bank - before)).sum()) < 0


def test_it_learns_a_bank_of_filters():
    torch.manual_seed(0)
    wanted = torch.nn.functional.normalize(torch.randn(6, 3, 3, 3).flatten(1)).view(6, 3, 3, 3)
    bank = torch.nn.Parameter(torch.randn_like(wanted) * wanted.std())
    optimizer = Muon([bank], lr=0.1)
    for i in range(150):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - i / 150)
        optimizer.zero_grad()
        (bank - wanted).square().sum().backward()
        optimizer.step()
    assert float(torch.nn.functional.cosine_similarity(bank.flatten(), wanted.flatten(), dim=0)) > 0.95
