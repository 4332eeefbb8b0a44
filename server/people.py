"""The people of a service's log in a run's folder: clients without a device, whose histories the server has seen."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedkd.data.catalogue import Catalogue
from fedkd.data.fold import Fold
from fedkd.data.interactions import Interactions
from fedkd.feedback.people import People
from fedkd.protocols.base import Setup
from fedkd.ragged import Ragged
from fedkd.runs.folder import RunFolder

FILE = "feedback.safetensors"
"""The histories of these people, and the digests of the lines that told them."""

STATES = "feedback-states"
"""The state of each of them, as a client on a device of their own would keep it."""


def read_people(folder: RunFolder) -> People:
    """Return the people whom a run has taken in from logs; nobody at first."""
    return People.of_arrays(folder.read_arrays(FILE)) if (folder.path / FILE).exists() else People()


def with_people(setup: Setup, count: int) -> Setup:
    """Return the setup of a run that has taken in some people, one a client, after its registered clients."""
    users = setup.num_private_users + count
    return replace(setup, num_clients=setup.num_clients + count, num_private_users=users)


def data_of(people: People, which: NDArray[np.int64], catalogue: Catalogue) -> Fold:
    """Return what some of the people have had, as data to learn from."""
    rows = [np.array(people.histories[person]) for person in which.tolist()]
    names = np.array([f"person {person}" for person in which.tolist()], np.str_)
    had = Interactions(names, Ragged.from_rows(rows, np.int32), catalogue)
    return Fold(had, had, had.where(np.zeros(len(had), bool)))
