import math

import pytest

torch = pytest.importorskip("torch")

from masquerade.train.losses.supcon import class_weights, supcon, with_affect  # noqa: E402

LABELS = [0, 0, 1, 2, 1, 0, 2, -1, 3]
PEOPLE = [0, 0, 1, 2, 3, 4, 5, 6, 7]


def vectors(count=9):
    torch.manual_seed(4)
    return torch.nn.functional.normalize(torch.randn(count, 5, dtype=torch.float64), dim=1)


def by_hand(z, labels, weights, people, tau):
    """The formula of the module, one face at a time."""
    losses = []
    known = [i for i, label in enumerate(labels) if label >= 0]
    for i in known:
        others = [a for a in known if a != i and not (labels[a] == labels[i] and people[a] == people[i])]
        fellows = [p for p in others if labels[p] == labels[i]]
        if not fellows:
            continue
        below = sum(math.exp(sum(x * y for x, y in zip(z[i], z[a], strict=True)) / tau) for a in others)
        logs = [math.log(math.exp(sum(x * y for x, y in zip(z[i], z[p], strict=True)) / tau) / below) for p in fellows]
        losses.append(weights[labels[i]] * -sum(logs) / len(fellows))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("tau", [0.1, 0.5])
def test_unweighted_it_is_the_published_loss(tau):
    z, strangers = vectors(), list(range(len(LABELS)))
    expected = by_hand(z.tolist(), LABELS, [1, 1, 1, 1], strangers, tau)
    assert float(supcon(z, torch.tensor(LABELS), temperature=tau)) == pytest.approx(expected, rel=1e-9)
    assert float(supcon(z, torch.tensor(LABELS), weights=torch.ones(4), temperature=tau)) == pytest.approx(expected)


def test_weighted_and_with_people_it_is_the_loop():
    z, weights = vectors(), [0.5, 2.0, 3.0, 7.0]
    expected = by_hand(z.tolist(), LABELS, weights, PEOPLE, 0.1)
    found = supcon(z, torch.tensor(LABELS), weights=torch.tensor(weights).double(), people=torch.tensor(PEOPLE))
    assert float(found) == pytest.approx(expected, rel=1e-9)
    assert expected != pytest.approx(by_hand(z.tolist(), LABELS, weights, list(range(9)), 0.1))


def test_who_looks_like_oneself_with_another_face_is_pushed_away_and_one_s_own_same_face_is_not_pulled():
    z = torch.nn.functional.normalize(torch.tensor([[1.0, 0.2], [1.0, 0.0], [0.0, 1.0], [1.0, 0.1]]), dim=1)
    z.requires_grad_()
    labels, people = torch.tensor([0, 1, 0, 0]), torch.tensor([0, 0, 1, 0])
    supcon(z, labels, people=people).backward()
    toward = -z.grad[0]
    assert toward @ (z[1] - z[0]).detach() < 0 < toward @ (z[2] - z[0]).detach()


@pytest.mark.parametrize("labels", [[0, 1, 2], [-1, -1, -1], [0, 0, -1]])
def test_nobody_s_fellow_costs_nothing_and_breaks_nothing(labels):
    z = vectors(3).requires_grad_()
    loss = supcon(z, torch.tensor(labels), people=torch.tensor([0, 0, 1]))
    loss.backward()
    assert loss.item() == 0 and torch.equal(z.grad, torch.zeros_like(z))


def test_the_multi_task_total_adds_both_errors():
    said, truth = torch.tensor([[0.5, -1.0], [0.0, 0.0]]), torch.tensor([[0.0, -0.5], [1.0, 0.2]])
    by_hand = 3 + (0.5**2 + 1) / 2 + (0.5**2 + 0.2**2) / 2
    assert float(with_affect(torch.tensor(3.0), said, truth)) == pytest.approx(by_hand)


def test_class_weights_are_inverse_frequencies_and_a_face_weighs_one_in_the_mean():
    labels = torch.tensor([0] * 6 + [1] * 3 + [3] + [-1] * 5)
    weights = class_weights(labels, 4)
    assert weights.tolist() == pytest.approx([10 / 18, 10 / 9, 0, 10 / 3])
    assert float(weights[labels[labels >= 0]].mean()) == pytest.approx(1)
    assert class_weights(labels, 4, limit=2.0).tolist() == pytest.approx([10 / 18, 10 / 9, 0, 2])
