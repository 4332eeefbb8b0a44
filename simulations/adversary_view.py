"""What a server sees of single clients, for the attacks on it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.aggregation.release import release
from fedkd.messages.serialisation import unpack_bits
from fedkd.messages.types import Answers, Spec, mask_bits
from fedkd.runs.config import Config
from fedkd.runs.federation import protection
from fedkd.secure_aggregation import SecureSum
from fedkd.secure_aggregation.harness import new_parties
from simulations.dry_simulation import Rehearsal


def seen_of_clients(config: Config, chosen: Rehearsal) -> NDArray[np.float64]:
    """Return what leaves every real client in the first round, shape [clients, ...]; several arrays are joined flat.

    Where sums are secure that is the answer under its masks, which real parties make here.
    """
    asks, plain = chosen.first_asks()
    guard = protection(config, chosen.together.partition.num_clients)
    specs = guard.maskable(guard.specs(plain)) if is_masking(config) else guard.specs(plain)
    rows: list[list[NDArray[Any]]] = []
    for client in chosen.clients:
        own = asks.take(np.array([client]))
        sent: Answers = release(chosen.learnt(own), specs, guard)
        rows.append([np.asarray(sent.values[name], np.float64) for name in specs])
    if len(specs) == 1:
        seen = np.stack([row[0] for row in rows])
    else:
        seen = np.stack([np.concatenate([part.ravel() for part in row]) for row in rows])
    return masked(seen, specs) if is_masking(config) else seen


def is_masking(config: Config) -> bool:
    """Say whether real clients of this configuration mask their answers."""
    return config.privacy.sums == "secure" and config.algorithm.masks()


def masked(answers: NDArray[np.float64], specs: Mapping[str, Spec]) -> NDArray[np.float64]:
    """Return the messages of a secure sum of whole numbers, read as numbers modulo the grid's, shape as given."""
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
