"""The ClientApp: the answers of a device, or of a shard of simulated devices, to the server's messages."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import ClientAppCallable
from flwr.common.constant import ErrorCode
from flwr.common.logger import log
from numpy.typing import NDArray

from clients.catalogue import answer_catalogue
from clients.node import ClientNode, is_device, open_node
from clients.policy import ClientPolicy
from clients.secure import masked, take_part, unmasked
from clients.student import keep_student
from fedkd.aggregation.aggregator import Aggregator
from fedkd.aggregation.noised import without_infinities
from fedkd.distillation.item_popularity import PANEL, panel_answer, panel_spec
from fedkd.errors import DivergedError, UserError
from fedkd.evaluation.device import DEVICE_METRICS, METRICS_SUM, USERS_SUM, contributions, measure, users_sums
from fedkd.messages.flower import answer_record, attestation_record, is_secure, read_ask, read_secure, turn_of
from fedkd.messages.missing import Missing
from fedkd.messages.records import dump_answers, load_answers
from fedkd.messages.types import Answers, Asks, mask_bits
from fedkd.privacy.ledger_account import Account
from fedkd.privacy.mechanisms.base import Mechanism
from fedkd.ragged import Ragged
from fedkd.registry import only_modules
from fedkd.secure_aggregation import RefusedError
from fedkd.secure_aggregation.identities import signed_attestation

ERROR = 40


def in_words(message: Message, context: Context, answer: ClientAppCallable) -> Message:
    """Answer, or say in a line what the owner or the server can mend; Flower would log a traceback."""
    try:
        return answer(message, context)
    except UserError as error:
        if is_device(context):
            log(ERROR, "no answer to %s: %s", message.metadata.message_type, error)
        return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, f"UserError: {error}"), reply_to=message)


def on_own_terms(message: Message, context: Context, answer: ClientAppCallable) -> Message:
    """Answer without importing a module that the owner of a device has not allowed."""
    if not is_device(context):
        return answer(message, context)
    with only_modules(ClientPolicy.of_node(context.node_config).modules or ()):
        return answer(message, context)


app = ClientApp(mods=[in_words, on_own_terms])


@app.query("whoami")
def whoami(message: Message, context: Context) -> Message:
    """Name the clients of this node; a device that masks also signs, so that no other node can claim its client."""
    node = open_node(context)
    signature = signed_attestation(node.folder, context.node_id, int(node.clients[0])) if node.is_masking else b""
    return Message(attestation_record(node.clients, signature), reply_to=message)


@app.query("catalogue")
def catalogue(message: Message, context: Context) -> Message:
    """Say which catalogue this node holds, after storing the one that was sent, if any."""
    return Message(answer_catalogue(open_node(context).holder, message.content), reply_to=message)


@app.query("student")
def student(message: Message, context: Context) -> Message:
    """Keep the student that the server has made, for the owner of this device; nothing is told in return."""
    node, asks = open_node(context, message), read_ask(message.content)
    node.policy.check(node.config)
    keep_student(node, asks)
    return Message(RecordDict(), reply_to=message)


@app.query("keys")
def keys(message: Message, context: Context) -> Message:
    """Begin a secure sum with keys of this round, signed."""
    return take_part(open_node(context), message, lambda party, _, turn: party.advertise(turn.name, turn.number))


@app.query("shares")
def shares(message: Message, context: Context) -> Message:
    """Deal shares of this round's secrets to neighbours whose keys are theirs."""
    return take_part(open_node(context), message, lambda party, request, _: party.share(request))


@app.query("unmask")
def unmask(message: Message, context: Context) -> Message:
    """Help to open the sum of those who answered."""
    node = open_node(context)
    return take_part(node, message, unmasked(node))


@dataclass(frozen=True)
class ClientRelease:
    """A release that clients are asked for.

    Attributes
    ----------
    kind : str
        Name of the release in the ledger.
    mechanism : Mechanism
        The noise that clients add.
    aggregator : Aggregator
        Encodes the answers.
    accounts : tuple of Account
        All accounts that pay for the release.
    make : callable
        Returns the raw answers of a group of clients.
    run : str
        The run that asks, where its server sees sums alone: every run is then another question.
    """

    kind: str
    mechanism: Mechanism
    aggregator: Aggregator
    accounts: tuple[Account, ...]
    make: Callable[[Asks], Answers]
    run: str = ""


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train on private data and release an answer, under masks where the server may see only the sum."""
    node, asks = open_node(context, message), read_ask(message.content)
    mechanism = node.mechanisms.answers

    def learn(own: Asks) -> Answers:
        learnt, answers = node.config.algorithm.learn(node.cohort(own.clients, own.round), own)
        node.store.save(learnt.clients, learnt.states, own.round)
        return answers

    aggregator = node.aggregator(mechanism, node.config.algorithm.expects(asks))
    accounts = _given(node.student_account, node.account(mechanism))
    return _respond(node, message, asks, ClientRelease("training", mechanism, aggregator, accounts, learn))


@app.train("panel")
def panel(message: Message, context: Context) -> Message:
    """Release which items the users have, before all other releases, so that the server can choose popular ones."""
    node, asks = open_node(context, message), read_ask(message.content)
    mechanism = node.mechanisms.panel
    if mechanism is None:
        raise UserError("this run does not release which items clients have; set privacy.panel-share, for example 0.1")

    def count(own: Asks) -> Answers:
        cohort = node.cohort(own.clients, own.round)
        items = panel_answer(cohort.data.train, cohort.owner, len(cohort))
        return Answers(own.round, own.clients, {PANEL: items})

    aggregator = node.aggregator(mechanism, panel_spec(int(asks.shared["items"][0])))
    accounts = _given(node.account(mechanism))
    return _respond(node, message, asks, ClientRelease("panel", mechanism, aggregator, accounts, count))


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Measure the student on the users' own histories, which stay here, and return the metrics.

    Under protection the metrics are one more release, of sums, and only if the configuration plans for it. Without
    protection a device that masks its answers also masks the sums over its users.
    """
    node, asks = open_node(context, message), read_ask(message.content)
    planned = node.mechanisms
    mechanism = planned.metrics or planned.answers
    if mechanism.active and planned.metrics is None:
        raise UserError("this run does not release metrics; set privacy.metrics-share, for example 0.1")
    plain, summary = DEVICE_METRICS, _rows
    if mechanism.active:
        plain, summary = METRICS_SUM, contributions
    elif node.is_masking:
        plain, summary = USERS_SUM, users_sums

    def count(own: Asks) -> Answers:
        return Answers(own.round, own.clients, {"metrics": summary(_measured(node, own))})

    node.policy.check(node.config)
    keep_student(node, asks)
    aggregator, accounts = node.aggregator(mechanism, plain), _given(node.account(mechanism))
    return _respond(node, message, asks, ClientRelease("metrics", mechanism, aggregator, accounts, count))


