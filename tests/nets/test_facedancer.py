import pytest

torch = pytest.importorskip("torch")

from masquerade.nets.facedancer import CONFIGURATIONS, Discriminator, FaceDancer, Fusion  # noqa: E402
from tests.nets.generators import (  # noqa: E402
    check_export,
    check_half_precision,
    check_identity_matters,
    check_learns,
    check_shapes,
)


def small(name):
    torch.manual_seed(1)
    return FaceDancer(CONFIGURATIONS[name], side=64, width=8, dimensions=32)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_configuration_makes_a_crop_of_the_identity(name):
    net = small(name)
    check_shapes(net)
    check_identity_matters(net)


@pytest.mark.parametrize("name", ["baseline-1", "baseline-2", "c", "e"])
def test_every_configuration_learns(name):
    check_learns(small(name))


@pytest.mark.parametrize("name", ["baseline-1", "baseline-2", "b", "d"])
def test_every_configuration_exports(name):
    check_export(small(name))


@pytest.mark.parametrize("name", ["baseline-2", "c"])
def test_it_runs_in_half_precision(name):
    check_half_precision(small(name))


def test_stages_at_256_have_the_sizes_of_the_published_network():
    with torch.device("meta"):
        net = FaceDancer(CONFIGURATIONS["c"])
    shapes = {}
    for name, stage in [("first", net.first), ("bottom", net.bottom), ("turn", net.turn)]:
        stage.register_forward_hook(lambda _, __, out, name=name: shapes.update({name: tuple(out.shape[1:])}))
    for kind, stages in [("down", net.encoder), ("up", net.decoder)]:
        for index, stage in enumerate(stages):
            key = f"{kind} {index}"
            stage.register_forward_hook(lambda _, __, out, name=key: shapes.update({name: tuple(out.shape[1:])}))
    net(torch.zeros(1, 3, 256, 256, device="meta"), torch.zeros(1, 512, device="meta"))
    assert shapes == {
        "first": (64, 256, 256),
        "down 0": (128, 128, 128),
        "down 1": (256, 64, 64),
        "down 2": (512, 32, 32),
        "down 3": (512, 16, 16),
        "down 4": (512, 8, 8),
        "bottom": (512, 8, 8),
        "turn": (512, 8, 8),
        "up 0": (512, 16, 16),
        "up 1": (512, 32, 32),
        "up 2": (256, 64, 64),
        "up 3": (128, 128, 128),
        "up 4": (64, 256, 256),
        "up 5": (3, 256, 256),
    }


def test_configurations_differ_as_the_table_says():
    def has(name, fusion):
        return fusion in CONFIGURATIONS[name].fusions

    assert not any(has(name, Fusion.AFFA) for name in ("baseline-1", "baseline-2"))
    assert all(has(name, Fusion.AFFA) for name in "abcde")
    assert [name for name, c in CONFIGURATIONS.items() if not c.ifsr] == ["a"]
    assert [name for name, c in CONFIGURATIONS.items() if c.mapping_depth == 0] == ["e"]
    assert [name for name, c in CONFIGURATIONS.items() if Fusion.NONE not in c.fusions and has(name, Fusion.AFFA)] == [
        "d",
        "e",
    ]
    assert CONFIGURATIONS["d"].fusions == CONFIGURATIONS["e"].fusions


def test_without_mapping_the_identity_reaches_the_norms_as_it_is():
    net = small("e")
    z = torch.randn(2, 32)
    assert torch.equal(net.mapping(z), z)


def test_discriminator_gives_one_logit_a_crop_and_learns_to_tell_two_sets_apart():
    torch.manual_seed(0)
    net = Discriminator(side=128, width=4)
    real, fake = torch.rand(4, 3, 128, 128), -torch.rand(4, 3, 128, 128)
    assert net(real).shape == (4,)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = (torch.nn.functional.softplus(net(fake)) + torch.nn.functional.softplus(-net(real))).mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert all(weight.grad is not None for weight in net.parameters())
