"""The ClientApp: what a device, or a shard of simulated devices, does with a message."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.common.logger import log
from numpy.typing import NDArray

from clients.node import Host, open_host
from clients.secure import masked, take_part
from fedkd.aggregation.release import merge, release, without_infinities
from fedkd.distillation.item_popularity import PANEL, panel_answer, panel_spec
from fedkd.errors import UserError
from fedkd.evaluation.device import DEVICE_METRICS, METRICS_SUM, USERS_SUM, contributions, measure, users_sums
from fedkd.messages.flower import answer_record, claim_record, is_secure, read_ask, read_secure, turn_of
from fedkd.messages.types import Answers, Asks, Spec, mask_bits
from fedkd.privacy.ledger_account import Account, refuse
from fedkd.privacy.mechanism import Protection
from fedkd.ragged import Ragged
from fedkd.secure_aggregation import RefusedError
from fedkd.secure_aggregation.identities import signed_attestation

ERROR = 40

app = ClientApp()


@app.query("whoami")
def whoami(message: Message, context: Context) -> Message:
    """Say which clients this node hosts; a device that masks signs it, so that no other node can say the same."""
    host = open_host(context)
    signature = signed_attestation(host.folder, context.node_id, int(host.clients[0])) if host.is_masking else b""
    return Message(claim_record(host.clients, signature), reply_to=message)


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
    """What clients are asked to release, and how they come to it.

    Attributes
    ----------
    kind : str
        Names it in the ledger.
    specs : mapping of str to Spec
        What leaves.
    accounts : tuple of Account
        What pays for it, all of them.
    guard : Protection
        The noise that clients add.
    make : callable
        Returns the raw answers of a group of clients.
    """

    kind: str
    specs: Mapping[str, Spec]
    accounts: tuple[Account, ...]
    guard: Protection
    make: Callable[[Asks], Answers]


@app.train()
def train(message: Message, context: Context) -> Message:
    """Digest, train privately, and release an answer, under masks where only the sum is to be seen."""
    host, asks = open_host(context), read_ask(message.content)
    specs = host.answer_specs(asks)

    def learn(own: Asks) -> Answers:
        learnt, answers = host.config.algorithm.learn(host.cohort(own.clients, own.round), own)
        host.store.save(learnt.clients, learnt.states, own.round)
        return answers

    accounts = _given(host.student_account, host.account(host.protection))
    return _respond(host, message, asks, Release("training", specs, accounts, host.protection, learn))


@app.train("panel")
def panel(message: Message, context: Context) -> Message:
    """Release what items the users have, so that popular ones can be chosen: a release before all others."""
    host, asks = open_host(context), read_ask(message.content)
    guard = host.panel_protection
    if guard is None:
        raise UserError("what items clients have is not among what this run releases; set privacy.panel-share")
    specs = host.leaving(guard, panel_spec(int(asks.shared["items"][0])))

    def count(own: Asks) -> Answers:
        cohort = host.cohort(own.clients, own.round)
        items = panel_answer(cohort.data.train, cohort.owner, len(cohort))
        return Answers(own.round, own.clients, {PANEL: items})

    return _respond(host, message, asks, Release("panel", specs, _given(host.account(guard)), guard, count))


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Score the student on the users' own histories and say how good it is, without moving them.

    Under protection that is one release more, of sums, if the configuration plans for it; otherwise nothing is said.
    Without it a device that masks its answers masks the sums over its users too.
    """
    host, asks = open_host(context), read_ask(message.content)
    guard = host.metrics_protection or host.protection
    if guard.active and host.metrics_protection is None:
        raise UserError("metrics are not among what this run releases; set privacy.metrics-share, for example 0.1")
    plain = METRICS_SUM if guard.active else USERS_SUM if host.is_masking else DEVICE_METRICS
    specs = host.leaving(guard, plain)

    def count(own: Asks) -> Answers:
        measured = _measured(host, own)
        told = contributions(measured) if guard.active else users_sums(measured) if host.is_masking else measured
        return Answers(own.round, own.clients, {"metrics": told})

    return _respond(host, message, asks, Release("metrics", specs, _given(host.account(guard)), guard, count))


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
        return Message(answer_record(_released(host, what, asks), what.specs), reply_to=message)
    if read_secure(message.content)[1]["round"] != turn_of(asks.round, message.metadata.message_type):
        raise UserError("the sum is not that of the question, so its noise could be another's; it gets no answer")

    def vector() -> NDArray[np.int64]:
        answers = _released(host, what, asks)
        if not len(answers.clients):
            raise RefusedError(next(iter(answers.refused)))
        return np.concatenate([np.reshape(answers.values[name], -1) for name in what.specs])

    return take_part(host, message, masked(host, host.question(what.kind, asks), vector, mask_bits(what.specs)))


def _released(host: Host, what: Release, asks: Asks) -> Answers:
    return merge([_paid(host, what, asks.take(own)) for own in host.chunks(asks.clients)], what.specs)


def _given(*accounts: Account | None) -> tuple[Account, ...]:
    return tuple(account for account in accounts if account is not None)


def _paid(host: Host, what: Release, asks: Asks) -> Answers:
    """Answer those who have budget left; what was answered before is said again, byte for byte."""
    owners, kept, receipts = asks.clients, None, []
    for account in what.accounts:
        paid = account.pay(owners, host.question(what.kind, asks))
        owners, kept = paid.owners, kept or paid.kept
        if not len(owners):
            about = "" if asks.reference is None else asks.reference.fingerprint
            return refuse(Answers(asks.round, owners, {}, about), asks.clients)
        receipts.append((account, paid))
    answers = kept or _made(host, what, asks.take(owners))
    for account, paid in receipts:
        answers = account.keep(paid, answers)
    return refuse(answers, np.setdiff1d(asks.clients, answers.clients)) if receipts else answers


def _made(host: Host, what: Release, asks: Asks) -> Answers:
    """Return released answers; where nobody may see them bare, an error in making them becomes an answer of zeros.

    A server that chose what scores overflow for which histories could read these from errors otherwise.
    """
    if not host.is_hiding(what.guard):
        return release(what.make(asks), what.specs, what.guard)
    try:
        return release(without_infinities(what.make(asks)), what.specs, what.guard)
    except Exception:  # whatever it is, the server must not learn of it
        log(ERROR, "no %s answer could be computed; zeros are released in its place", what.kind, exc_info=True)
    zeros = {name: np.zeros((len(asks.clients), *spec.shape)) for name, spec in what.specs.items()}
    about = asks.reference.fingerprint if asks.reference else ""
    return release(Answers(asks.round, asks.clients, zeros, about), what.specs, what.guard)
