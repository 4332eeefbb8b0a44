"""The ClientApp: what a device, or a shard of simulated devices, does with a message."""

from collections.abc import Iterator

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from clients.host import Host, open_host
from fedkd.evaluation.device import DEVICE_METRICS, measure
from fedkd.knowledge import Answers, Asks
from fedkd.release import merge, release
from fedkd.wire import answer_record, read_ask

app = ClientApp()


@app.query("whoami")
def whoami(message: Message, context: Context) -> Message:
    """Say which clients this node hosts."""
    clients = open_host(context).clients.tolist()
    return Message(RecordDict({"who": ConfigRecord({"clients": clients or [-1]})}), reply_to=message)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Digest, train privately, and release an answer."""
    host, asks = open_host(context), read_ask(message.content)
    specs = host.protection.specs(host.config.algorithm.expects(asks))
    return Message(answer_record(merge(list(_answers(host, asks)), specs), specs), reply_to=message)


def _answers(host: Host, asks: Asks) -> Iterator[Answers]:
    protocol = host.config.algorithm
    for cohort in host.cohorts(asks.clients, asks.round):
        own = asks.take(cohort.clients)
        learnt, answers = protocol.learn(cohort, own)
        host.store.save(learnt.clients, learnt.states, asks.round)
        yield release(answers, host.protection.specs(protocol.expects(own)), host.protection)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Score the student on the users' own histories and say how good it is, without moving them."""
    host, asks = open_host(context), read_ask(message.content)
    parts = []
    for cohort in host.cohorts(asks.clients, asks.round + 1):
        scores = host.config.algorithm.predict(cohort, asks.take(cohort.clients))
        values = measure(scores, cohort.data, cohort.owner, len(cohort))
        parts.append(Answers(asks.round, cohort.clients, {"metrics": values}))
    return Message(answer_record(merge(parts, DEVICE_METRICS), DEVICE_METRICS), reply_to=message)
