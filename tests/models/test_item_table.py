"""Item tables of every kind: what they compute, what they count, and that every family works with each."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from fedkd.data.catalogue import Catalogue
from fedkd.data.interactions import Interactions
from fedkd.distillation.pipeline import optimise, pretrain
from fedkd.errors import DivergedError, UserError
from fedkd.models.arrays import (
    Arrays,
    count_parameters,
    export_arrays,
    load_arrays,
    stored_arrays,
    working_bytes,
)
from fedkd.models.base import Recommender, padded_histories, score
from fedkd.models.content import content_features
from fedkd.models.eight_bits import rounded
from fedkd.models.hashing import hashed_positions
from fedkd.models.item_table import ItemTableOptions
from fedkd.models.table import MODELS
from fedkd.ragged import Ragged
from fedkd.testing.models import (
    check_item_tables,
    check_overfits,
    check_padding,
    check_seeds,
    check_size,
    check_storage,
    check_transforms,
)
from fedkd.training.options import StepTraining

ITEMS = 24
CLUSTER = np.arange(ITEMS) // 6
CATALOGUE = Catalogue(
    np.arange(ITEMS).astype(str),
    titles=np.array([f"The {'abcd'[c]} of {i}" for i, c in enumerate(CLUSTER)]),
    categories=("a", "b", "c", "d"),
    membership=np.eye(4, dtype=bool)[CLUSTER],
    vectors={"image": np.random.default_rng(0).normal(size=(ITEMS, 3)).astype(np.float32)},
)
KINDS = [
    {"kind": "8-bit"},
    {"kind": "factorised", "rank": 3},
    {"kind": "hashed", "buckets": 16},
    {"content": True, "words": 8},
]
SETTINGS = {"width": 8, "channels": (4, 8)}


def model(family: str, seed: int = 0, **items: object):  # type: ignore[no-untyped-def]
    config = MODELS.find(family)
    known = {name: value for name, value in SETTINGS.items() if name in config.model_fields}
    return config.model_validate({**known, "items": items}).build(CATALOGUE, seed).eval()


@pytest.mark.parametrize("family", MODELS.names)
@pytest.mark.parametrize("items", KINDS, ids=lambda items: items.get("kind", "content"))
@pytest.mark.parametrize("tied", [False, True])
def test_every_family_takes_every_kind_of_table(family: str, items: dict[str, object], tied: bool) -> None:
    config = MODELS.find(family)
    known = {name: value for name, value in SETTINGS.items() if name in config.model_fields}
    settings = config.model_validate({**known, "items": {**items, "tied": tied}})
    check_seeds(settings, CATALOGUE)
    built = settings.build(CATALOGUE, 0).eval()
    for check in (check_padding, check_item_tables, check_size):
        check(built)
    check_storage(settings, CATALOGUE)
    check_transforms(settings, CATALOGUE)
    assert bool(built.item_tables) == (items.get("kind") in {"8-bit", "factorised"})


@pytest.mark.parametrize(
    ("items", "numbers"),
    [
        ({}, 2 * ITEMS * 8),
        ({"tied": True}, ITEMS * 8),
        ({"kind": "factorised", "rank": 3}, 2 * (ITEMS * 3 + 3 * 8)),
        ({"kind": "hashed", "buckets": 16}, 2 * 16 * 8),
        ({"kind": "hashed", "buckets": 16, "tied": True}, 16 * 8),
        ({"content": True, "words": 8}, 2 * (ITEMS * 8 + (4 + 8 + 3) * 8)),
        ({"content": True, "words": 0, "kind": "factorised", "rank": 2}, 2 * (ITEMS * 2 + 2 * 8 + (4 + 3) * 8)),
    ],
)
def test_numbers_are_counted_once_and_all(items: dict[str, object], numbers: int) -> None:
    linear = model("linear", **items)
    assert linear.size() == (numbers, 4 * numbers)
    rest = 8 + ITEMS
    assert model("autoencoder", **items).size()[0] == numbers + rest


def test_rows_are_what_their_kinds_say() -> None:
    history = torch.tensor([[ITEMS, 3, 7]])
    factors = model("linear", kind="factorised", rank=3)
    own = factors.state_dict()
    rows = own["encoder.table.weight"] @ own["encoder.table.basis"]
    torch.testing.assert_close(factors.hidden(history)[0], rows[3] + rows[7])
    hashes = model("linear", kind="hashed", buckets=16)
    table, codes = hashes.state_dict()["encoder.table.weight"], hashed_positions(ITEMS, 2, 16)
    torch.testing.assert_close(hashes.hidden(history)[0], table[codes[3]].sum(0) + table[codes[7]].sum(0))
    content = model("linear", content=True, words=8)
    mapped = content_features(CATALOGUE, 8) @ content.state_dict()["encoder.table.map"]
    torch.testing.assert_close(content.hidden(history)[0], mapped[3] + mapped[7])
    tied = model("linear", tied=True)
    weight = tied.state_dict()["encoder.weight"]
    torch.testing.assert_close(tied(history)[0], weight @ (weight[3] + weight[7]))


def test_hashes_are_the_same_everywhere() -> None:
    codes = hashed_positions(3, 2, 1000)
    assert codes.tolist() == [[107, 708], [421, 946], [687, 976]]


def test_eight_bits_are_counted_as_they_are_stored() -> None:
    linear = model("linear", kind="8-bit")
    assert linear.size() == (2 * (ITEMS * 8 + ITEMS), 2 * (ITEMS * 8 + 4 * ITEMS))
    assert model("gru", kind="8-bit", tied=True).size()[1] == ITEMS * 8 + 4 * (ITEMS + ITEMS + 2 * (24 * 8 + 24))
    assert working_bytes(linear) == 4 * 2 * ITEMS * 8


def test_rows_of_eight_bits_are_the_nearest_whole_multiples_of_their_scales() -> None:
    weight = torch.tensor([[127.0, 0.4, -0.6], [0.0, 0.0, 0.0]], requires_grad=True)
    torch.testing.assert_close(rounded(weight).detach(), torch.tensor([[127.0, 0.0, -1.0], [0.0, 0.0, 0.0]]))
    (rounded(weight) * torch.tensor([2.0, 3.0, 4.0])).sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [[2.0, 3.0, 4.0]] * 2


@pytest.mark.parametrize("travels", [stored_arrays, export_arrays])
def test_a_table_of_eight_bits_travels_as_such_and_scores_the_same(travels: Callable[[Recommender], Arrays]) -> None:
    trained, full = model("autoencoder", kind="8-bit"), model("autoencoder")
    arrays = travels(trained)
    assert {name for name, array in arrays.items() if array.dtype == np.int8} == {
        "encoder.table.weight.codes",
        "decoder.table.weight.codes",
    }
    assert count_parameters(arrays) == sum(p.numel() for p in trained.parameters())
    histories = Ragged.from_rows([[1, 5, 9], [2]], np.int32)
    before = score(trained, histories)
    loaded = load_arrays(model("autoencoder", seed=1, kind="8-bit"), arrays)
    np.testing.assert_allclose(score(loaded, histories), before, atol=2e-3)
    assert all((travels(loaded)[name] == array).all() for name, array in arrays.items())
    assert np.corrcoef(before.ravel(), score(full, histories).ravel())[0, 1] > 0.999
    with torch.no_grad():
        trained.get_parameter("encoder.table.weight")[0, 0] = float("nan")
    with pytest.raises(DivergedError):
        export_arrays(trained)


def test_a_table_of_eight_bits_learns_a_toy_set_by_heart() -> None:
    check_overfits(model("linear", seed=1, kind="8-bit"))


def test_a_tied_table_of_two_widths_is_refused() -> None:
    config = MODELS.find("cnn").model_validate({"width": 8, "items": {"tied": True}})
    with pytest.raises(UserError, match=r"set width to 32, or items\.tied = false"):
        config.build(CATALOGUE, 0)


def test_content_needs_a_catalogue_that_tells_something() -> None:
    config = MODELS.find("linear").model_validate({"items": {"content": True}})
    with pytest.raises(UserError, match="set content = false"):
        config.build(Catalogue.numbered(5), 0)


@pytest.mark.parametrize("family", MODELS.names)
def test_items_that_nobody_has_touched_are_scored_by_their_content(family: str) -> None:
    """One item of every cluster never occurs; after training it ranks highest among these for its cluster's users."""
    rng = np.random.default_rng(0)
    cold = np.arange(4) * 6 + 5
    rows = [taste * 6 + rng.choice(5, 3, replace=False) for taste in rng.choice(4, 80)]
    histories = Ragged.from_rows(rows, np.int32)
    student = model(family, content=True, words=0)
    training = StepTraining(steps=50, visible=0.7, learning_rate=0.03)
    pretrain(student, histories, training, np.random.default_rng(0))
    best = score(student, histories)[:, cold].argmax(1)
    taste = histories.values[histories.indptr[:-1]] // 6
    assert (best == taste).mean() > 0.9
    assert Interactions(np.arange(80).astype(str), histories, CATALOGUE).popularity()[cold].sum() == 0


