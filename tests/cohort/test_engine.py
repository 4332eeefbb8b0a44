"""The batched computation against the loop over clients that it replaces."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from fedkd.cohort.chunks import Model
from fedkd.cohort.engine import replicate, train
from fedkd.cohort.examples import Examples, shuffled
from fedkd.cohort.sampling import labelled_pairs, sample_negatives
from fedkd.cohort.training import Training
from fedkd.models.ncf import NCF
from fedkd.ragged import Ragged
from fedkd.streams import stream

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
    training = Training(0.01, epochs=3, batch_size=16, optimiser=optimiser, chunk_bytes=100_000)
    examples, model = pairs(clients), NCF(ITEMS, dimensions=4)
    parameters = starting_point(clients, model)
    expected, expected_losses = one_at_a_time(model, parameters, examples, training, streams(clients))
    losses = train(model, parameters, examples, entropy, training, streams(clients))
    assert_equal(parameters, expected)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)


def test_fifty_clients_together_equal_fifty_cohorts_of_one():
    clients = np.arange(50)
    training = Training(0.01, epochs=2, batch_size=16)
    model = NCF(ITEMS, dimensions=4)
    together = starting_point(clients, model)
    losses = train(model, together, pairs(clients), entropy, training, streams(clients))
    for client in clients:
        alone = starting_point([client], model)
        own = train(model, alone, pairs([client]), entropy, training, streams([client]))
        assert_equal(alone, {name: p[client : client + 1] for name, p in together.items()})
        np.testing.assert_allclose(own[0], losses[client], rtol=1e-5)
