"""The batched computation against the loop over clients that it replaces."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fedkd.errors import UserError
from fedkd.models.ncf import NCF
from fedkd.ragged import Ragged, offsets
from fedkd.random_streams import stream
from fedkd.training.chunks import Model, chunks
from fedkd.training.engine import predict, replicate, train
from fedkd.training.examples import Examples, renumber, shuffled
from fedkd.training.negatives import labelled_pairs, sample_negatives
from fedkd.training.options import CohortTraining

ITEMS = 60


def entropy(student: Model, batch: Mapping[str, Tensor]) -> Tensor:
    return functional.binary_cross_entropy_with_logits(student(batch["item"]), batch["label"], reduction="none")


def streams(clients):
    return [stream(7, "train", 1, int(client)) for client in clients]


def pairs(clients, most=12):
    rows = []
    for client in clients:
        rng = stream(3, "data", int(client))
        rows.append(rng.choice(ITEMS, int(rng.integers(1, most)), replace=False))
    positives = Ragged.from_rows(rows, np.int32)
    negatives = sample_negatives(positives, ITEMS, 4, streams(clients))
    items, labels = labelled_pairs(positives, negatives)
    return Examples({"item": items, "label": labels}, items=("item",))


def starting_point(clients, model):
    torch.manual_seed(0)
    parameters = replicate(model, 64)
    return {name: (p + 0.3 * torch.randn_like(p))[torch.as_tensor(clients)] for name, p in parameters.items()}


def one_at_a_time(model, parameters, examples, training, generators):
    """Modules and optimisers of PyTorch, client after client, over the whole item table."""
    out = {name: p.clone() for name, p in parameters.items()}
    losses = np.full((len(examples), training.epochs), np.nan)
    for client in range(len(examples)):
        one = examples.take(np.array([client]))
        batches_of = shuffled(one.lengths, training.epochs, training.batch_size, [generators[client]])
        model.load_state_dict({name: p[client] for name, p in parameters.items()})
        kind = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[training.optimiser]
        optimiser = kind(model.parameters(), lr=training.learning_rate)
        columns = {name: torch.from_numpy(column.values) for name, column in one.columns.items()}
        for epoch, order in enumerate(batches_of.reshape(training.epochs, -1)):
            total = 0.0
            for rows in torch.from_numpy(order).split(training.batch_size):
                optimiser.zero_grad()
                loss = entropy(model, {name: column[rows] for name, column in columns.items()}).mean()
                loss.backward()
                optimiser.step()
                total += loss.item() * len(rows)
            losses[client, epoch] = total / len(order)
        for name, p in model.named_parameters():
            out[name][client] = p.detach()
    return out, losses


def assert_equal(left, right, tolerance=1e-5):
    for name in left:
        torch.testing.assert_close(left[name], right[name], rtol=0, atol=tolerance * float(left[name].abs().max()))


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_training_equals_a_loop_over_clients_on_the_whole_table(optimiser):
    clients = np.arange(17)
    training = CohortTraining(learning_rate=0.01, epochs=3, batch_size=16, optimiser=optimiser)
    examples, model = pairs(clients), NCF(ITEMS, dimensions=4)
    parameters = starting_point(clients, model)
    expected, expected_losses = one_at_a_time(model, parameters, examples, training, streams(clients))
    losses = train(model, parameters, examples, entropy, training, streams(clients), chunk_bytes=100_000)
    assert_equal(parameters, expected)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)


def test_fifty_clients_together_equal_fifty_cohorts_of_one():
    clients = np.arange(50)
    training = CohortTraining(learning_rate=0.01, epochs=2, batch_size=16)
    model = NCF(ITEMS, dimensions=4)
    together = starting_point(clients, model)
    losses = train(model, together, pairs(clients), entropy, training, streams(clients))
    for client in clients:
        alone = starting_point([client], model)
        own = train(model, alone, pairs([client]), entropy, training, streams([client]))
        assert_equal(alone, {name: p[client : client + 1] for name, p in together.items()})
        np.testing.assert_allclose(own[0], losses[client], rtol=1e-5)


@pytest.mark.parametrize("chunk_bytes", [1, 300_000, 2**28])
def test_memory_does_not_change_the_result(chunk_bytes):
    clients = np.arange(12)
    model = NCF(ITEMS, dimensions=4)
    expected, got = starting_point(clients, model), starting_point(clients, model)
    training = CohortTraining(learning_rate=0.01, epochs=2, batch_size=16)
    train(model, expected, pairs(clients), entropy, training, streams(clients))
    train(model, got, pairs(clients), entropy, training, streams(clients), chunk_bytes)
    assert_equal(got, expected)


class Vmapped(NCF):
    """The same model without its own batched forward pass."""

    stacked = None


def test_any_module_trains_like_one_with_its_own_batched_forward_pass():
    clients = np.arange(12)
    training = CohortTraining(learning_rate=0.01, epochs=3, batch_size=16)
    own, generic = NCF(ITEMS, dimensions=4), Vmapped(ITEMS, dimensions=4)
    expected, got = starting_point(clients, own), starting_point(clients, own)
    losses = train(own, expected, pairs(clients), entropy, training, streams(clients))
    np.testing.assert_allclose(
        train(generic, got, pairs(clients), entropy, training, streams(clients)), losses, rtol=1e-5
    )
    assert_equal(got, expected)


def test_touched_items_alone_equal_the_whole_table():
    clients = np.arange(12)
    training = CohortTraining(learning_rate=0.01, epochs=3, batch_size=8)
    model, examples = NCF(ITEMS, dimensions=4), pairs(clients)
    touched, dense = starting_point(clients, model), starting_point(clients, model)
    before = touched["item.weight"].clone()
    train(model, touched, examples, entropy, training, streams(clients))
    train(model, dense, Examples(examples.columns), entropy, training, streams(clients))
    assert_equal(touched, dense)
    for client in clients:
        unseen = np.setdiff1d(np.arange(ITEMS), examples.columns["item"][client])
        assert torch.equal(touched["item.weight"][client, unseen], before[client, unseen])


class Bag(nn.Module):
    """Items by the sum of their history's vectors; a history is padded with the number of items."""

    item_tables: ClassVar = {"inputs": 0, "outputs": 1}

    def __init__(self):
        super().__init__()
        self.num_items = ITEMS
        self.inputs = nn.Parameter(torch.randn(ITEMS, 3) / 2)
        self.outputs = nn.Parameter(torch.randn(3, ITEMS) / 2)

    def forward(self, history, candidates):
        real = (history < self.num_items).unsqueeze(-1)
        user = (self.inputs[history.clamp(max=self.num_items - 1)] * real).sum(1)
        return torch.einsum("bd,dbc->bc", user, self.outputs[:, candidates])


