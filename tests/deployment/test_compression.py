"""Smaller models: close to what they were, smaller in fact, one after the other, by a name or a class of one's own."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedkd.data.catalogue import Catalogue
from fedkd.deployment.compression.base import Compression
from fedkd.deployment.compression.half import HalfTensor
from fedkd.deployment.compression.low_rank import Product
from fedkd.deployment.compression.packed import Packed, Place, large_tensors
from fedkd.deployment.compression.pruned import Sparse
from fedkd.deployment.compression.quantised import Bytes, Nibbles
from fedkd.deployment.compression.table import COMPRESSIONS, compressed, step, steps
from fedkd.errors import UserError
from fedkd.models.base import Recommender
from fedkd.models.linear import LowRank
from fedkd.models.popularity import Popularity
from fedkd.models.table import MODELS
from tests.deployment.runs import seeded

ITEMS = 80
CATALOGUE = Catalogue.numbered(ITEMS)


def model() -> Recommender:
    return LowRank.from_factors(seeded((ITEMS, 16)), seeded((ITEMS, 16)) @ seeded((16, 16)))


def table(rows: int = 50, width: int = 24) -> Tensor:
    return torch.from_numpy(seeded((rows, width)))


@pytest.mark.parametrize(("kind", "largest"), [(Bytes, 127), (Nibbles, 7)])
@pytest.mark.parametrize("shape", [(50, 24), (33, 7), (16, 12, 3), (615,)])
def test_every_weight_is_within_half_a_step(
    kind: type[Bytes] | type[Nibbles], largest: int, shape: tuple[int, ...]
) -> None:
    tensor = torch.from_numpy(seeded(shape))
    packed = kind(tensor, 8)
    flat = np.pad(tensor.numpy().ravel(), (0, -tensor.numel() % packed.group)).reshape(-1, packed.group)
    half = np.abs(flat).max(1, keepdims=True) / largest / 2
    difference = np.pad((packed() - tensor).numpy().ravel(), (0, -tensor.numel() % packed.group)).reshape(flat.shape)
    assert packed().shape == tensor.shape
    assert (np.abs(difference) <= 1.001 * half + 1e-9).all()


def test_codes_take_the_bits_that_they_say() -> None:
    assert Bytes(table(), 64).codes.numel() == 50 * 24
    assert Nibbles(table(), 64).codes.numel() == 50 * 24 // 2
    assert Bytes(torch.zeros(4, 4), 2)().abs().max() == 0


def test_pruning_keeps_the_largest_where_they_stood() -> None:
    tensor, packed = table(), Sparse(table(), 300)
    edge = tensor.abs().flatten().sort(descending=True).values[299]
    assert torch.equal(packed(), torch.where(tensor.abs() >= edge, tensor, 0.0))
    assert packed.bits.numel() == 50 * 24 // 8
    assert Sparse(table(3, 3), 1)().count_nonzero() == 1


def test_half_of_the_bits_change_little_and_never_overflow() -> None:
    packed = HalfTensor(table())
    assert packed.numbers.element_size() == 2
    assert torch.allclose(packed(), table(), rtol=1e-3, atol=1e-4)
    assert HalfTensor(torch.full((2, 2), 1e9))().isfinite().all()


def test_steps_are_read_in_their_order() -> None:
    assert [one.kind for one in steps("pruned:kept=0.5 + int8")] == ["pruned", "int8"]
    with pytest.raises(UserError, match="did you mean int8"):
        steps("pruned + int9")


def test_a_product_is_the_best_of_its_rank() -> None:
    tensor = table()
    values = torch.linalg.svdvals(tensor)
    assert torch.linalg.norm(Product(tensor, 6)() - tensor).item() == pytest.approx(
        values[6:].square().sum().sqrt().item(), rel=1e-4
    )
    assert step("low-rank:rank=40").packed(Place(nn.Identity(), "x", tensor)) is None


@pytest.mark.parametrize(
    "steps", [["int8"], ["int4"], ["pruned:kept=0.4", "int8"], ["low-rank:rank=8", "int4:group=16"]]
)
def test_a_smaller_model_is_a_recommender_and_the_old_one_stays(steps: list[str]) -> None:
    before = model()
    kept = before.state_dict()["encoder.weight"].clone()
    after = compressed(before, [step(text) for text in steps])
    history = torch.tensor([[ITEMS, 3, 5]])
    assert isinstance(after, LowRank)
    assert after.size()[1] < 0.5 * before.size()[1]
    assert torch.corrcoef(torch.stack([before(history)[0], after(history)[0]]))[0, 1] > 0.7
    assert torch.equal(before.state_dict()["encoder.weight"], kept)
    assert not any(isinstance(part, Packed) for part in before.modules())


def test_scales_are_not_packed_again() -> None:
    wide = LowRank.from_factors(seeded((600, 2)), seeded((600, 2)))
    twice = compressed(wide, [step("int8"), step("pruned")])
    assert {place.name for place in large_tensors(twice)} == set()


def test_tied_and_hashed_tables_become_smaller_too() -> None:
    items = {"kind": "factorised", "rank": 10, "tied": True}
    tied = MODELS.find("autoencoder").model_validate({"items": items}).build(CATALOGUE, 0).eval()
    small, history = compressed(tied, [step("int8")]), torch.tensor([[1, 2, 3]])
    assert torch.allclose(small(history), tied(history), atol=0.1)


def test_steps_are_named_with_their_settings_or_are_ones_own() -> None:
    assert set(COMPRESSIONS.names) == {"half", "int8", "int4", "pruned", "low-rank"}
    assert step("pruned:kept=0.3").model_dump() == {"kind": "pruned", "kept": 0.3}
    assert isinstance(step("tests.deployment.test_compression:Nothing:much=2"), Compression)
    for text, said in (("int9", "did you mean int8"), ("pruned:kept=2", "kept"), ("int8:bits=3", "bits is no setting")):
        with pytest.raises(UserError, match=said):
            step(text)


class Nothing(Compression):
    """A step that finds nothing to do."""

    much: int = 1

    def packed(self, place: Place) -> Packed | None:
        return None


def test_a_model_without_a_large_table_is_refused() -> None:
    with pytest.raises(UserError, match="no table of this model"):
        compressed(Popularity(np.arange(5)), [step("int8")])
    with pytest.raises(UserError, match="no table of this model"):
        compressed(model(), [step("tests.deployment.test_compression:Nothing")])
