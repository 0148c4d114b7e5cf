import pytest

torch = pytest.importorskip("torch")

from torch.nn.functional import softplus  # noqa: E402

from masquerade.nets.patches import PatchDiscriminator  # noqa: E402


def test_every_scale_gives_its_maps_and_last_its_logits():
    net = PatchDiscriminator(scales=3, width=4)
    results = net(torch.rand(2, 3, 64, 64))
    assert len(results) == 3
    for maps in results:
        assert [m.shape[1] for m in maps] == [4, 8, 16, 32, 1]
        assert all(m.shape[0] == 2 for m in maps)
    assert [maps[0].shape[-1] for maps in results] == [33, 17, 9]


def test_it_learns_to_tell_two_sets_apart():
    torch.manual_seed(0)
    net = PatchDiscriminator(width=8)
    real, fake = torch.rand(4, 3, 32, 32), -torch.rand(4, 3, 32, 32)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = sum((softplus(-r[-1]) + softplus(f[-1])).mean() for r, f in zip(net(real), net(fake), strict=True))
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert all(weight.grad.any() for weight in net.parameters())
