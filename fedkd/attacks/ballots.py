"""Audit of released votes: how well they reveal whether, or how, a single voter voted.

Nobody else votes, so every count is decided by the noise and this one voter, who gives all votes to one item. That is
where a vote shows most: where others agree, it changes no winner.
"""

import numpy as np

from fedkd.attacks.bounds import threshold_epsilon
from fedkd.attacks.canaries import CONFIDENCE, Claim
from fedkd.messages.types import Answers, Kind, Quantiser, Spec
from fedkd.privacy.mechanisms.votes import VoteMechanism


def ballot_epsilon(mechanism: VoteMechanism, claim: Claim, rng: np.random.Generator, trials: int) -> float:
    """Return a lower bound on epsilon of one release of votes, with the confidence of an audit.

    Parameters
    ----------
    mechanism : VoteMechanism
        The mechanism under attack, clients' and server's part.
    claim : Claim
        The guarantee; by its adjacency the voter otherwise does nothing, or votes for another item.
    rng : numpy.random.Generator
        Decides in which trials the voter votes.
    trials : int
        Releases, independent of one another.
    """
    present = rng.random(trials) < 0.5
    scores = np.array([_score(mechanism, bool(voted), claim.adjacency) for voted in present])
    return threshold_epsilon(scores, present, claim.delta, 1 - CONFIDENCE)


def _score(mechanism: VoteMechanism, voted: bool, adjacency: str) -> float:
    """Return by how much the voter's item leads over the other, summed over the queries of one release."""
    votes = np.zeros((1, mechanism.queries, mechanism.items), np.int64)
    if voted or adjacency == "replace-one":
        votes[..., 0 if voted else 1] = 1
    shape = (mechanism.queries, mechanism.items)
    spec = Spec(Kind.VOTES, shape, quantiser=Quantiser(1.0, 0, 1, 8, signed=False), clip=float(shape[0] ** 0.5))
    aggregator = mechanism.aggregator({"votes": spec})
    sent = aggregator.encode(Answers(1, np.arange(1), {"votes": votes}))
    counts = np.asarray(aggregator.decode(sent).values["votes"].value, np.float64)
    return float((counts[:, 0] - counts[:, 1]).sum())
