"""The adversary's view: single answers as a server sees them, for the attacks on them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.aggregation.masked import Masked
from fedkd.messages.serialisation import unpack_bits
from fedkd.messages.types import Spec, mask_bits
from fedkd.runs.config import Config
from fedkd.runs.dry_simulation import DrySimulation
from fedkd.secure_aggregation import SecureSum
from fedkd.secure_aggregation.harness import new_parties


def seen_of_clients(config: Config, chosen: DrySimulation) -> NDArray[np.float64]:
    """Return every real client's message of the first round, shape [clients, ...]; several arrays are joined flat.

    Where sums are secure, it is the answer under its masks, which real parties make here.
    """
    asks, plain = chosen.first_asks()
    bare, mechanism = chosen.mechanism.aggregator(plain), chosen.mechanism
    aggregator = Masked(bare, mechanism.participants) if config.masked else bare
    specs, rows = aggregator.specs, list[list[NDArray[Any]]]()
    for client in chosen.clients:
        sent = aggregator.encode(chosen.learnt(asks.take(np.array([client]))))
        rows.append([np.asarray(sent.values[name], np.float64) for name in specs])
    if len(specs) == 1:
        seen = np.stack([row[0] for row in rows])
    else:
        seen = np.stack([np.concatenate([part.ravel() for part in row]) for row in rows])
    return masked(seen, specs) if config.masked else seen


def masked(answers: NDArray[np.float64], specs: Mapping[str, Spec]) -> NDArray[np.float64]:
    """Return the messages of a secure sum of whole numbers, read as signed numbers, shape as given."""
    bits, count = mask_bits(specs), answers[0].size
    directory, parties = new_parties(len(answers), 2)
    server = SecureSum(directory, "audit", 1, 2, count, bits)
    shares = server.keys({client: party.advertise("audit", 1) for client, party in parties.items()})
    boxes = server.shares({client: parties[client].share(request) for client, request in shares.items()})
    sent = [
        unpack_bits(parties[client].mask(box, answers[client].astype(np.int64), bits), bits, count, signed=True)
        for client, box in sorted(boxes.items())
    ]
    return np.stack(sent).reshape(answers.shape).astype(np.float64)