def test_what_was_learned_elsewhere_about_untouched_items_is_kept() -> None:
    histories = Ragged.from_rows([[0, 1, 2], [3, 4]], np.int32)
    steps = StepTraining(steps=2, learning_rate=0.01, visible=0.5)
    for phase, kept in ((pretrain, False), (optimise, True)):
        student = model("autoencoder", content=True)
        with torch.no_grad():
            student.get_parameter("decoder.table.own.weight").fill_(1.0)
        phase(student, histories, steps, np.random.default_rng(0))
        own = student.state_dict()["decoder.table.own.weight"]
        assert (own[:5] != 0).all()
        assert bool((own[5:] != 0).all()) == kept == bool((own[5:] != 0).any())


def test_slices_of_factors_are_a_smaller_model() -> None:
    whole = model("gru", kind="factorised", rank=3)
    assert whole.item_tables == {"table.weight": 0, "head.table.weight": 0, "head.bias": 0}
    assert score(whole, Ragged.from_rows([[1]], np.int32)).shape == (1, ITEMS)
    assert torch.isfinite(whole(padded_histories(Ragged.from_rows([[]], np.int32), ITEMS))).all()


def test_defaults_are_full_tables() -> None:
    assert ItemTableOptions() == ItemTableOptions(kind="full", tied=False, content=False)
