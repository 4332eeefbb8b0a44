"""One question to many nodes, and what came of it; a bad node costs its answer and never raises."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from flwr.app import Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.common.logger import log
from flwr.serverapp import Grid
from numpy.typing import NDArray

from fedkd.knowledge import Answers, Asks

WARNING = 30


@dataclass(frozen=True)
class Replies:
    """What came back.

    Attributes
    ----------
    contents : dict of int to RecordDict
        By node.
    failures : dict of int to str
        Why a node's answer is missing.
    """

    contents: dict[int, RecordDict]
    failures: dict[int, str]


def exchange(grid: Grid, kind: str, contents: Mapping[int, RecordDict], timeout: float) -> Replies:
    """Send every node its content once and wait for the answers until ``timeout`` seconds have passed."""
    messages = [Message(content, dst_node_id=node, message_type=kind) for node, content in contents.items()]
    return collect(messages, list(grid.send_and_receive(messages, timeout=timeout)))


def collect(asked: list[Message], replies: list[Message]) -> Replies:
    """Match replies to what was asked; the sender of an error reply is not always its node."""
    node_of = {message.metadata.message_id: message.metadata.dst_node_id for message in asked}
    answers: dict[int, RecordDict] = {}
    failures = dict.fromkeys(node_of.values(), "no answer in time")
    for reply in replies:
        node = node_of.get(reply.metadata.reply_to_message_id)
        if node is None or node in answers:
            continue
        if reply.has_error():
            failures[node] = _reason(reply)
        else:
            answers[node] = reply.content
            del failures[node]
    return Replies(answers, failures)


def missing(asks: Asks, answers: Answers) -> dict[str, NDArray[np.int64]]:
    """Return who of those asked is not in an answer, by reason."""
    named = {
        reason: np.intersect1d(np.asarray(clients, np.int64), asks.clients)
        for reason, clients in answers.refused.items()
    }
    silent = np.setdiff1d(asks.clients, np.concatenate([answers.clients, *named.values()]))
    return named | ({"left out of the answer": silent} if len(silent) else {})


def _reason(reply: Message) -> str:
    names = {int(code): name for name, code in vars(ErrorCode).items() if isinstance(code, int)}
    name = names.get(reply.error.code, f"error {reply.error.code}").lower().replace("_", " ")
    log(WARNING, "a node failed: %s: %s", name, reply.error.reason)
    return name


def find_hosts(grid: Grid, known: Mapping[int, NDArray[np.int64]], timeout: float) -> dict[int, NDArray[np.int64]]:
    """Return the connected nodes and the clients each hosts; only nodes not known before are asked.

    A client that two nodes claim belongs to the first of them.
    """
    connected = set(grid.get_node_ids())
    hosts = {node: clients for node, clients in known.items() if node in connected}
    strangers = sorted(connected - hosts.keys())
    if strangers:
        replies = exchange(grid, "query.whoami", dict.fromkeys(strangers, RecordDict()), timeout)
        taken = np.concatenate([*hosts.values(), np.zeros(0, np.int64)])
        for node in sorted(replies.contents):
            clients = _claimed(replies.contents[node])
            hosts[node] = np.setdiff1d(clients, taken)
            taken = np.concatenate([taken, clients])
    return hosts


def _claimed(content: RecordDict) -> NDArray[np.int64]:
    try:
        clients = np.unique(np.asarray(content.config_records["who"]["clients"], np.int64))
    except (KeyError, TypeError, ValueError):
        return np.zeros(0, np.int64)
    return clients[clients >= 0]


def wait_for_hosts(grid: Grid, num_clients: int, wait: float, timeout: float) -> dict[int, NDArray[np.int64]]:
    """Wait until every registered client is hosted by a connected node, at most ``wait`` seconds."""
    end = time.monotonic() + wait
    hosts = find_hosts(grid, {}, timeout)
    while sum(map(len, hosts.values())) < num_clients and time.monotonic() < end:
        time.sleep(min(0.5, wait))
        hosts = find_hosts(grid, hosts, timeout)
    return hosts
