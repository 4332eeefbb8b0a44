"""The ClientApp: the answers of a device, or of a shard of simulated devices, to the server's messages."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.common.logger import log
from numpy.typing import NDArray

from clients.catalogue import answer_catalogue
from clients.node import Host, open_host
from clients.secure import masked, take_part
from fedkd.aggregation.aggregator import Aggregator, without_infinities
from fedkd.distillation.item_popularity import PANEL, panel_answer, panel_spec
from fedkd.errors import UserError
from fedkd.evaluation.device import DEVICE_METRICS, METRICS_SUM, USERS_SUM, contributions, measure, users_sums
from fedkd.messages.flower import answer_record, claim_record, is_secure, read_ask, read_secure, turn_of
from fedkd.messages.missing import Missing
from fedkd.messages.records import dump_answers, load_answers
from fedkd.messages.types import Answers, Asks, mask_bits
from fedkd.privacy.ledger_account import Account
from fedkd.privacy.mechanisms.base import Mechanism
from fedkd.ragged import Ragged
from fedkd.secure_aggregation import RefusedError
from fedkd.secure_aggregation.identities import signed_attestation

ERROR = 40

app = ClientApp()


@app.query("whoami")
def whoami(message: Message, context: Context) -> Message:
    """Tell which clients this node hosts; a device that masks signs it, so that no other node can say the same."""
    host = open_host(context)
    signature = signed_attestation(host.folder, context.node_id, int(host.clients[0])) if host.is_masking else b""
    return Message(claim_record(host.clients, signature), reply_to=message)


@app.query("catalogue")
def catalogue(message: Message, context: Context) -> Message:
    """Say which catalogue this node holds, after storing the one that was sent, if any."""
    return Message(answer_catalogue(open_host(context).holder, message.content), reply_to=message)


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


@dataclass(frozen=True)
class Release:
    """A release that clients are asked for.

    Attributes
    ----------
    kind : str
        Names it in the ledger.
    mechanism : Mechanism
        The noise that clients add.
    aggregator : Aggregator
        The way of the answers.
    accounts : tuple of Account
        Everything that pays for it.
    make : callable
        Returns the raw answers of a group of clients.
    """

    kind: str
    mechanism: Mechanism
    aggregator: Aggregator
    accounts: tuple[Account, ...]
    make: Callable[[Asks], Answers]


@app.train()
def train(message: Message, context: Context) -> Message:
    """Digest, train on private data, and release an answer, under masks where only the sum is to be seen."""
    host, asks = open_host(context), read_ask(message.content)
    mechanism = host.mechanisms.answers

    def learn(own: Asks) -> Answers:
        learnt, answers = host.config.algorithm.learn(host.cohort(own.clients, own.round), own)
        host.store.save(learnt.clients, learnt.states, own.round)
        return answers

    aggregator = host.aggregator(mechanism, host.config.algorithm.expects(asks))
    accounts = _given(host.student_account, host.account(mechanism))
    return _respond(host, message, asks, Release("training", mechanism, aggregator, accounts, learn))


@app.train("panel")
def panel(message: Message, context: Context) -> Message:
    """Release which items the users have, so that popular ones can be chosen: a release before all others."""
    host, asks = open_host(context), read_ask(message.content)
    mechanism = host.mechanisms.panel
    if mechanism is None:
        raise UserError("what items clients have is not among what this run releases; set privacy.panel-share")

    def count(own: Asks) -> Answers:
        cohort = host.cohort(own.clients, own.round)
        items = panel_answer(cohort.data.train, cohort.owner, len(cohort))
        return Answers(own.round, own.clients, {PANEL: items})

    aggregator = host.aggregator(mechanism, panel_spec(int(asks.shared["items"][0])))
    accounts = _given(host.account(mechanism))
    return _respond(host, message, asks, Release("panel", mechanism, aggregator, accounts, count))


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Score the student on the users' own histories and tell how good it is, without moving them.

    Under protection that is one release more, of sums, if the configuration plans for it; otherwise nothing is told.
    Without it a device that masks its answers masks the sums over its users too.
    """
    host, asks = open_host(context), read_ask(message.content)
    planned = host.mechanisms
    mechanism = planned.metrics or planned.answers
    if mechanism.active and planned.metrics is None:
        raise UserError("metrics are not among what this run releases; set privacy.metrics-share, for example 0.1")
    plain, summary = DEVICE_METRICS, _rows
    if mechanism.active:
        plain, summary = METRICS_SUM, contributions
    elif host.is_masking:
        plain, summary = USERS_SUM, users_sums

    def count(own: Asks) -> Answers:
        return Answers(own.round, own.clients, {"metrics": summary(_measured(host, own))})

    aggregator, accounts = host.aggregator(mechanism, plain), _given(host.account(mechanism))
    return _respond(host, message, asks, Release("metrics", mechanism, aggregator, accounts, count))


