import numpy as np
import pytest

torch = pytest.importorskip("torch")

from masquerade.nets.expression import ExpressionEmbedder  # noqa: E402
from masquerade.train.losses.expression import alike, kept, likeness, recognised, soft_classes  # noqa: E402


def some(n=7, classes=4, measures=3):
    rng = np.random.default_rng(2)
    return (
        torch.from_numpy(rng.dirichlet(np.ones(classes), n)),
        torch.from_numpy(rng.standard_normal((n, measures))),
    )


def test_soft_classes_is_weighted_cross_entropy():
    probabilities, _ = some()
    logits, weights = torch.randn(7, 4, dtype=torch.float64), torch.tensor([1.0, 2.0, 0.0, 0.5]).double()
    above = below = 0.0
    for row, wanted in zip(logits.tolist(), probabilities.tolist(), strict=True):
        logs = np.array(row) - np.log(np.exp(row).sum())
        above -= sum(w * p * x for w, p, x in zip(weights.tolist(), wanted, logs, strict=True))
        below += sum(w * p for w, p in zip(weights.tolist(), wanted, strict=True))
    assert float(soft_classes(logits, probabilities, weights)) == pytest.approx(above / below)
    hard = torch.tensor([0, 1, 3, 1, 0, 3, 3])
    one_hot = torch.nn.functional.one_hot(hard, 4).double()
    expected = torch.nn.functional.cross_entropy(logits, hard, weights)
    assert float(soft_classes(logits, one_hot, weights)) == pytest.approx(float(expected))


def test_likeness_is_its_formula_and_a_kernel():
    probabilities, geometry = some()
    found = likeness(probabilities, geometry)
    for i in range(7):
        for j in range(7):
            spread = ((probabilities[i].sqrt() - probabilities[j].sqrt()) ** 2).sum()
            spread += ((geometry[i] - geometry[j]) ** 2).sum() / 3
            assert float(found[i, j]) == pytest.approx(float(torch.exp(-spread / 2)))
    assert torch.linalg.eigvalsh(found).min() > -1e-12


def test_alike_is_zero_for_vectors_that_have_the_cosines_and_ignores_the_diagonal():
    wanted = likeness(*some())
    vectors = torch.linalg.cholesky(wanted)
    assert float(alike(vectors, wanted)) == pytest.approx(0, abs=1e-12)
    assert float(alike(vectors, wanted + torch.eye(7))) == pytest.approx(0, abs=1e-12)
    assert float(alike(vectors, wanted + 0.1)) == pytest.approx(0.01)


def test_recognised_is_the_difference_of_means_over_pairs_of_one_class():
    rng = np.random.default_rng(4)
    vectors = torch.nn.functional.normalize(torch.from_numpy(rng.standard_normal((30, 5))))
    wanted = likeness(*some(30))
    labels, people = torch.from_numpy(rng.integers(-1, 3, 30)), torch.from_numpy(rng.integers(0, 6, 30))
    kinds = {True: [], False: []}
    for i in range(30):
        for j in range(30):
            if i != j and labels[i] == labels[j] >= 0:
                excess = float(vectors[i] @ vectors[j] - wanted[i, j])
                kinds[bool(people[i] == people[j])].append(excess)
    expected = (np.mean(kinds[True]) - np.mean(kinds[False])) ** 2
    assert float(recognised(vectors, wanted, labels, people)) == pytest.approx(expected)


def test_who_sees_only_people_is_recognised_and_who_sees_only_expressions_is_not():
    people, labels = torch.arange(8) // 2, torch.zeros(8, dtype=torch.int64)
    wanted = torch.full((8, 8), 0.3)
    assert float(recognised(torch.eye(4)[people], wanted, labels, people)) == pytest.approx(1)
    assert float(recognised(torch.eye(4)[labels], wanted, labels, people)) == pytest.approx(0)
    alone = recognised(torch.eye(8).requires_grad_(), wanted, labels, torch.arange(8))
    alone.backward()
    assert alone.item() == 0


def test_what_changes_nothing_is_kept_and_results_can_be_brought_nearer():
    torch.manual_seed(0)
    embedder = ExpressionEmbedder(7, 10).eval().requires_grad_(False)
    target = (torch.rand(2, 3, 112, 112) * 2 - 1).requires_grad_()
    assert kept(embedder, target, target).item() == pytest.approx(0, abs=1e-6)
    made = (torch.rand(2, 3, 112, 112) * 2 - 1).requires_grad_()
    before = kept(embedder, target, made)
    before.backward()
    assert target.grad is None and made.grad is not None
    nearer = made.detach() - 1e-3 * made.grad / made.grad.abs().mean()
    assert kept(embedder, target, nearer).item() < before.item()
