"""Runs whose server sees sums alone: real client folders and messages, in one process."""

import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict

from clients.node import open_node
from clients.policy import ClientPolicy
from fedkd.aggregation.masked import Masked
from fedkd.errors import UserError
from fedkd.messages.flower import attestation_record, secure_record
from fedkd.messages.missing import Missing
from fedkd.messages.types import Estimates
from fedkd.privacy.ledger_account import open_ledger
from fedkd.protocols.residual import Residual
from fedkd.runs.config import flatten, load
from fedkd.runs.folder import RunFolder
from fedkd.secure_aggregation.identities import signed_attestation
from server.app import app as server_app
from server.secure import SecureExchange
from simulations.deployment.prepare import deal_out
from simulations.grid import FIRST_NODE
from simulations.simulate import simulate
from tests.simulations.devices import DISTRIBUTED, MANY, SMALL, DeviceGrid, Tamper, configured, deployed, unanswered
from tests.timeless import timeless


@pytest.fixture
def pooled(monkeypatch: pytest.MonkeyPatch) -> list[Estimates]:
    """What the server takes in, run by run."""
    seen, pool = list[Estimates](), Residual.pool

    def watched(self: Residual, state: Any, estimates: Estimates) -> Any:
        seen.append(estimates)
        return pool(self, state, estimates)

    monkeypatch.setattr(Residual, "pool", watched)
    return seen


LITTLE_ASKED = ["algorithm.references=8", "algorithm.panel=20"]
LITTLE_TRAINED = ["num-server-rounds=2", "algorithm.model.width=4", "algorithm.central.epochs=2"]
QUICK = {
    "fedavg": [*LITTLE_TRAINED, "algorithm.pretraining.epochs=2"],
    "iterated": [*LITTLE_ASKED, *LITTLE_TRAINED, "algorithm.pretraining.epochs=2"],
    "fedmd": [*LITTLE_ASKED, *LITTLE_TRAINED, "algorithm.transfer.epochs=2"],
    "federated-ease": ["algorithm.rank=4"],
}


@pytest.mark.slow
@pytest.mark.parametrize("protocol", QUICK)
def test_every_protocol_that_sums_is_masked_without_being_changed(tmp_path: Path, data: Path, protocol: str) -> None:
    more = [f"algorithm.name={protocol}", *QUICK[protocol], "evaluation.every=0"]
    names = {"masked": ["privacy.sums=secure"], "clear": ["privacy.sums=clear"]}
    small = [one for one in SMALL if "rank" not in one]
    for name, sums in names.items():
        for folder in data.glob("client-*/state"):
            shutil.rmtree(folder)
        paths = {"runtime.run-folder": tmp_path / name, "runtime.server-data": data / "server"}
        given = [*small, *more, *sums, *(f"{key}={json.dumps(str(path))}" for key, path in paths.items())]
        config = load(None, given)
        server_app(DeviceGrid(config, data), Context(1, 1, {}, RecordDict(), flatten(config)))
    models = [RunFolder.open(tmp_path / name).read_arrays("student.safetensors") for name in names]
    for name, array in models[0].items():
        np.testing.assert_allclose(array, models[1][name], rtol=1e-3, atol=2e-4)
    assert last_round(tmp_path / "masked")["answers"] == last_round(tmp_path / "clear")["answers"] == 14


def last_round(place: Path) -> dict[str, Any]:
    return dict(json.loads((place / "rounds.jsonl").read_text().splitlines()[-1]))


def test_the_sum_under_masks_is_that_of_a_simulation_to_the_bit(
    tmp_path: Path, data: Path, pooled: list[Estimates]
) -> None:
    simulate(load(None, [*SMALL, f"runtime.run-folder={json.dumps(str(tmp_path / 'simulated'))}"]))
    deployed(tmp_path / "deployed", data)
    plain, whole = pooled
    np.testing.assert_array_equal(whole.values["residual"].value, plain.values["residual"].value)
    assert len(whole.clients) == len(plain.clients)
    models = [RunFolder.open(tmp_path / name).read_arrays("student.safetensors") for name in ("simulated", "deployed")]
    for name, array in models[0].items():
        np.testing.assert_allclose(models[1][name], array, rtol=1e-5, atol=1e-6)
    summary = RunFolder.open(tmp_path / "deployed").read_json("summary.json")
    assert "no single answer" in summary["privacy"]["statement"]
    assert summary["traffic"]["handshake-bytes-per-client"] > 0