def _rows(measured: Ragged) -> Ragged | NDArray[np.float64]:
    return measured


def _measured(host: Host, asks: Asks) -> Ragged:
    cohort = host.cohort(asks.clients, asks.round + 1)
    return measure(host.config.algorithm.predict(cohort, asks), cohort.data, cohort.owner, len(cohort))


def _respond(host: Host, message: Message, asks: Asks, what: Release) -> Message:
    """Release what is asked for, under masks where only the sum is to be seen."""
    host.terms.check(host.config)
    secure = is_secure(message.content)
    if host.is_masking and not secure:
        raise UserError("this run promises secure sums, and this question asks for a single answer; it gets none")
    if not secure:
        return Message(answer_record(_released(host, what, asks), what.aggregator.specs), reply_to=message)
    if read_secure(message.content)[1]["round"] != turn_of(asks.round, message.metadata.message_type):
        raise UserError("the sum is not that of the question, so its noise could be another's; it gets no answer")

    def vector() -> NDArray[np.int64]:
        answers = _released(host, what, asks)
        if not len(answers.clients):
            reason = next(iter(answers.refused))
            raise RefusedError("" if reason is Missing.EXHAUSTED else reason.text, reason)
        return np.concatenate([np.reshape(answers.values[name], -1) for name in what.aggregator.specs])

    bits = mask_bits(what.aggregator.specs)
    return take_part(host, message, masked(host, host.question(what.kind, asks), vector, bits))


def _released(host: Host, what: Release, asks: Asks) -> Answers:
    return what.aggregator.merge([_paid(host, what, asks.take(own)) for own in host.chunks(asks.clients)])


def _given(*accounts: Account | None) -> tuple[Account, ...]:
    return tuple(account for account in accounts if account is not None)


def _paid(host: Host, what: Release, asks: Asks) -> Answers:
    """Answer those who have budget left; what was answered before is said again, byte for byte."""
    if not what.accounts:
        return _made(host, what, asks)
    owners, kept, receipts = asks.clients, None, []
    for account in what.accounts:
        paid = account.pay(owners, host.question(what.kind, asks))
        owners, kept = paid.owners, kept or paid.kept
        if paid.refused:
            about = "" if asks.reference is None else asks.reference.fingerprint
            return _exhausted(Answers(asks.round, owners, {}, about), asks.clients)
        receipts.append((account, paid))
    record = kept or dump_answers(_made(host, what, asks.take(owners)))
    for account, paid in receipts:
        record = account.keep(paid, record)
    return _exhausted(load_answers(record), asks.clients)


def _exhausted(answers: Answers, asked: NDArray[np.int64]) -> Answers:
    """Return answers that name the clients whose budget is exhausted."""
    left = np.setdiff1d(asked, answers.clients)
    if not len(left):
        return answers
    return replace(answers, refused={**answers.refused, Missing.EXHAUSTED: left.tolist()})


def _made(host: Host, what: Release, asks: Asks) -> Answers:
    """Return encoded answers; where nobody may see them bare, an error in making them becomes an answer of zeros.

    A server that chose scores which overflow for some histories could read these from errors otherwise.
    """
    if not host.is_hiding(what.mechanism):
        return what.aggregator.encode(what.make(asks))
    try:
        return what.aggregator.encode(without_infinities(what.make(asks)))
    except Exception:  # whatever it is, the server must not learn of it
        log(ERROR, "no %s answer could be computed; zeros are released in its place", what.kind, exc_info=True)
    zeros = {name: np.zeros((len(asks.clients), *spec.shape)) for name, spec in what.aggregator.specs.items()}
    about = asks.reference.fingerprint if asks.reference else ""
    return what.aggregator.encode(Answers(asks.round, asks.clients, zeros, about))
