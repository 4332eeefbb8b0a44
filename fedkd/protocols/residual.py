"""Residual distillation of a linear student, the default: every client answers once, and one sum teaches the server.

A client answers with what private training changed in its small linear student's scores on shared references. The sum
over clients is a statistic of second order: it gives the teacher its curvature, and the student is the teacher's
closed-form distillate of low rank. Clients may arrive over many rounds; one whose history changed sends the difference
to its last contribution, and one that leaves takes it back.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from fedkd.data.interactions import Interactions
from fedkd.distillation.closed_forms import Gram, ease_teacher, low_rank_student
from fedkd.distillation.gram_block import RIDGE_MULTIPLIER, block_answer, block_spec, protected_gram
from fedkd.distillation.residual import (
    UserWeights,
    answer,
    answer_spec,
    history_reference,
    item_reference,
    pooled_gram,
    ridge,
    sizes_for_budget,
)
from fedkd.errors import UserError
from fedkd.messages.types import Answers, Asks, Outer, Reference, Spec
from fedkd.models.arrays import model_arrays
from fedkd.models.base import Recommender
from fedkd.models.ease import EASE
from fedkd.models.linear import LowRank
from fedkd.models.woodbury import WoodburyEASE
from fedkd.protocols.base import GlobalStudent, Metrics, Setup, State
from fedkd.ragged import Ragged, offsets
from fedkd.training.cohort import ClientState, Cohort

EXACT = 1000
"""Levels of a weight where it need not be rounded to few bits."""


class Residual(GlobalStudent):
    """Parameters of residual distillation.

    Attributes
    ----------
    reference_kind : str
        ``items`` (histories of one popular item each) or ``histories`` (those of public users).
    references, panel : int
        How many references, and how many items each is scored for; 0 lets ``upload_budget_bytes`` decide.
    upload_budget_bytes : int
        Bytes of a client's answer, headers left out, from which the two sizes follow.
    levels : int
        A user's weight is a whole number from 1 to this.
    damping, complement : float
        The proximal term of private training, in interactions; trust in public structure that references do not span.
    regularisation : float
        The teacher's ridge, over the mean weight of an interaction.
    rank, block : int
        Width of the student; under noise, the popular items whose Gram matrix is asked for: 15 sqrt(clients) if 0.
    """

    name: Literal["residual"] = "residual"
    reference_kind: Literal["items", "histories"] = "items"
    references: int = Field(default=0, ge=0)
    panel: int = Field(default=0, ge=0)
    upload_budget_bytes: int = Field(default=156_000, ge=1)
    levels: int = Field(default=7, ge=1, le=1000)
    damping: float = Field(default=50.0, gt=0)
    complement: float = Field(default=0.25, ge=0)
    regularisation: float = Field(default=400.0, gt=0)
    rank: int = Field(default=32, ge=1)
    block: int = Field(default=0, ge=0, le=4096)

    @property
    def weights(self) -> UserWeights:
        """The public rule of users' weights."""
        return UserWeights(self.levels, self.damping)

    def begin(self, setup: Setup) -> State:
        """Choose the references; the sums begin at zero."""
        items = setup.public.num_items
        if self.rank >= items:
            raise UserError(f"algorithm.rank is {self.rank}; it must be less than the {items} items of the catalogue")
        reference = self._choose(setup)
        if setup.noise and not setup.public.num_users:
            raise UserError(
                "under noise, algorithm residual needs public users, whose histories tell what to expect of the sum; "
                "set partition.public-fraction above 0, for example 0.1"
            )
        shape = (len(reference.histories), len(reference.panel))
        arrays: dict[str, NDArray[Any]] = {
            "reference.values": reference.histories.values,
            "reference.lengths": reference.histories.lengths,
            "reference.panel": reference.panel,
            "due": np.ones(setup.num_clients, bool),
            "leaving": np.zeros(setup.num_clients, bool),
            "accepted": np.zeros(setup.num_clients, np.int32),
        }
        return State(setup, arrays | {"sum": np.zeros(shape, np.float64 if setup.noise else np.int64)})

    def invite(self, state: State, clients: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return who has not contributed yet, has changed since, or leaves."""
        return np.asarray(clients[state.arrays["due"][clients]])

    def ask(self, state: State, clients: NDArray[np.int64], round_number: int, rng: np.random.Generator) -> Asks:
        """Send the references, and each client which of his answers counts (its round) and whether he leaves."""
        del rng
        setup = state.setup
        sizes = np.array([setup.public.num_items, setup.num_private_users, setup.noise > 0], np.int64)
        told = np.stack([state.arrays["accepted"][clients], state.arrays["leaving"][clients]], axis=1)
        own = Ragged(told.astype(np.int32).reshape(-1), offsets(np.full(len(clients), 2)))
        return Asks(round_number, clients, {"sizes": sizes}, {"accepted-leaving": own}, _reference(state))

    def expects(self, asks: Asks) -> Mapping[str, Spec]:
        """Return the scores of the panel on every reference, as sums of whole numbers; under noise a bounded block."""
        assert asks.reference is not None
        if asks.shared["sizes"][2]:
            return {"block": block_spec(asks.reference.panel)}
        return {"residual": answer_spec(asks.reference, self.weights, int(asks.shared["sizes"][1]))}

    def learn(self, cohort: Cohort, asks: Asks) -> tuple[Cohort, Answers]:
        """Train in closed form, and answer with the difference to what was contributed before."""
        assert asks.reference is not None
        if asks.shared["sizes"][2]:
            train, panel = cohort.data.train, asks.reference.panel
            block = block_answer(train.histories, cohort.owner, panel, train.num_items)
            return cohort, Answers(asks.round, cohort.clients, {"block": block}, asks.reference.fingerprint)
        accepted, leaving = asks.own["accepted-leaving"].values.reshape(-1, 2).T
        histories = cohort.data.train.histories
        gone = (leaving > 0) & (accepted > 0)  # whoever has given nothing takes nothing back, whatever the server says
        staying = np.flatnonzero(~gone[cohort.owner])
        kept = [_counted(state, int(last)) for state, last in zip(cohort.states, accepted, strict=True)]
        new = self._outer(histories.take(staying), cohort.owner[staying], asks)
        old = self._outer(*_join(kept), asks)
        states = tuple(
            _remember(asks.round, histories.take(staying[cohort.owner[staying] == row]), kept[row])
            for row in range(len(cohort))
        )
        fingerprint = asks.reference.fingerprint
        return cohort.with_states(states), Answers(
            asks.round, cohort.clients, {"residual": _minus(new, old)}, fingerprint
        )

    def pool(self, state: State, answers: Answers) -> State:
        """Add the sums, whole numbers modulo their grid: the running total is never negative and always fits."""
        if state.setup.noise:
            total = state.arrays["sum"] + answers.values["block"]
        else:
            grid = answer_spec(_reference(state), self.weights, state.setup.num_private_users).grid
            assert grid is not None
            total = (state.arrays["sum"] + answers.values["residual"]) % (1 << grid.bits)
        due = state.arrays["due"].copy()
        due[answers.clients] = False
        accepted = state.arrays["accepted"].copy()
        accepted[answers.clients] = answers.round
        return state.with_arrays(sum=total, due=due, accepted=accepted)

    def teach(self, state: State, rng: np.random.Generator) -> tuple[State, Metrics]:
        """Solve for the teacher, and distil it into the student."""
        del rng
        setup = state.setup
        contributors = int((~state.arrays["due"] & ~state.arrays["leaving"]).sum())
        users = round(setup.num_private_users * contributors / setup.num_clients)
        if setup.noise:
            gram, strength = self._protected(state)
        else:
            args = (_reference(state), setup.public, self.weights, users, self.complement)
            gram, strength = (
                pooled_gram(state.arrays["sum"], *args),
                ridge(self.regularisation, setup.public, self.weights),
            )
        teacher = ease_teacher(gram, strength)
        student = low_rank_student(teacher, gram, self.rank)
        taught = state.with_arrays(**_arrays("teacher", teacher), **_arrays("student", student))
        return taught, {"contributors": contributors}

    def teacher(self, state: State) -> Recommender | None:
        """Return EASE for the pooled Gram matrix."""
        arrays = {
            name: state.arrays[f"teacher.{name}"]
            for name in ("weights", "root", "scale")
            if f"teacher.{name}" in state.arrays
        }
        if not arrays:
            return None
        return EASE(arrays["weights"]) if "weights" in arrays else WoodburyEASE(arrays["root"].T, arrays["scale"])

    def student(self, state: State) -> Recommender | None:
        """Return the teacher's distillate of low rank."""
        if "student.encoder.weight" not in state.arrays:
            return None
        return LowRank.from_factors(state.arrays["student.encoder.weight"], state.arrays["student.decoder.weight"])

    def blank_student(self, num_items: int) -> Recommender:
        """Return a student of the right shape."""
        return LowRank(num_items, self.rank)

    def centralised(self, train: Interactions, seed: int) -> Recommender:
        """Return the student that everyone's histories in one place would give: no references, exact weights."""
        del seed
        weights = UserWeights(EXACT, self.damping)
        rows = train.matrix(np.float64).multiply(np.sqrt(weights.of(train.histories.lengths))[:, None])
        gram = Gram(np.asarray(rows.todense()))
        return low_rank_student(ease_teacher(gram, ridge(self.regularisation, train, weights)), gram, self.rank)

    def withdraw(self, state: State, clients: NDArray[np.int64]) -> State:
        """Return the state in which some clients are asked to take their contribution back.

        Raises
        ------
        UserError
            The sum is noised: taking something back would be one more release about those who leave.
        """
        if state.setup.noise:
            raise UserError(
                "a noised sum bounds what it says of anyone; to be rid of a contribution, run again without"
            )
        due, leaving = state.arrays["due"].copy(), state.arrays["leaving"].copy()
        leaving[clients] = True
        due[clients] = ~due[clients]  # who never contributed has nothing to take back
        return state.with_arrays(due=due, leaving=leaving)

    def releases(self, num_rounds: int) -> int:
        """Return 1: every client contributes once."""
        del num_rounds
        return 1

    def _protected(self, state: State) -> tuple[Gram, float]:
        """Return the Gram matrix that the noised sum supports, and the ridge that suits it."""
        setup, panel = state.setup, state.arrays["reference.panel"]
        rounds = len(np.unique(state.arrays["accepted"][state.arrays["accepted"] > 0]))
        noise = setup.noise * rounds**0.5 if rounds else np.inf
        lengths = setup.public.histories.lengths
        strength = RIDGE_MULTIPLIER * self.regularisation * (lengths > 0).sum() / max(1, lengths.sum())
        known = (setup.public, setup.num_private_users, noise, setup.popularity)
        return protected_gram(state.arrays["sum"], panel, *known), float(strength)

    def _choose(self, setup: Setup) -> Reference:
        items, users = setup.public.num_items, setup.num_private_users
        if setup.noise:
            size = min(self.block or round(15 * setup.num_clients**0.5), items, 4096)
            return item_reference(setup.popular, size, size)
        references, panel = self.references, self.panel or items
        if not references:
            references, panel = sizes_for_budget(items, users, self.levels, self.upload_budget_bytes)
        if self.reference_kind == "histories":
            return history_reference(setup.public, setup.popular, references, panel)
        return item_reference(setup.popular, references, panel)

    def _outer(self, histories: Ragged, owner: NDArray[np.int64], asks: Asks) -> Outer:
        assert asks.reference is not None
        return answer(histories, owner, asks.reference, self.weights, int(asks.shared["sizes"][0]))


def _reference(state: State) -> Reference:
    lengths = state.arrays["reference.lengths"]
    return Reference(Ragged(state.arrays["reference.values"], offsets(lengths)), state.arrays["reference.panel"])


def _counted(state: ClientState, accepted: int) -> Ragged:
    """Return the histories of a client's last answer that the server counted.

    An answer that was lost on its way left the client's latest contribution uncounted; the one before it still holds.
    """
    if not accepted:
        return Ragged.from_rows([], np.int32)
    which = "latest" if int(state["round"]) == accepted else "before"
    return Ragged(state[f"{which}.values"], offsets(state[f"{which}.lengths"]))


def _join(kept: list[Ragged]) -> tuple[Ragged, NDArray[np.int64]]:
    """Return all clients' rows one after the other, and the position of each one's client."""
    rows = [histories[row] for histories in kept for row in range(len(histories))]
    return Ragged.from_rows(rows, np.int32), np.repeat(np.arange(len(kept)), [len(histories) for histories in kept])


def _remember(round_number: int, latest: Ragged, before: Ragged) -> ClientState:
    """Return what a client must keep in order to send differences, or to take everything back."""
    kept: dict[str, NDArray[Any]] = {"round": np.array(round_number)}
    for name, histories in (("latest", latest), ("before", before)):
        kept |= {f"{name}.values": histories.values, f"{name}.lengths": histories.lengths}
    return kept


def _minus(new: Outer, old: Outer) -> Outer:
    if not len(old.owner):
        return new
    return Outer(_stack(new.left, -old.left), _stack(new.right, old.right), np.concatenate([new.owner, old.owner]))


def _stack(above: Any, below: Any) -> Any:
    return sparse.csr_array(sparse.vstack([above, below]))


def _arrays(prefix: str, model: Recommender) -> dict[str, NDArray[Any]]:
    return {f"{prefix}.{name}": array for name, array in model_arrays(model).items()}
