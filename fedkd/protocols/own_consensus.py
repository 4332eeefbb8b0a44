"""The common part of consensus protocols in which every client keeps a student of its own."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedkd.messages.types import Asks, Reference
from fedkd.models.arrays import load_arrays
from fedkd.models.base import Recommender, padded_histories
from fedkd.models.device import beside
from fedkd.protocols.base import State
from fedkd.protocols.consensus import DIGEST_BATCH, Consensus
from fedkd.protocols.server_optimiser import named, part
from fedkd.protocols.trained import DIRECTIONS, OwnStudents
from fedkd.ragged import Ragged, offsets
from fedkd.random_streams import stream
from fedkd.training.chunks import Model, Parameters
from fedkd.training.cohort import Cohort
from fedkd.training.engine import train
from fedkd.training.examples import Examples
from fedkd.training.hard_labels import train_centrally
from fedkd.training.local import has_students, keep_students, own_or_common_scores, own_students
from fedkd.training.options import CohortTraining

CONSENSUS = "lesson."
"""Prefix of the arrays that a client digests: the histories of the previous round, and the consensus on them."""


class OwnConsensus(Consensus, OwnStudents):
    """A consensus protocol in which every client keeps a student of its own, which digests the last consensus first.

    A client's first round begins with transfer learning, on the public histories. Clients recommend with their own
    students, which may have different shapes (``clients.profiles``); the global student has the shape ``model``.
    """

    def sent(self, state: State) -> dict[str, NDArray[Any]]:
        """Send the consensus of the previous round."""
        last = part(state, CONSENSUS)
        if last:
            last["scores"] = last["scores"].astype(np.float16)
        return named(CONSENSUS, last)

    def remembered(self, reference: Reference, consensus: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Return the references with their consensus."""
        histories = reference.histories
        return named(CONSENSUS, {"values": histories.values, "lengths": histories.lengths, "scores": consensus})

    def begun(self, cohort: Cohort, asks: Asks) -> tuple[Recommender, Parameters]:
        """Take every client's student, or make one, and digest the consensus."""
        student, parameters = self._students(cohort, asks)
        if CONSENSUS + "scores" in asks.shared:
            self._digest(student, parameters, cohort, asks)
        return student, parameters

    def kept(self, cohort: Cohort, parameters: Parameters) -> Cohort:
        """Keep the students."""
        return keep_students(cohort, parameters)

    def predict(self, cohort: Cohort, asks: Asks) -> NDArray[np.float32]:
        """Score every user's history with the student of the user's client, or the global one if it has none yet."""
        common = load_arrays(self.blank_student(cohort.data.train.catalogue), asks.shared)
        return own_or_common_scores(self.own_student(cohort), common, cohort)

    def _students(self, cohort: Cohort, asks: Asks) -> tuple[Recommender, Parameters]:
        """Return every client's student; a client without one trains it on the public histories first.

        Under protection it takes the global student instead, so that the two differ only by private training; students
        of other shapes cannot.
        """
        assert asks.reference is not None
        if DIRECTIONS in asks.shared and cohort.model is None:
            student = self.common(asks, cohort.data.train.catalogue)
            return student, own_students(student, cohort)
        student = self.own_student(cohort)
        if not has_students(cohort).all():
            rng = stream(cohort.seed, "transfer", asks.round)
            train_centrally(student, asks.reference.histories, self.transfer, rng)
        return student.eval(), own_students(student, cohort)

    def _digest(self, student: Recommender, parameters: Parameters, cohort: Cohort, asks: Asks) -> None:
        """Train every client towards the consensus, in place."""
        assert asks.reference is not None
        last = {name: asks.shared[CONSENSUS + name] for name in ("values", "lengths", "scores")}
        histories = Ragged(last["values"], offsets(last["lengths"]))
        history = padded_histories(histories, student.num_items)
        consensus = torch.from_numpy(last["scores"].astype(np.float32))
        panel = torch.from_numpy(asks.reference.panel.astype(np.int64))

        def loss(model: Model, batch: Mapping[str, Tensor]) -> Tensor:
            shown, items, wanted = (beside(student, part) for part in (history, panel, consensus))
            return self.distance(model(shown[batch["row"]])[..., items], wanted[batch["row"]])

        rows = Ragged.from_rows([np.arange(len(history))] * len(cohort), np.int64)
        streams = [stream(cohort.seed, "digest", asks.round, int(client)) for client in cohort.clients]
        training = CohortTraining(
            epochs=self.digest_epochs, learning_rate=self.digest_learning_rate, batch_size=DIGEST_BATCH
        )
        train(student, parameters, Examples({"row": rows}), loss, training, streams)