def _rows(measured: Ragged) -> Ragged | NDArray[np.float64]:
    return measured


def _measured(node: ClientNode, asks: Asks) -> Ragged:
    cohort = node.cohort(asks.clients, asks.round + 1)
    return measure(node.config.algorithm.predict(cohort, asks), cohort.data, cohort.owner, len(cohort))


def _respond(node: ClientNode, message: Message, asks: Asks, release: ClientRelease) -> Message:
    """Return the reply to a message, under masks where the server may see only the sum."""
    node.policy.check(node.config)
    secure = is_secure(message.content)
    if node.is_masking and not secure:
        raise UserError("this run promises secure sums, but the server asks for a single answer; it gets none")
    if not secure:
        return Message(answer_record(_released(node, release, asks), release.aggregator.specs), reply_to=message)
    head = read_secure(message.content)[1]
    release = replace(release, run=str(head["run"]))
    if head["round"] != turn_of(asks.round, message.metadata.message_type):
        raise UserError("the secure sum belongs to another question, whose noise may differ; it gets no answer")

    def _vector() -> NDArray[np.int64]:
        answers = _released(node, release, asks)
        if not len(answers.clients):
            reason = next(iter(answers.refused))
            raise RefusedError("" if reason is Missing.EXHAUSTED else reason.text, reason)
        return np.concatenate([np.reshape(answers.values[name], -1) for name in release.aggregator.specs])

    bits = mask_bits(release.aggregator.specs)
    return take_part(node, message, masked(node, node.question(release.kind, asks, release.run), _vector, bits))


def _released(node: ClientNode, release: ClientRelease, asks: Asks) -> Answers:
    return release.aggregator.merge([_paid(node, release, asks.take(own)) for own in node.chunks(asks.clients)])


def _given(*accounts: Account | None) -> tuple[Account, ...]:
    return tuple(account for account in accounts if account is not None)


def _paid(node: ClientNode, release: ClientRelease, asks: Asks) -> Answers:
    """Answer for the clients who have budget left; an answer that was given before is repeated byte for byte."""
    if not release.accounts:
        return _made(node, release, asks)
    owners, kept, receipts = asks.clients, None, []
    for account in release.accounts:
        paid = account.pay(owners, node.question(release.kind, asks, release.run))
        owners, kept = paid.owners, kept or paid.kept
        if paid.refused:
            return _exhausted(Answers(asks.round, owners, {}, asks.fingerprint), asks.clients)
        receipts.append((account, paid))
    record = kept or dump_answers(_made(node, release, asks.take(owners)))
    for account, paid in receipts:
        record = account.keep(paid, record)
    return _exhausted(load_answers(record), asks.clients)


def _exhausted(answers: Answers, asked: NDArray[np.int64]) -> Answers:
    """Return answers that name the clients whose budget is exhausted."""
    left = np.setdiff1d(asked, answers.clients)
    if not len(left):
        return answers
    return replace(answers, refused={**answers.refused, Missing.EXHAUSTED: left.tolist()})


def _made(node: ClientNode, release: ClientRelease, asks: Asks) -> Answers:
    """Return encoded answers; where the server may not see them as they are, an error becomes an answer of zeros.

    Otherwise a server could choose scores that overflow for some histories, and learn from errors who has them.
    """
    if not node.is_hiding(release.mechanism):
        try:
            return release.aggregator.encode(release.make(asks))
        except DivergedError:
            refused = {Missing.NOT_FINITE: asks.clients.tolist()}
            return Answers(asks.round, asks.clients[:0], {}, asks.fingerprint, refused)
    try:
        return release.aggregator.encode(without_infinities(release.make(asks)))
    except Exception:  # whatever it is, the server must not learn of it
        log(ERROR, "no %s answer could be computed; zeros are released in its place", release.kind, exc_info=True)
    zeros = {name: np.zeros((len(asks.clients), *spec.shape)) for name, spec in release.aggregator.specs.items()}
    return release.aggregator.encode(Answers(asks.round, asks.clients, zeros, asks.fingerprint))
