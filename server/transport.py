"""The transport of questions to nodes and of replies back; a bad node loses its own answer and raises no error."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from flwr.app import Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.common.logger import log
from flwr.serverapp import Grid
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from fedkd.messages.missing import Failure, Missing
from fedkd.messages.types import Answers, Asks
from fedkd.messages.validation import short

WARNING = 30


@dataclass(frozen=True)
class Replies:
    """The replies to one question.

    Attributes
    ----------
    contents : dict of int to RecordDict
        The replies by node.
    failures : dict of int to Failure
        The reasons of missing answers by node.
    """

    contents: dict[int, RecordDict]
    failures: dict[int, Failure]


def exchange(grid: Grid, kind: str, contents: Mapping[int, RecordDict], timeout: float, run: str = "") -> Replies:
    """Send every node its content once, for a run, and wait for the answers until ``timeout`` seconds have passed."""
    messages = [
        Message(content, dst_node_id=node, message_type=kind, group_id=run) for node, content in contents.items()
    ]
    return collect(messages, deliver(grid, messages, timeout))


def deliver(grid: Grid, messages: list[Message], timeout: float) -> list[Message]:
    """Send messages and return the replies that came until ``timeout`` seconds have passed.

    Flower unpacks replies in groups. If it cannot read one of them, the others of its group are lost too, and the run
    goes on. If the connection itself fails, the error is raised: otherwise rounds that reach nobody would spend budget.
    """
    try:
        return list(grid.send_and_receive(messages, timeout=timeout))
    except (DecodeError, LookupError, TypeError, ValueError, AttributeError) as error:
        log(WARNING, "a reply cannot be unpacked, and those beside it are lost: %s", short(str(error)))
        return []


def collect(asked: list[Message], replies: list[Message]) -> Replies:
    """Match replies to the messages they answer; the sender of an error reply is not always the asked node."""
    node_of = {message.metadata.message_id: message.metadata.dst_node_id for message in asked}
    answers: dict[int, RecordDict] = {}
    failures = dict.fromkeys(node_of.values(), Failure(Missing.LATE))
    for reply in replies:
        node = node_of.get(reply.metadata.reply_to_message_id)
        if node is None or node in answers:
            continue
        if reply.has_error():
            failures[node] = _failure(reply)
        else:
            answers[node] = reply.content
            del failures[node]
    return Replies(answers, failures)


def missing(asks: Asks, answers: Answers) -> Iterator[tuple[Missing, NDArray[np.int64]]]:
    """Yield the clients that were asked and are not in an answer, each once, by reason."""
    left = np.setdiff1d(asks.clients, answers.clients)
    for reason, named in [*answers.refused.items(), (Missing.LEFT_OUT, left.tolist())]:
        clients = np.intersect1d(left, np.asarray(named, np.int64))
        left = np.setdiff1d(left, clients)
        if len(clients):
            yield reason, clients


def _failure(reply: Message) -> Failure:
    names = {int(code): name for name, code in vars(ErrorCode).items() if isinstance(code, int)}
    name = names.get(reply.error.code, f"error {reply.error.code}").lower().replace("_", " ")
    log(WARNING, "a node failed: %s: %s", name, short(reply.error.reason))
    return Failure(Missing.NODE_FAILED, name)