def test_what_the_server_receives_looks_like_noise(tmp_path: Path, data: Path) -> None:
    grid = deployed(tmp_path / "run", data)
    answers = [m.content["secure.data"]["packed"].data for m in grid.seen if m.metadata.message_type == "train"]  # type: ignore[call-overload,index]
    assert len(answers) == 14
    for first, second in itertools.pairwise(answers):
        ones = np.unpackbits(np.frombuffer(first, np.uint8))
        assert abs(ones.mean() - 0.5) < 5 * 0.5 / np.sqrt(len(ones))
        agree = (ones == np.unpackbits(np.frombuffer(second, np.uint8))).mean()
        assert abs(agree - 0.5) < 5 * 0.5 / np.sqrt(len(ones))


def swallow(kind: str) -> Tamper:
    return lambda reply: None if reply.metadata.message_type == kind else reply


def scramble(kind: str) -> Tamper:
    def tampered(reply: Message) -> Message:
        if reply.metadata.message_type == kind:
            array = reply.content["secure.data"]["packed"]  # type: ignore[call-overload,index]
            reply.content = RecordDict(dict(secure_record(array.data[::-1] + b"!")))
        return reply

    return tampered


def test_clients_that_leave_or_lie_cost_their_answer_and_the_sum_of_the_rest_is_exact(
    tmp_path: Path, pooled: list[Estimates]
) -> None:
    data = tmp_path / "data"
    deal_out(load(None, [*SMALL, MANY]), data)
    gone: dict[int, Tamper] = {
        0: swallow("query.keys"),
        1: swallow("query.shares"),
        2: swallow("train"),
        3: swallow("query.unmask"),
        4: scramble("query.keys"),
        5: scramble("query.shares"),
        6: scramble("train"),
        7: scramble("query.unmask"),
    }
    deployed(tmp_path / "run", data, MANY, tampers=gone)
    (opened,) = pooled
    assert set(range(8)) - set(opened.clients.tolist()) == {0, 1, 2, 4, 5, 6}
    pooled.clear()
    config = configured(tmp_path / "clear", data, MANY, "privacy.sums=clear")
    absent = {client: swallow("train") for client in (0, 1, 2, 4, 5, 6)}
    server_app(DeviceGrid(config, data, absent), Context(1, 1, {}, RecordDict(), flatten(config)))
    np.testing.assert_array_equal(
        opened.values["residual"].value, sum(part.values["residual"].value for part in pooled)
    )
    failures = last_round(tmp_path / "run")["failures"]
    assert sum(failures.values()) == 6  # though some of them fail again when the metrics are summed
    assert all("secure sum" in reason for reason in failures)


@pytest.mark.parametrize("forged", ["everybody", "unsigned", "replayed", "signed by another"])
def test_a_node_that_claims_to_host_others_silences_nobody(tmp_path: Path, data: Path, forged: str) -> None:
    forger, everybody = FIRST_NODE - 1, np.arange(len(list(data.glob("client-*"))))
    claim = {
        "everybody": lambda: attestation_record(everybody, b""),
        "unsigned": lambda: attestation_record(np.array([5]), b""),
        "replayed": lambda: attestation_record(np.array([5]), signed_attestation(data / "client-5", FIRST_NODE + 5, 5)),
        "signed by another": lambda: attestation_record(
            np.array([5]), signed_attestation(data / "client-6", forger, 5)
        ),
    }[forged]()
    config = configured(tmp_path / "run", data)

    def forge(reply: Message) -> Message:
        reply.content = claim
        return reply

    grid = DeviceGrid(config, data, {-1: forge})
    grid._contexts[forger] = replace(grid._contexts[FIRST_NODE], node_id=forger)
    server_app(grid, Context(1, 1, {}, RecordDict(), flatten(config)))
    record = last_round(tmp_path / "run")
    assert record["answers"] == record["asked"] == len(everybody) == 14
    assert not record["failures"]


