"""A run's releases as mechanisms that an audit can play canaries against."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fedkd.aggregation.aggregator import Aggregator
from fedkd.attacks.canaries import Floats
from fedkd.attacks.canaries import Mechanism as Attacked
from fedkd.messages.types import Answers, Kind, LowRankUpdate, Spec
from fedkd.privacy.mechanisms.base import Mechanism


def release_path(mechanism: Mechanism, clips: Mapping[str, float], factored: bool = False) -> Attacked:
    """Return the mechanism that a run's answers really go through: the clients' release and the server's sum.

    Contributions are in units of the clip. Where clients add the noise, who takes part is public: one that stays away
    counts as one that contributes zeros. In distributed mode the honest clients alone add noise, the least that the
    promise rests on; in local mode every coordinate comes from the answer of the client whose canary lies there.

    Parameters
    ----------
    mechanism : Mechanism
        In distributed mode, of so many participants that there are not more contributions than honest ones.
    clips : mapping of str to float
        The clip of every array of an answer; a canary is in all of them at once.
    factored : bool
        Whether contributions are sent as factors of a matrix, as residual distillation does.
    """

    def attacked(contributions: Floats) -> Floats:
        if mechanism.quorum > len(contributions):  # the least number of clients that carry all the noise
            absent = np.zeros((mechanism.quorum - len(contributions), contributions.shape[1]))
            contributions = np.vstack([contributions, absent])
        dim = contributions.shape[1]
        shape = (dim, 1) if factored else (dim,)
        aggregator = mechanism.aggregator({name: Spec(Kind.SCORES, shape, clip=clip) for name, clip in clips.items()})

        def released(rows: Floats) -> Floats:
            return np.concatenate([_released(aggregator, clips, rows, factored) for _ in range(mechanism.releases)])

        if not mechanism.alone:
            return released(contributions)
        rows = [released(own[None]) for own in contributions]
        return np.concatenate([row[:, [i]] for i, row in enumerate(rows)] + [rows[0][:, len(rows) :]], axis=1)

    return attacked


def joined(mechanisms: Sequence[tuple[Attacked, float]]) -> Attacked:
    """Return several releases about the same contributions as one mechanism.

    Parameters
    ----------
    mechanisms : sequence of (mechanism, float)
        With the standard deviation of each one's noise over the clip: the mean over all releases weighs them by their
        precision, which tells most.
    """
    precision = np.array([noise**-2 for _, noise in mechanisms])
    weights = precision / precision.mean()

    def mechanism(contributions: Floats) -> Floats:
        parts = [
            weight * np.atleast_2d(one(contributions)).mean(axis=0)
            for (one, _), weight in zip(mechanisms, weights, strict=True)
        ]
        return np.stack(parts)

    return mechanism


def _released(aggregator: Aggregator, clips: Mapping[str, float], contributions: Floats, factored: bool) -> Floats:
    """Return every array of one release over its clip, shape [arrays, dim]."""
    values = {name: _sent(contributions * clip, factored) for name, clip in clips.items()}
    summed = aggregator.decode(aggregator.encode(Answers(1, np.arange(len(contributions)), values))).values
    return np.stack([np.asarray(summed[name].value, np.float64).ravel() / clip for name, clip in clips.items()])


def _sent(contributions: Floats, factored: bool) -> Any:
    if not factored:
        return contributions
    return LowRankUpdate(contributions, np.ones((len(contributions), 1)), np.arange(len(contributions)))
