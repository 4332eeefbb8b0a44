"""A run's releases as mechanisms that an audit can play canaries against."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fedkd.aggregation.release import release
from fedkd.attacks.canaries import Floats, Mechanism
from fedkd.messages.types import Answers, Kind, Outer, Spec
from fedkd.privacy.mechanism import Protection


def release_path(protection: Protection, clips: Mapping[str, float], factored: bool = False) -> Mechanism:
    """Return the mechanism that a run's answers really go through: the clients' release and the server's sum.

    Contributions are in units of the clip. Where clients add the noise, who takes part is public: one that stays away
    counts as one that contributes zeros. In distributed mode the honest clients alone add noise, the least that the
    promise rests on; in local mode every coordinate comes from the answer of the client whose canary lies there.

    Parameters
    ----------
    protection : Protection
        In distributed mode, of so many participants that there are not more contributions than honest ones.
    clips : mapping of str to float
        The clip of every array of an answer; a canary is in all of them at once.
    factored : bool
        Whether contributions are sent as factors of a matrix, as residual distillation does.
    """
    honest = max(1, math.floor(protection.options.honest_fraction * protection.participants))

    def mechanism(contributions: Floats) -> Floats:
        if protection.options.mode == "distributed":
            contributions = np.vstack([contributions, np.zeros((honest - len(contributions), contributions.shape[1]))])
        if protection.options.mode != "local":
            return _released(protection, clips, contributions, factored)
        rows = [_released(protection, clips, own[None], factored) for own in contributions]
        return np.concatenate([row[:, [i]] for i, row in enumerate(rows)] + [rows[0][:, len(rows) :]], axis=1)

    return mechanism


def joined(mechanisms: Sequence[tuple[Mechanism, float]]) -> Mechanism:
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


def _released(protection: Protection, clips: Mapping[str, float], contributions: Floats, factored: bool) -> Floats:
    """Return every released array over its clip, shape [releases x arrays, dim]."""
    count, dim = contributions.shape
    shape = (dim, 1) if factored else (dim,)
    specs = protection.specs({name: Spec(Kind.SCORES, shape, clip=clip) for name, clip in clips.items()})
    values = {name: _sent(contributions * clip, factored) for name, clip in clips.items()}
    answers = Answers(1, np.arange(count), values)
    rows = []
    for _ in range(protection.releases):
        summed = protection.sum(release(answers, specs, protection), specs).values
        rows += [np.asarray(summed[name], np.float64).ravel() / clip for name, clip in clips.items()]
    return np.stack(rows)


def _sent(contributions: Floats, factored: bool) -> Any:
    if not factored:
        return contributions
    return Outer(contributions, np.ones((len(contributions), 1)), np.arange(len(contributions)))
