"""Groups of equal popularity and the pairs inside them, and that they keep a teacher's popularity out of a student."""

import numpy as np
import torch

from fedkd.data.catalogue import Catalogue
from fedkd.distillation.options import DistillationOptions
from fedkd.distillation.pipeline import distil
from fedkd.distillation.popularity_groups import group_pairs, popularity_groups
from fedkd.distillation.targets import DistillationTargets
from fedkd.losses.popularity_groups import group_pairs_loss
from fedkd.models.base import score
from fedkd.models.linear import LinearConfig
from fedkd.ragged import Ragged


def test_groups_have_about_the_same_interactions() -> None:
    popularity = np.random.default_rng(0).zipf(1.6, 300).clip(max=60)
    groups = popularity_groups(popularity, 3)
    assert sorted(np.concatenate(groups).tolist()) == list(range(300))
    sums = [popularity[group].sum() for group in groups]
    assert max(sums) - min(sums) < 2 * popularity.max()
    assert popularity[groups[0]].max() <= popularity[groups[1]].min()
    assert popularity_groups(np.array([1, 1, 9]), 5)[0].tolist() == [0, 1]
    assert popularity_groups(np.zeros(0), 3) == []


def test_pairs_are_inside_groups_and_in_the_teachers_order() -> None:
    scores = np.random.default_rng(1).normal(size=(5, 12))
    groups = [np.array([3, 1, 7, 9]), np.array([0, 2, 4, 5, 6, 8, 10, 11])]
    better, worse = group_pairs(scores, groups, 200, np.random.default_rng(0))
    assert better.shape == worse.shape == (5, 2, 200)
    rows = np.arange(5)[:, None]
    for number, group in enumerate(groups):
        assert np.isin(better[:, number], group).all()
        assert np.isin(worse[:, number], group).all()
        assert (scores[rows, better[:, number]] > scores[rows, worse[:, number]]).all()
        assert set(better[0, number]) | set(worse[0, number]) == set(group)


def test_a_student_learns_the_order_inside_groups_and_nothing_of_the_difference_between_them() -> None:
    rng = np.random.default_rng(0)
    taste = rng.normal(size=(4, 10))
    teacher = taste + np.where(np.arange(10) < 5, 0.0, 20.0)
    groups = [np.arange(5), np.arange(5, 10)]
    student = torch.zeros(4, 10, requires_grad=True)
    adam = torch.optim.Adam([student], lr=0.05)
    for _ in range(150):
        adam.zero_grad()
        better, worse = map(torch.from_numpy, group_pairs(teacher, groups, 8, rng))
        group_pairs_loss(student, better, worse).mean().backward()
        adam.step()
    learned = student.detach().numpy()
    for group in groups:
        assert (np.argsort(learned[:, group]) == np.argsort(taste[:, group])).all()
    assert np.abs(learned[:, :5].mean(1) - learned[:, 5:].mean(1)).max() < 0.1


def test_pairs_with_a_weight_teach_the_order_inside_groups() -> None:
    scores = np.random.default_rng(3).normal(size=(3, 10)).astype(np.float32)
    histories = Ragged.from_rows([[0], [1], [2]], np.int32)
    labels = Ragged.from_rows([[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]] * 3, np.int32)
    options = DistillationOptions.model_validate(
        {"weights": {"soft": 0, "groups": 1}, "groups": 2, "pairs": 8, "training": {"steps": 150}}
    )
    student = LinearConfig(width=8).build(Catalogue.numbered(10), 0)
    distil(student, DistillationTargets(histories, scores, labels), options, np.random.default_rng(0))
    for group in popularity_groups(np.full(10, 3), 2):
        assert (score(student, histories)[:, group].argmax(1) == scores[:, group].argmax(1)).all()
