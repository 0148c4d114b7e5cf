"""The losses on the networks they are for, with frozen encoders: steps of FaceDancer's and of FIVA's training."""

import pytest

torch = pytest.importorskip("torch")

from masquerade.nets.encoder import Driver  # noqa: E402
from masquerade.nets.facedancer import CONFIGURATIONS, FaceDancer  # noqa: E402
from masquerade.nets.fiva import FIVA  # noqa: E402
from masquerade.nets.patches import PatchDiscriminator  # noqa: E402
from masquerade.train.losses import adversarial, feature_matching, reconstruction  # noqa: E402
from masquerade.train.losses.counterfactual import counterfactual, mask_area  # noqa: E402
from masquerade.train.losses.cycle import cycle  # noqa: E402
from masquerade.train.losses.identity import identity  # noqa: E402
from masquerade.train.losses.ifsr import block_features, ifsr  # noqa: E402
from masquerade.train.losses.perceptual import perceptual  # noqa: E402

SIDE, BLOCKS = 64, ["stem", "middle"]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return Driver().eval().requires_grad_(False)


def faces(n=3):
    """Smooth pictures, each another."""
    coarse = torch.randn(n, 3, 6, 6, generator=torch.Generator().manual_seed(4))
    return torch.nn.functional.interpolate(coarse, size=(SIDE, SIDE), mode="bicubic").tanh()


def test_facedancers_losses_reach_every_weight_and_fall(encoder):
    torch.manual_seed(1)
    generator = FaceDancer(CONFIGURATIONS["c"], side=SIDE, width=4)
    judge = PatchDiscriminator(width=4)
    optimizer = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.0, 0.99))
    judging = torch.optim.Adam(judge.parameters(), lr=1e-4, betas=(0.0, 0.99))
    target = faces()
    source = target[[0, 2, 1]]
    same = torch.tensor([True, False, False])
    z_target, z_source = encoder(target), encoder(source)
    wanted = block_features(encoder, BLOCKS, target)
    totals = []
    for step in range(6):
        result = generator(target, z_source).crops
        fake = judge(result)
        parts = {
            "adversarial": sum(adversarial.logistic_generator(maps[-1]) for maps in fake),
            "identity": 10 * identity(z_source, encoder(result)),
            "ifsr": ifsr(wanted, block_features(encoder, BLOCKS, result), [0.05, 0.1]),
            "reconstruction": 5 * reconstruction.absolute(target, result, same),
            "perceptual": 0.2 * perceptual(lambda x: block_features(encoder, BLOCKS, x), target, result, same),
            "cycle": cycle(target, generator(result, z_target).crops),
            "matching": feature_matching.weak_feature_matching(judge(target), fake, last=1),
        }
        if step == 0:
            for name, part in parts.items():
                gradients = torch.autograd.grad(part, generator.first.weight, retain_graph=True)
                assert torch.isfinite(gradients[0]).all() and gradients[0].any(), name
        total = sum(parts.values())
        optimizer.zero_grad()
        total.backward()
        assert all(weight.grad.any() for weight in generator.parameters())
        optimizer.step()
        totals.append(float(total.detach()))

        real = source.clone().requires_grad_()
        judged = judge(real)
        loss = sum(
            adversarial.logistic_discriminator(r[-1], f[-1]) + adversarial.r1(r[-1], real)
            for r, f in zip(judged, judge(result.detach()), strict=True)
        )
        judging.zero_grad()
        loss.backward()
        assert all(torch.isfinite(weight.grad).all() for weight in judge.parameters())
        judging.step()
    assert totals[-1] < totals[0]
    assert all(weight.grad is None for weight in encoder.parameters())


def test_fivas_objective_drives_the_result_away_from_the_target(encoder):
    torch.manual_seed(1)
    generator = FIVA(side=SIDE, width=8)
    optimizer = torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.0, 0.99))
    target = faces()
    centre = encoder(target).mean(0)  # an untrained encoder puts all pictures in one corner

    def embed(pictures):
        return torch.nn.functional.normalize(encoder(pictures) - centre)

    z = embed(target)
    wanted = block_features(encoder, BLOCKS, target)
    away = []
    for _ in range(12):
        made = generator(target, z)
        away.append(counterfactual(z, embed(made.crops)))
        total = (
            10 * away[-1]
            + ifsr(wanted, block_features(encoder, BLOCKS, made.crops))
            + cycle(target, generator(made.crops, embed(made.crops)).crops)
            + 0.01 * mask_area(made.masks)
        )
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    assert all(weight.grad.any() for weight in generator.parameters())
    assert float(away[-1].detach()) < 0.6 * float(away[0].detach())
