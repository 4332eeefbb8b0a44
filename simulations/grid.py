"""Flower's grid in one process: no Ray, no daemon; messages go straight to the ClientApp."""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from flwr.app import Context, Error, Message, RecordDict, UserConfig
from flwr.app.message import make_message
from flwr.clientapp import ClientApp
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

FIRST_NODE = 1000


class InProcessGrid(Grid):
    """Nodes that are function calls, a few at a time.

    Parameters
    ----------
    client_app : ClientApp
        What every node runs.
    run_config : mapping
        The run configuration that every node sees.
    num_nodes : int
        How many nodes; each hosts a shard of the clients.
    workers : int
        How many nodes work at the same time, in threads.

    Notes
    -----
    ``Message`` reads the process-wide identity of a Flower task, which this sets: one grid per process at a time.
    """

    def __init__(self, client_app: ClientApp, run_config: UserConfig, num_nodes: int, workers: int = 1) -> None:
        self._run = Run.create_empty(1)
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, SUPERLINK_NODE_ID
        self._client_app, self._workers = client_app, workers
        self._contexts = {FIRST_NODE + i: _context(i, num_nodes, run_config) for i in range(num_nodes)}
        self._replies: dict[str, Message] = {}

    def set_run(self, run: Run) -> None:
        """Set the run that is being served."""
        self._run = run

    @property
    def run(self) -> Run:
        """The run that is being served."""
        return self._run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Return a message to a node."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """Return the ids of all nodes."""
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Let every addressed node work; its reply waits to be pulled."""
        sent = list(messages)
        for message in sent:
            message.metadata.__dict__["_message_id"] = uuid.uuid4().hex
        for reply in self._delivered(sent):
            if reply is not None:
                reply.metadata.__dict__["_message_id"] = uuid.uuid4().hex
                self._replies[reply.metadata.reply_to_message_id] = reply
        return [message.metadata.message_id for message in sent]

    def _delivered(self, sent: list[Message]) -> Iterator[Message | None]:
        """Yield the replies; after Ctrl-C no further node begins to work."""
        if self._workers == 1:
            yield from map(self.deliver, sent)
            return
        pool = ThreadPoolExecutor(self._workers)
        try:
            yield from pool.map(self.deliver, sent)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def deliver(self, message: Message) -> Message | None:
        """Return a node's reply; None is an answer that never comes."""
        context = self._contexts[message.metadata.dst_node_id]
        own = make_message(message.metadata, RecordDict(dict(message.content)))
        try:
            return self._client_app(own, context)
        except Exception as error:  # a node that fails costs its answer, as on a network
            reason = f"{type(error).__name__}: {error}"
            return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=message)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies to some messages."""
        return [self._replies.pop(i) for i in message_ids if i in self._replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Send messages and return the replies; nodes are in this process, so ``timeout`` never passes."""
        return self.pull_messages(self.push_messages(messages))


def _said(sent: list[Message]) -> str:
    """Return what messages make the clients do, in a word."""
    return sent[0].metadata.message_type.partition(".")[0] if sent else ""


def _context(node: int, num_nodes: int, run_config: Mapping[str, bool | int | float | str]) -> Context:
    place: dict[str, bool | int | float | str] = {"partition-id": node, "num-partitions": num_nodes}
    return Context(
        run_id=1, node_id=FIRST_NODE + node, node_config=place, state=RecordDict(), run_config=dict(run_config)
    )