def test_a_device_without_a_key_claims_nothing(tmp_path: Path, data: Path) -> None:
    (data / "client-3" / "identity.key").unlink()
    grid = deployed(tmp_path / "run", data)
    assert last_round(tmp_path / "run")["answers"] == len(list(data.glob("client-*"))) - 1
    assert ["holds no identity.key" in m.error.reason for m in grid.seen if m.has_error()] == [True]


def test_too_few_clients_give_no_sum_and_the_round_is_played_when_the_run_goes_on(
    tmp_path: Path, data: Path, pooled: list[Estimates]
) -> None:
    with pytest.raises(UserError, match=r"none of 14 clients answered \(\d+: no secure sum"):
        deployed(tmp_path / "run", data, tampers={client: swallow("train") for client in range(5)})
    assert not pooled
    assert not (tmp_path / "run" / "rounds.jsonl").exists()
    assert not (tmp_path / "run" / "summary.json").exists()
    deployed(tmp_path / "run", data)
    assert last_round(tmp_path / "run")["answers"] == 14


@pytest.mark.parametrize("mode", ["distributed", "local", "central"])
def test_masks_and_noise_go_together(tmp_path: Path, data: Path, mode: str) -> None:
    deployed(tmp_path / "run", data, f"privacy.mode={mode}", *DISTRIBUTED[1:])
    record = last_round(tmp_path / "run")
    assert record["answers"] == record["asked"]
    books = [(data / f"client-{client}" / "privacy.ledger").exists() for client in range(record["asked"])]
    assert all(books) == any(books) == (mode != "central")
    assert (data / "server" / "privacy.ledger").exists() == (mode != "local")


def test_a_second_run_finds_the_budget_of_every_client_spent(
    tmp_path: Path, data: Path, pooled: list[Estimates]
) -> None:
    deployed(tmp_path / "first", data, *DISTRIBUTED)
    (data / "server" / "privacy.ledger").unlink()
    (data / "server" / "privacy.ledger.anchor").unlink()
    open_ledger.cache_clear()
    deployed(tmp_path / "second", data, *DISTRIBUTED, "seed=5")
    assert len(pooled) == 1
    assert any(Missing.EXHAUSTED.text in reason for reason in last_round(tmp_path / "second")["failures"])


FEW = ["data.synthetic.users=10", "privacy.minimum-cohort=3"]


def few(place: Path, data: Path, tampers: dict[int, Tamper] | None = None) -> DeviceGrid:
    """Run a server on nine devices, which are content with sums of three."""
    if not (data / "few").exists():
        deal_out(load(None, [*SMALL, *FEW]), data / "few")
    return deployed(place, data / "few", *FEW, tampers=tampers, **{"minimum-cohort": 3})


def student_of(place: Path) -> dict[str, Any]:
    return timeless(RunFolder.open(place).read_json("summary.json")["models"]["student"])


def test_a_second_run_is_answered_as_the_first(tmp_path: Path, data: Path, pooled: list[Estimates]) -> None:
    for name in ("first", "second"):
        few(tmp_path / name, data)
        assert last_round(tmp_path / name)["answers"] == 9
        assert not last_round(tmp_path / name)["failures"]
    np.testing.assert_array_equal(pooled[0].values["residual"].value, pooled[1].values["residual"].value)
    assert student_of(tmp_path / "first") == student_of(tmp_path / "second")


class Stopped(Exception):
    pass


