"""The ClientApp: what a device, or a shard of simulated devices, does with a message."""

from collections.abc import Iterator

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from clients.host import Host, open_host
from clients.secure import masked, take_part
from fedkd.errors import UserError
from fedkd.evaluation.device import DEVICE_METRICS, measure
from fedkd.knowledge import Answers, Asks, mask_bits
from fedkd.privacy.account import Account, refuse
from fedkd.release import merge, release
from fedkd.wire import answer_record, is_secure, read_ask, refusal_record

app = ClientApp()


@app.query("whoami")
def whoami(message: Message, context: Context) -> Message:
    """Say which clients this node hosts."""
    clients = open_host(context).clients.tolist()
    return Message(RecordDict({"who": ConfigRecord({"clients": clients or [-1]})}), reply_to=message)


@app.query("keys")
def keys(message: Message, context: Context) -> Message:
    """Begin a secure sum with keys of this round, signed."""
    return take_part(open_host(context), message, lambda party, _, run, number: party.advertise(run, number))


@app.query("shares")
def shares(message: Message, context: Context) -> Message:
    """Deal shares of this round's secrets to neighbours whose keys are theirs."""
    return take_part(open_host(context), message, lambda party, request, *_: party.share(request))


@app.query("unmask")
def unmask(message: Message, context: Context) -> Message:
    """Help to open the sum of those who answered."""
    return take_part(open_host(context), message, lambda party, request, *_: party.unmask(request))


@app.train()
def train(message: Message, context: Context) -> Message:
    """Digest, train privately, and release an answer, under masks where only the sum is to be seen."""
    host, asks = open_host(context), read_ask(message.content)
    specs = host.specs(asks)
    secure = is_secure(message.content)
    if host.is_masking and not secure:
        raise UserError("this run promises secure sums, and this question asks for a single answer; it gets none")
    answers = merge(list(_answers(host, asks)), specs)
    if not secure:
        return Message(answer_record(answers, specs), reply_to=message)
    if not len(answers.clients):
        return Message(refusal_record(next(iter(answers.refused))), reply_to=message)
    vector = np.concatenate([np.reshape(answers.values[name], -1) for name in specs])
    return take_part(host, message, masked(host, host.question(asks), vector, mask_bits(specs)))


def _answers(host: Host, asks: Asks) -> Iterator[Answers]:
    for clients in host.chunks(asks.clients):
        own = asks.take(clients)
        yield _learn(host, own) if host.account is None else _paid(host, host.account, own)


def _paid(host: Host, account: Account, asks: Asks) -> Answers:
    """Answer those who have budget left; what was answered before is said again, byte for byte."""
    paid = account.pay(asks.clients, host.question(asks))
    if not len(paid.owners):
        about = "" if asks.reference is None else asks.reference.fingerprint
        return refuse(Answers(asks.round, paid.owners, {}, about), asks.clients)
    kept = paid.kept or account.keep(paid, _learn(host, asks.take(paid.owners)))
    return refuse(kept, np.setdiff1d(asks.clients, kept.clients))


def _learn(host: Host, asks: Asks) -> Answers:
    protocol, cohort = host.config.algorithm, host.cohort(asks.clients, asks.round)
    learnt, answers = protocol.learn(cohort, asks)
    host.store.save(learnt.clients, learnt.states, asks.round)
    return release(answers, host.specs(asks), host.protection)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Score the student on the users' own histories and say how good it is, without moving them."""
    host, asks = open_host(context), read_ask(message.content)
    parts = []
    for clients in host.chunks(asks.clients):
        cohort = host.cohort(clients, asks.round + 1)
        scores = host.config.algorithm.predict(cohort, asks.take(clients))
        values = measure(scores, cohort.data, cohort.owner, len(cohort))
        parts.append(Answers(asks.round, cohort.clients, {"metrics": values}))
    return Message(answer_record(merge(parts, DEVICE_METRICS), DEVICE_METRICS), reply_to=message)
