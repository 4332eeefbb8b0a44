"""Who hosts whom, as nodes say it and as the server believes it."""

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp

from fedkd.secure_aggregation import Directory, Identity
from fedkd.secure_aggregation.attestation import sign_attestation
from server.node_registry import NodeRegistry
from simulations.grid import FIRST_NODE, InProcessGrid


class Claimants(InProcessGrid):
    """Nodes that say what they are told to say."""

    def __init__(self, *claims: object) -> None:
        super().__init__(ClientApp(), {}, len(claims))
        self.claims = {FIRST_NODE + place: claim for place, claim in enumerate(claims)}
        self.asked: list[int] = []

    def deliver(self, message: Message) -> Message | None:
        node = message.metadata.dst_node_id
        self.asked.append(node)
        claim = self.claims[node]
        about = claim if isinstance(claim, dict) else {"clients": claim, "signature": b""}
        return Message(RecordDict({"who": ConfigRecord(about)}), reply_to=message)

    def leave(self, place: int) -> None:
        del self._contexts[FIRST_NODE + place]


def hosted(grid: Claimants, directory: Directory | None = None) -> list[list[int]]:
    return [clients.tolist() for clients in NodeRegistry(grid, 4, 1.0, directory).look().values()]


@pytest.mark.parametrize(
    "claim", [[2**64 - 1], [-1], [4], [10**6], [True], [0.0], ["0"], [b"0"], 0, "0", float("nan"), [float("nan")]]
)
def test_a_node_that_claims_what_cannot_be_hosts_nobody(claim: object) -> None:
    assert hosted(Claimants(claim, [0, 1])) == [[], [0, 1]]


def test_clients_that_are_not_registered_are_left_out_of_a_claim() -> None:
    assert hosted(Claimants([3, -7, 2, 4, 3, 2**62])) == [[2, 3]]


def test_a_client_belongs_to_the_first_node_that_claims_it_as_long_as_that_is_connected() -> None:
    grid = Claimants([0, 1], [1, 2], [1])
    hosts = NodeRegistry(grid, 4, 1.0)
    assert [clients.tolist() for clients in hosts.look().values()] == [[0, 1], [2], []]
    grid.leave(0)
    assert [clients.tolist() for clients in hosts.look().values()] == [[1, 2], []]
    assert grid.asked == [FIRST_NODE, FIRST_NODE + 1, FIRST_NODE + 2]


def test_waiting_ends_when_every_client_is_there() -> None:
    found = NodeRegistry(Claimants([0, 1], [2, 3]), 4, 1.0).wait(1000.0)
    np.testing.assert_array_equal(np.concatenate(list(found.values())), np.arange(4))


IDENTITIES = {client: Identity.generate() for client in (0, 1, 2, 9)}
DIRECTORY = Directory({client: identity.public for client, identity in IDENTITIES.items()})


def signed(place: int, client: int, *, by: int, told: object = None) -> dict[str, object]:
    """A claim of the node at a place, signed by a client's identity."""
    signature = sign_attestation(IDENTITIES[by], DIRECTORY, FIRST_NODE + place, client)
    return {"clients": [client] if told is None else told, "signature": signature}


@pytest.mark.parametrize(
    "claim",
    [
        {"clients": [0, 1, 2], "signature": b""},
        {"clients": [1], "signature": b""},
        {"clients": [1]},
        {"clients": [1], "signature": "1"},
        {"clients": [1], "signature": bytes(64)},
        signed(1, 1, by=1),
        signed(0, 1, by=0),
        signed(0, 1, by=1, told=[0, 1]),
        signed(0, 1, by=1, told=[2]),
        signed(0, 9, by=9),
        signed(0, 3, by=2),
        {"clients": [-1], "signature": b""},
    ],
)
def test_where_clients_have_identities_only_what_one_of_them_signed_is_believed(claim: object) -> None:
    others = [signed(place, client, by=client) for place, client in enumerate((1, 0, 2), start=1)]
    assert hosted(Claimants(claim, *others), DIRECTORY) == [[], [1], [0], [2]]


def test_waiting_for_any_of_some_ends_when_one_of_them_is_there() -> None:
    hosts = NodeRegistry(Claimants([0, 1], [2]), 4, 1.0)
    assert len(hosts.wait(1000.0, np.array([2, 3]))) == 2
    assert len(hosts.wait(0.0, np.array([3]))) == 2