def stopped(monkeypatch: pytest.MonkeyPatch, kind: str, place: Path, data: Path, after: bool = False) -> None:
    """Begin a run whose server ends when it is about to send a message of a kind, or has the answers to it."""
    phase = SecureExchange._phase

    def ends(self: SecureExchange, grid: Any, sent: str, *others: Any) -> dict[int, bytes]:
        answers = phase(self, grid, sent, *others) if after or sent != kind else {}
        if sent == kind:
            raise Stopped
        return answers

    with monkeypatch.context() as patched:
        patched.setattr(SecureExchange, "_phase", ends)
        with pytest.raises(Stopped):
            few(place, data)


@pytest.mark.parametrize("kind", ["query.shares", "train", "query.unmask"])
def test_an_interrupted_run_may_go_on_and_another_may_begin(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    stopped(monkeypatch, kind, tmp_path / "first", data)
    few(tmp_path / "second", data)
    without = few(tmp_path / "first", data, tampers={0: swallow("query.keys")})
    assert last_round(tmp_path / "second")["answers"] == 9
    assert last_round(tmp_path / "first")["answers"] == 8
    assert not [m for m in without.seen if m.has_error()]


def replayed(place: Path) -> None:
    """Let a server forget that it has the answers of a run's first round."""
    (place / "summary.json").unlink(missing_ok=True)
    (place / "rounds.jsonl").unlink(missing_ok=True)
    shutil.rmtree(place / "checkpoint", ignore_errors=True)


def test_a_sum_that_was_opened_may_be_opened_again_for_the_same_clients(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, pooled: list[Estimates]
) -> None:
    stopped(monkeypatch, "query.unmask", tmp_path / "run", data, after=True)
    assert not pooled
    few(tmp_path / "run", data)
    replayed(tmp_path / "run")
    few(tmp_path / "run", data)
    assert [len(one.clients) for one in pooled] == [9, 9]


@pytest.mark.parametrize(("lost", "first"), [("query.keys", False), ("query.keys", True), ("train", False)])
def test_a_question_of_a_run_is_opened_for_one_cohort_alone(
    tmp_path: Path, data: Path, pooled: list[Estimates], lost: str, first: bool
) -> None:
    """Whether a client is missing the first or the second time, and wherever it is lost: two sums would show it."""
    cohorts: list[dict[int, Tamper]] = [{0: swallow(lost)}, {}]
    before, after = cohorts if first else cohorts[::-1]
    few(tmp_path / "run", data, tampers=before)
    replayed(tmp_path / "run")
    with pytest.raises(UserError, match=r"another cohort|opened for other clients"):
        few(tmp_path / "run", data, tampers=after)
    assert len(pooled) == 1


def test_a_second_run_of_a_protected_federation_is_new_noise_and_a_new_cost(
    tmp_path: Path, data: Path, pooled: list[Estimates]
) -> None:
    for name in ("first", "second"):
        deployed(tmp_path / name, data, *DISTRIBUTED, "privacy.epsilon-limit=100")
        open_ledger.cache_clear()
    one, other = (estimates.values["block"].value for estimates in pooled)
    assert not np.array_equal(one, other)
    ledger = open_ledger(data / "client-0" / "privacy.ledger")
    assert [len(ledger.history(owner)) for owner in ledger.owners()] == [2]


def test_a_client_with_a_budget_of_its_own_keeps_to_it(tmp_path: Path, data: Path, pooled: list[Estimates]) -> None:
    deployed(tmp_path / "dear", data, *DISTRIBUTED, epsilon=2.0, delta=1e-4)
    assert not pooled
    assert any(Missing.EXHAUSTED.text in reason for reason in last_round(tmp_path / "dear")["failures"])
    with pytest.raises(UserError, match="none of 14 clients answered"):
        deployed(tmp_path / "none", data, epsilon=2.0, delta=1e-4)
    assert not pooled


def test_no_device_gives_a_single_answer_unasked(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from server import app as module

    monkeypatch.setattr(module, "masked_directory", lambda *_: None)
    grid, said = unanswered(tmp_path / "run", data)
    assert "none of 14 clients answered" in said
    assert not [m for m in grid.seen if m.metadata.message_type == "train" and not m.has_error()]


@pytest.mark.parametrize(
    ("more", "says"), [(["privacy.minimum-cohort=100"], "minimum-cohort"), (["fraction-train=0.1"], "minimum-cohort")]
)
def test_a_round_of_too_few_is_refused_before_anybody_is_asked(
    tmp_path: Path, data: Path, more: list[str], says: str
) -> None:
    with pytest.raises(UserError, match=says):
        deployed(tmp_path / "run", data, *more)


def test_without_keys_nothing_is_masked_and_the_message_says_what_to_do(tmp_path: Path, data: Path) -> None:
    (data / "server" / "directory.json").unlink()
    with pytest.raises(UserError, match=r"privacy\.sums=clear"):
        deployed(tmp_path / "run", data)


@pytest.mark.parametrize("mode", ["central", "distributed", "local"])
def test_metrics_of_devices_are_summed_under_masks_and_paid(tmp_path: Path, data: Path, mode: str) -> None:
    more = [f"privacy.mode={mode}", "privacy.epsilon=900", "privacy.delta=1e-4", "privacy.metrics-share=0.5"]
    grid = deployed(tmp_path / "run", data, *more)
    metrics = last_round(tmp_path / "run")["metrics"]
    error = metrics["student.private.ndcg@20.noise"]
    assert 0 < metrics["student.private.ndcg@20"] < 1
    assert error < 0.3
    assert not any("metrics" in array for message in grid.seen for array in names_in(message))
    payer = data / ("server" if mode == "central" else "client-0")
    ledger = open_ledger(payer / "privacy.ledger")
    kept = [entry.release for owner in ledger.owners() for entry in ledger.history(owner)]
    assert sum("metrics" in release for release in kept) == 1


def names_in(message: Message) -> list[str]:
    return [name for record in message.content.array_records.values() for name in record]


def replies_to(grid: DeviceGrid, kind: str) -> list[Message]:
    return [m for m in grid.seen if m.metadata.message_type == kind and not m.has_error()]


def test_without_noise_too_the_server_learns_the_quality_from_a_sum(tmp_path: Path, data: Path) -> None:
    masked = deployed(tmp_path / "masked", data)
    assert len(replies_to(masked, "evaluate")) == 14
    assert not any("metrics" in name for message in masked.seen for name in names_in(message))
    for folder in data.glob("client-*/state"):
        shutil.rmtree(folder)
    deployed(tmp_path / "clear", data, "privacy.sums=clear")
    found, exact = (last_round(tmp_path / name)["metrics"] for name in ("masked", "clear"))
    assert found == pytest.approx(exact, abs=1e-5)
    rows = [
        RunFolder.open(tmp_path / name).read_json("summary.json")["models"]["student"] for name in ("masked", "clear")
    ]
    assert rows[0]["ndcg@20"]["low"] < rows[0]["ndcg@20"]["mean"] < rows[0]["ndcg@20"]["high"]
    assert rows[0]["ndcg@20"] == pytest.approx(rows[1]["ndcg@20"], abs=0.05)  # normal beside bootstrap, few users


def test_an_owner_with_a_budget_says_nothing_where_nothing_is_noised(tmp_path: Path, data: Path) -> None:
    for name, sums in (("masked", "secure"), ("clear", "clear")):
        grid, _ = unanswered(tmp_path / name, data, f"privacy.sums={sums}", epsilon=0.01, delta=1e-4)
        for kind in ("train", "evaluate", "query.keys", "query.shares", "query.unmask"):
            assert not replies_to(grid, kind)


def test_a_distributed_sum_with_too_little_noise_is_opened_by_nobody(
    tmp_path: Path, data: Path, pooled: list[Estimates]
) -> None:
    """14 clients, of whom 12 must add their shares of the noise: with 11 left no client gives its shares."""
    gone = {client: swallow("train") for client in range(3)}
    grid, _ = unanswered(tmp_path / "run", data, *DISTRIBUTED, tampers=gone)
    assert not pooled
    assert not replies_to(grid, "query.unmask")
    enough = {client: swallow("train") for client in range(2)}
    for folder in data.glob("client-*"):
        shutil.rmtree(folder / "state", ignore_errors=True)
    deployed(tmp_path / "enough", data, *DISTRIBUTED, "privacy.epsilon=7", "privacy.epsilon-limit=900", tampers=enough)
    assert len(pooled) == 1


def test_clients_keep_to_the_quorum_whatever_the_server_does(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from server import requests as questions

    sums = questions.SecureExchange.sum

    def greedy(self: Any, *args: Any) -> Any:
        with monkeypatch.context() as context:
            context.setattr(Masked, "quorum", 2)
            return sums(self, *args)

    monkeypatch.setattr(questions.SecureExchange, "sum", greedy)
    gone = {client: swallow("train") for client in range(3)}
    grid, _ = unanswered(tmp_path / "run", data, *DISTRIBUTED, "privacy.minimum-cohort=10", tampers=gone)
    refused = [m for m in grid.seen if m.metadata.message_type == "query.unmask"]
    assert refused
    assert all("refused" in m.content.config_records["secure"] for m in refused)


@pytest.mark.parametrize(
    ("given", "node", "says"),
    [
        (["privacy.sums=clear"], {"clear": False}, "under masks alone"),
        (["privacy.minimum-cohort=2"], {}, "one of 10 at least"),
        ([], {"weakest-mode": "distributed"}, "a stronger one"),
        (["privacy.mode=central", *DISTRIBUTED[1:]], {"weakest-mode": "distributed"}, "a stronger one"),
    ],
)
def test_a_run_that_does_not_keep_to_the_owners_terms_gets_no_answer(
    tmp_path: Path, data: Path, given: list[str], node: dict[str, Any], says: str
) -> None:
    grid, _ = unanswered(tmp_path / "run", data, *given, **node)
    errors = {m.error.reason for m in grid.seen if m.has_error()}
    assert errors
    assert all(says in error for error in errors)


def test_a_sum_of_another_turn_than_its_question_gets_no_answer(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from server import secure

    monkeypatch.setattr(secure, "turn_of", lambda number, kind: 2 * number + 1)
    grid, _ = unanswered(tmp_path / "run", data)
    assert not replies_to(grid, "train")
    assert any("belongs to another question" in m.error.reason for m in grid.seen if m.has_error())


@pytest.mark.parametrize("mode", ["central", "distributed", "local"])
def test_what_items_clients_have_is_summed_under_masks_and_paid(tmp_path: Path, data: Path, mode: str) -> None:
    more = [f"privacy.mode={mode}", "privacy.epsilon=900", "privacy.delta=1e-4", "privacy.panel-share=0.3"]
    grid = deployed(tmp_path / "run", data, *more)
    assert len(replies_to(grid, "train.panel")) == last_round(tmp_path / "run")["answers"] == 14
    assert not any("items" in name for message in grid.seen for name in names_in(message))
    payer = data / ("server" if mode == "central" else "client-0")
    ledger = open_ledger(payer / "privacy.ledger")
    kept = [entry.release for owner in ledger.owners() for entry in ledger.history(owner)]
    assert sum("panel" in release for release in kept) == 1


def test_every_sum_of_everyone_needs_everyones_quorum_whatever_round_it_is_said_to_be_of(data: Path) -> None:
    """A release of all clients would carry too little noise if a training round's smaller quorum opened it."""
    more = ["fraction-train=0.5", "privacy.minimum-cohort=2", "privacy.metrics-share=0.2", "privacy.panel-share=0.2"]
    config = configured(data, data, *DISTRIBUTED, *more)
    node = {"data-path": str(data / "client-0"), "minimum-cohort": 2}
    node = open_node(Context(1, 1, node, RecordDict(), flatten(config)))
    assert node.mechanisms.panel is not None
    assert [node.least(turn) for turn in (1, 3, 5)] == [node.mechanisms.panel.quorum] * 3 == [12] * 3
    assert node.least(2) == node.mechanisms.answers.quorum == 6
    strict = replace(node, policy=ClientPolicy(minimum_cohort=9))
    assert (strict.least(1), strict.least(2)) == (12, 9)
