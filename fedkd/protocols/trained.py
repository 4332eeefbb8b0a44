"""What protocols have in common whose student is trained by gradient."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.data.interactions import Interactions
from fedkd.distillation.score_directions import affordable, leading_directions
from fedkd.messages.types import Reference
from fedkd.models.base import Recommender
from fedkd.models.spec import ModelSpec
from fedkd.protocols.base import GlobalStudent, Setup, State
from fedkd.protocols.server_optimiser import student_of
from fedkd.random_streams import stream
from fedkd.training.hard_labels import train_centrally
from fedkd.training.options import CentralTraining

EQUAL = "equal"
"""Marks asks under protection: clients weigh the same, and their weight does not travel."""


def equally_weighted(shared: dict[str, NDArray[Any]], setup: Setup) -> dict[str, NDArray[Any]]:
    """Return what every client is sent, marked where noise makes weights a public constant."""
    return {**shared, EQUAL: np.ones(1, np.int8)} if setup.noise else shared


def total_weight(sums: Mapping[str, NDArray[Any]], setup: Setup) -> float:
    """Return what a sum is divided by: the weights that came with it, or the planned number of participants.

    The number of those who did answer depends on who takes part, so under protection it is not used.
    """
    if setup.noise and sums:
        return float(setup.participants)
    return float(sums.get("weight", np.zeros(())))


DIRECTIONS = "directions"
"""Name of the directions among the references along which scores are released under protection."""


def within_noise(reference: Reference, setup: Setup) -> Reference:
    """Return a reference whose panel is as small as the noise demands; itself without noise."""
    if not setup.noise:
        return reference
    size = affordable(setup.noise, setup.participants, len(reference.histories), len(reference.panel))
    return replace(reference, panel=reference.panel[: size.items])


def released_directions(scores: NDArray[Any], setup: Setup) -> NDArray[np.float32]:
    """Return the directions among the references that the noise leaves room for.

    Parameters
    ----------
    scores : ndarray, shape [references, panel]
        Of the global student, as it is sent.
    setup : Setup
        With noise.
    """
    size = affordable(setup.noise, setup.participants, *scores.shape)
    return leading_directions(scores, size.directions)


class TrainedStudent(GlobalStudent):
    """A protocol with one kind of student, global and kept in the state, and no larger teacher.

    Attributes
    ----------
    model : ModelSpec
        The student.
    central : CentralTraining
        Training of the centralised comparison.
    """

    model: ModelSpec = ModelSpec(family="autoencoder")
    central: CentralTraining = CentralTraining()

    def teacher(self, state: State) -> Recommender | None:
        """Return None: there is no large model."""
        del state
        return None

    def student(self, state: State) -> Recommender | None:
        """Return the global student."""
        return self.global_student(state)

    def global_student(self, state: State) -> Recommender:
        """Return the student that the state holds."""
        return student_of(state, self.blank_student(state.setup.public.num_items))

    def centralised(self, train: Interactions, seed: int) -> Recommender | None:
        """Return the same student trained in one place."""
        blank = self.model.build(train.num_items, seed)
        return train_centrally(blank, train.histories, self.central, stream(seed, "central"))

    def blank_student(self, num_items: int) -> Recommender:
        """Return a student of the right shape."""
        return self.model.build(num_items, seed=0)