def sampled_softmax(student, batch):
    return -torch.log_softmax(student(batch["history"], batch["candidates"]), -1)[:, 0]


def bags(clients):
    rows = {"history": [], "candidates": []}
    for client in clients:
        rng = stream(4, "bag", int(client))
        count = int(rng.integers(1, 6))
        history = rng.integers(0, ITEMS, (count, 5))
        history[:, : rng.integers(0, 4)] = ITEMS
        rows["history"].append(history)
        rows["candidates"].append(rng.integers(0, ITEMS, (count, 4)))
    lengths = offsets([len(h) for h in rows["history"]])
    columns = {name: Ragged(np.concatenate(values), lengths) for name, values in rows.items()}
    return Examples(columns, items=("history", "candidates"))


def test_padded_histories_and_tables_with_items_on_another_axis():
    clients = np.arange(9)
    torch.manual_seed(1)
    model, examples = Bag(), bags(clients)
    touched, dense = replicate(model, 9), replicate(model, 9)
    training = CohortTraining(learning_rate=0.05, epochs=4, batch_size=2)
    losses = train(model, touched, examples, sampled_softmax, training, streams(clients))
    same = train(model, dense, Examples(examples.columns), sampled_softmax, training, streams(clients))
    np.testing.assert_allclose(losses, same, rtol=1e-5)
    assert_equal(touched, dense)
    assert (losses[:, -1] < losses[:, 0]).all()


def test_clients_without_examples_stay_as_they_are():
    model = NCF(ITEMS, dimensions=4)
    examples = Examples(
        {"item": Ragged.from_rows([[], [1, 2], []], np.int64), "label": Ragged.from_rows([[], [1, 0], []], np.float32)},
        items=("item",),
    )
    parameters = starting_point(range(3), model)
    before = {name: p.clone() for name, p in parameters.items()}
    losses = train(model, parameters, examples, entropy, CohortTraining(learning_rate=0.1), streams(range(3)))
    assert np.isnan(losses[[0, 2]]).all()
    assert np.isfinite(losses[1]).all()
    for name, p in parameters.items():
        assert torch.equal(p[[0, 2]], before[name][[0, 2]])
    assert not torch.equal(parameters["item.weight"][1], before["item.weight"][1])
    empty = examples.take(np.zeros(0, np.int64))
    assert train(model, replicate(model, 0), empty, entropy, CohortTraining(), []).shape == (0, 1)


def test_item_columns_need_a_model_that_declares_its_tables():
    examples = Examples({"item": Ragged.from_rows([[1]], np.int64)}, items=("item",))
    model = nn.Embedding(ITEMS, 1)
    with pytest.raises(UserError, match="Embedding does not say"):
        train(
            model,
            replicate(model, 1),
            examples,
            lambda student, batch: student(batch["item"])[:, 0],
            CohortTraining(),
            [],
        )


def test_chunks_hold_every_client_once_and_similar_sizes_together():
    clients = np.arange(40)
    model, examples = NCF(ITEMS, dimensions=4), pairs(clients)
    parts = list(chunks(model, examples, entropy, CohortTraining()))
    assert np.array_equal(np.sort(np.concatenate(parts)), clients)
    for part in parts:
        lengths = examples.lengths[part]
        assert lengths.min() >= 0.8 * lengths.max()
    one_each = list(chunks(model, examples, entropy, CohortTraining(), chunk_bytes=1))
    assert [len(part) for part in one_each] == [1] * 40


@pytest.mark.parametrize("shared", [True, False])
def test_predict_equals_each_student_alone(shared):
    model, items = NCF(ITEMS, dimensions=4), torch.arange(ITEMS)
    parameters = starting_point(range(5), model)
    got = predict(model, parameters, items if shared else items.expand(5, -1), shared=shared)
    for client in range(5):
        model.load_state_dict({name: p[client] for name, p in parameters.items()})
        torch.testing.assert_close(got[client], model(items))


def test_columns_of_different_lengths_are_refused():
    columns = {"a": Ragged.from_rows([[1], [2]], np.int64), "b": Ragged.from_rows([[1, 2], []], np.int64)}
    with pytest.raises(ValueError, match="equal row lengths"):
        Examples(columns)
    with pytest.raises(ValueError, match="at least one"):
        Examples({})


@pytest.mark.parametrize("item", [-1, ITEMS + 1])
def test_unknown_items_are_refused(item):
    examples = Examples({"item": Ragged.from_rows([[item]], np.int64)}, items=("item",))
    model = NCF(ITEMS, dimensions=4)
    with pytest.raises(ValueError, match=r"items 0\.\.59"):
        renumber(examples, model.num_items)
