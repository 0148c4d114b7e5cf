import pytest

torch = pytest.importorskip("torch")

from masquerade.train.losses import distill  # noqa: E402


def units(n, d, seed):
    torch.manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(n, d, dtype=torch.float64))


def test_cosine_is_zero_for_a_copy_and_two_for_the_opposite():
    teacher = units(5, 8, 0)
    assert float(distill.cosine(teacher, teacher)) == pytest.approx(0, abs=1e-12)
    assert float(distill.cosine(-teacher, teacher)) == pytest.approx(2)


def test_similarity_is_the_mean_over_pairs_whatever_the_dimensions():
    student, teacher = units(4, 6, 1), units(4, 3, 2)
    pairs = [(i, j) for i in range(4) for j in range(4) if i != j]
    by_hand = sum(float(student[i] @ student[j] - teacher[i] @ teacher[j]) ** 2 for i, j in pairs) / len(pairs)
    assert float(distill.similarity(student, teacher)) == pytest.approx(by_hand)


def test_similarity_does_not_see_a_rotation():
    student = units(7, 5, 3)
    rotation = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64))[0]
    assert float(distill.similarity(student @ rotation, student)) == pytest.approx(0, abs=1e-12)
