"""A protocol of a user's own: clients answer with what they have seen, and the server recommends the mean."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fedkd.data.catalogue import Catalogue
from fedkd.data.interactions import Interactions
from fedkd.messages.types import Answers, Asks, Estimates, Kind, Spec
from fedkd.models.base import Recommender
from fedkd.models.popularity import Popularity, fit_popularity
from fedkd.protocols.base import GlobalStudent, Metrics, Protocol, Setup, State


class MeanScores(GlobalStudent):
    """Popularity among all who answered, each bounded by ``clip``."""

    clip: float = Field(5.0, gt=0)

    def begin(self, setup):
        return State(setup, {"sum": setup.public.popularity().astype(np.float64), "weight": np.ones(1)})

    def ask(self, state: State, clients: NDArray[np.int64], round_number: int, rng: np.random.Generator) -> Asks:
        return Asks(round_number, clients, shared={"items": np.array([len(state.arrays["sum"])])})

    def expects(self, asks: Asks) -> Mapping[str, Spec]:
        return {"seen": Spec(Kind.STATISTICS, (int(asks.shared["items"][0]),), clip=self.clip)}

    def learn(self, cohort, asks):
        train = cohort.data.train
        seen = np.zeros((len(cohort), train.num_items))
        np.add.at(seen, (cohort.owner[train.histories.row_index], train.histories.values), 1.0)
        return cohort.with_states(({},) * len(cohort)), Answers(asks.round, cohort.clients, {"seen": seen})

    def pool(self, state: State, estimates: Estimates) -> State:
        arrays = state.arrays
        return state.with_arrays(sum=arrays["sum"] + estimates.values["seen"].value, weight=arrays["weight"] + 1)

    def teach(self, state: State, rng: np.random.Generator) -> tuple[State, Metrics]:
        return state, {"rounds-pooled": float(state.arrays["weight"][0] - 1)}

    def teacher(self, state: State) -> Recommender | None:
        return None

    def student(self, state: State) -> Recommender:
        return Popularity(state.arrays["sum"] / state.arrays["weight"][0])

    def blank_student(self, catalogue: Catalogue) -> Recommender:
        return Popularity(np.zeros(len(catalogue)))

    def centralised(self, train: Interactions, setup: Setup) -> Recommender:
        return fit_popularity(train)


class Unfinished(Protocol):
    """A protocol without its verbs."""
