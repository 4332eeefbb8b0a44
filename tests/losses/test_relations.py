"""Relations of examples against loops over pairs and triples."""

import math
from itertools import permutations

import numpy as np
import pytest
import torch

from fedkd.losses.relations import angle_relations, distance_relations
from tests.losses.naive import numbers


def huber(difference: float) -> float:
    return difference**2 / 2 if abs(difference) < 1 else abs(difference) - 0.5


def test_distances_are_compared_pair_by_pair() -> None:
    student, teacher = numbers(0, 5, 2, 3), numbers(1, 5, 1, 4)
    relative = []
    for side in (student.flatten(1).numpy(), teacher.flatten(1).numpy()):
        pairs = {(i, j): float(np.linalg.norm(side[i] - side[j])) for i, j in permutations(range(5), 2)}
        relative.append({pair: value / np.mean([*pairs.values()]) for pair, value in pairs.items()})
    for i, loss in enumerate(distance_relations(student, teacher)):
        naive = np.mean([huber(relative[0][i, j] - relative[1][i, j]) for j in range(5) if j != i])
        assert float(loss) == pytest.approx(naive)


def test_angles_are_compared_triple_by_triple() -> None:
    student, teacher = numbers(0, 5, 2, 3), numbers(1, 5, 1, 4)

    def cosine(side: torch.Tensor, i: int, j: int, k: int) -> float:
        first, second = side[i].flatten() - side[j].flatten(), side[k].flatten() - side[j].flatten()
        return float(first @ second) / math.sqrt(float(first @ first) * float(second @ second))

    for j, loss in enumerate(angle_relations(student, teacher)):
        pairs = permutations([i for i in range(5) if i != j], 2)
        naive = np.mean([huber(cosine(student, i, j, k) - cosine(teacher, i, j, k)) for i, k in pairs])
        assert float(loss) == pytest.approx(naive)


@pytest.mark.parametrize("relations", [distance_relations, angle_relations])
def test_turned_moved_and_stretched_features_have_the_same_relations(relations: type) -> None:
    teacher = numbers(0, 6, 1, 4)
    turn = torch.linalg.qr(numbers(1, 4, 4))[0]
    loss = relations(3 * teacher @ turn + 5, teacher)
    torch.testing.assert_close(loss, torch.zeros_like(loss))
    assert (relations(numbers(2, 6, 1, 2), teacher) > 0).all()


@pytest.mark.parametrize("relations", [distance_relations, angle_relations])
def test_equal_examples_have_finite_gradients(relations: type) -> None:
    student = torch.ones(4, 1, 3, requires_grad=True)
    relations(student, numbers(0, 4, 1, 2).float()).sum().backward()
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()
