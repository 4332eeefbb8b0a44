"""All privacy mechanisms; a new one is a file and a line here."""

from fedkd.privacy.mechanisms.base import Mechanism
from fedkd.privacy.mechanisms.central import Central
from fedkd.privacy.mechanisms.distributed import Distributed
from fedkd.privacy.mechanisms.local import Local
from fedkd.privacy.mechanisms.noisy_max import NoisyMax
from fedkd.privacy.mechanisms.none import NoMechanism
from fedkd.privacy.mechanisms.randomised_response import RandomisedResponse
from fedkd.privacy.mechanisms.votes import VoteMechanism
from fedkd.registry import Table

MECHANISMS: Table[Mechanism] = Table(
    "privacy mechanism",
    Mechanism,
    {mechanism.name: mechanism for mechanism in (NoMechanism, Central, Distributed, Local)},
)
"""By the name in ``privacy.mode``, from the weakest to the strongest."""

VOTE_MECHANISMS: Table[VoteMechanism] = Table(
    "vote mechanism",
    VoteMechanism,
    {mechanism.votes: mechanism for mechanism in (NoisyMax, RandomisedResponse)},
)
"""By the name in ``privacy.votes``."""
