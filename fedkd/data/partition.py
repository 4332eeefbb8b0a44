"""Who is public, and which client holds which private users."""

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from scipy.sparse.linalg import svds

from fedkd.data.fold import Fold, Partition
from fedkd.data.options import PartitionOptions
from fedkd.errors import UserError
from fedkd.ragged import Ragged, offsets
from fedkd.streams import stream

Users = NDArray[np.int64]


def partition(fold: Fold, options: PartitionOptions, seed: int) -> Partition:
    """Deal out the users; those with neither training data nor a history to be tested on belong to nobody.

    Raises
    ------
    UserError
        No private user would be left, or there are more silos than private users, or no groups.
    """
    users = np.flatnonzero(fold.train.histories.lengths + fold.history.histories.lengths > 0)
    order = stream(seed, "public").permutation(users)
    count = round(options.public_fraction * len(users))
    public, private = np.sort(order[:count]), np.sort(order[count:])
    if not len(private):
        raise UserError(
            f"partition.public-fraction {options.public_fraction} of {len(users)} users leaves nobody private; lower it"
        )
    return Partition(public, _clients(fold, private, options, seed))


def _clients(fold: Fold, private: Users, options: PartitionOptions, seed: int) -> Ragged:
    if options.clients == "users":
        return Ragged(private, np.arange(len(private) + 1, dtype=np.int64))
    if options.clients == "groups":
        if fold.train.groups is None:
            raise UserError("partition.clients groups needs a group of every user; set data.group-column")
        _, silo = np.unique(fold.train.groups[private], return_inverse=True)
        return _gather(private, silo.astype(np.int64))
    if options.num_silos > len(private):
        raise UserError(
            f"partition.num-silos is {options.num_silos}, but there are only {len(private)} private users; lower it"
        )
    rng = stream(seed, "silos")
    if options.clients == "silos":
        return _gather(private, _by_size(len(private), options, rng))
    return _gather(private, _by_taste(fold, private, options, rng))


def _gather(users: Users, silo: Users) -> Ragged:
    order = np.argsort(silo, kind="stable")
    counts = np.bincount(silo)
    return Ragged(users[order], offsets(counts[counts > 0]))


def _by_size(count: int, options: PartitionOptions, rng: np.random.Generator) -> Users:
    """Return a silo for every user; sizes fall with the silo's rank to the power of the skew, and none is empty."""
    share = np.arange(1, options.num_silos + 1, dtype=np.float64) ** -options.size_skew
    extra = rng.choice(options.num_silos, count - options.num_silos, p=share / share.sum())
    return np.asarray(rng.permutation(np.concatenate([np.arange(options.num_silos), extra])))


def _by_taste(fold: Fold, private: Users, options: PartitionOptions, rng: np.random.Generator) -> Users:
    """Return a silo for every user: each group of like-minded users is spread by its own Dirichlet draw.

    Groups come from k-means on the users' leading singular directions (Hsu et al. 2019 draw labels likewise).
    """
    matrix = fold.train.take(private).matrix(np.float64)
    rank = min(8, min(matrix.shape) - 1)
    directions = svds(matrix, rank, v0=np.ones(min(matrix.shape)))[0]
    groups = min(options.num_silos, 8, len(private))
    _, taste = kmeans2(directions, groups, minit="++", rng=rng)
    share = rng.dirichlet(np.full(options.num_silos, options.concentration), groups)
    silo = np.array([rng.choice(options.num_silos, p=share[group]) for group in taste])
    lonely = np.setdiff1d(np.arange(options.num_silos), silo)
    crowded = np.argsort(-np.bincount(silo, minlength=options.num_silos)[silo], kind="stable")
    silo[crowded[: len(lonely)]] = lonely  # every silo holds somebody
    return silo.astype(np.int64)
