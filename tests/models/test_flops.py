"""Operations of a list, against formulas of every family and against torch's own counter."""

import numpy as np
import pytest
import torch
from scipy import sparse
from torch.utils.flop_counter import FlopCounterMode

from fedkd.data.catalogue import Catalogue
from fedkd.data.interactions import Interactions
from fedkd.models.autoencoder import AutoencoderConfig
from fedkd.models.base import ModelConfig, Recommender
from fedkd.models.cnn import CNNConfig
from fedkd.models.decayed_linear import SparseDecayed
from fedkd.models.ease import EASE
from fedkd.models.flops import flops
from fedkd.models.gru import GRUConfig
from fedkd.models.item_knn import fit_item_knn
from fedkd.models.linear import LinearConfig
from fedkd.models.popularity import Popularity
from fedkd.models.transformer import TransformerConfig
from fedkd.models.woodbury import WoodburyEASE
from fedkd.ragged import Ragged

ITEMS, LENGTH, WIDTH = 50, 7, 6
HISTORY = torch.tensor([[3, 9, 27, 31, 44, 12, 5]])


def convolution(before: int, after: int) -> int:
    return 2 * LENGTH * 3 * before * after


def transformer() -> int:
    projections, attention = 6 * 2 * LENGTH * WIDTH**2, 2 * 2 * LENGTH**2 * WIDTH
    return projections + attention + 2 * WIDTH * ITEMS


SHAPES: list[tuple[ModelConfig, int]] = [
    (LinearConfig(width=WIDTH), 2 * 2 * ITEMS * WIDTH),
    (AutoencoderConfig(width=WIDTH), 2 * 2 * ITEMS * WIDTH),
    (CNNConfig(width=WIDTH, channels=(4, 8)), convolution(WIDTH, 4) + convolution(4, 8) + 2 * 8 * ITEMS),
    (GRUConfig(width=WIDTH), LENGTH * 2 * 2 * WIDTH * 3 * WIDTH + 2 * WIDTH * ITEMS),
    (TransformerConfig(width=WIDTH, blocks=1, length=LENGTH), transformer()),
]


@pytest.mark.parametrize(("shape", "expected"), SHAPES, ids=lambda part: getattr(part, "family", ""))
def test_a_trained_family_costs_its_matrix_products(shape: ModelConfig, expected: int) -> None:
    model = shape.build(Catalogue.numbered(ITEMS), 0)
    assert flops(model, HISTORY) == expected
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(HISTORY)
    assert counter.get_total_flops() == expected


def few_weights() -> tuple[Recommender, int]:
    matrix = sparse.random_array((ITEMS, ITEMS), density=0.1, rng=np.random.default_rng(0), format="csr")
    return SparseDecayed(matrix, np.zeros(1)), 2 * int(np.diff(matrix.indptr)[HISTORY[0].numpy()].sum())


def neighbours() -> tuple[Recommender, int]:
    users = [np.random.default_rng(user).permutation(ITEMS)[:12] for user in range(9)]
    names = np.array([f"u{user}" for user in range(9)])
    data = Interactions(names, Ragged.from_rows(users, np.int32), Catalogue.numbered(ITEMS))
    model = fit_item_knn(data, k=1)
    return model, 2 * int(torch.isin(model.neighbours, HISTORY).sum())


def factors() -> tuple[Recommender, int]:
    return WoodburyEASE(np.full((3, ITEMS), 0.1), np.ones(ITEMS)), 2 * LENGTH * 3 + 2 * 3 * ITEMS


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (EASE(np.ones((ITEMS, ITEMS))), 2 * LENGTH * ITEMS),
        (Popularity(np.ones(ITEMS)), 0),
        few_weights(),
        neighbours(),
        factors(),
    ],
    ids=lambda part: type(part).__name__,
)
def test_a_closed_form_costs_the_numbers_that_a_history_reads(model: Recommender, expected: int) -> None:
    assert flops(model, HISTORY) == expected
