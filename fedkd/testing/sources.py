"""Checks of a data source: what splits, models and reports rely on.

Call ``check_source(MySource(path=...))`` in a test; an ``AssertionError`` says what is wrong.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.data.cleaning import Raw
from fedkd.data.interactions import Interactions
from fedkd.data.sources.base import Loaded, Source
from fedkd.data.sources.table import SOURCES


def check_source(source: Source, rows: int | None = None) -> Loaded:
    """Check a source on data that are there, and return what it loads.

    Parameters
    ----------
    source : Source
        With the options that it needs; a small data set is enough.
    rows : int, optional
        How many rows its files hold, to find out whether the source counts those that it does not return.
    """
    loaded = source.load()
    check_histories(loaded.interactions)
    check_times(loaded.interactions)
    check_catalogue(loaded.interactions)
    check_alignment(loaded)
    check_counts(source, loaded, rows)
    check_repeatable(loaded, source.load())
    check_written(source)
    return loaded


def check_histories(data: Interactions) -> None:
    """Check that there is one history per user, of items of the catalogue, each once."""
    items = data.histories.values
    assert len(data) > 0, "there is no interaction"
    assert len(data.histories) == data.num_users, f"{len(data.histories)} histories of {data.num_users} users"
    assert items.dtype == np.int32, f"histories must be of int32, not of {items.dtype}"
    assert 0 <= items.min() <= items.max() < data.num_items, "a history names an item that the catalogue does not have"
    pairs = data.histories.row_index.astype(np.int64) * data.num_items + items
    assert len(np.unique(pairs)) == len(pairs), "a user has an item twice"


def check_times(data: Interactions) -> None:
    """Check that times, where there are any, are whole seconds that never fall within a history."""
    if data.times is None:
        return
    assert data.times.dtype == np.int64, f"times must be of int64, not of {data.times.dtype}"
    assert data.times.shape == (len(data),), f"{len(data.times)} times of {len(data)} interactions"
    same_user = np.diff(data.histories.row_index) == 0
    assert np.all(np.diff(data.times)[same_user] >= 0), "a history is not in the order of its times"


def check_catalogue(data: Interactions) -> None:
    """Check that items have distinct ids, and that everything known of them has one entry an item."""
    catalogue, items = data.catalogue, (data.num_items,)
    assert len(np.unique(catalogue.ids)) == data.num_items, "two items have one id"
    assert catalogue.titles is None or catalogue.titles.shape == items, "there must be one title an item"
    assert catalogue.years is None or catalogue.years.shape == items, "there must be one year an item, 0 if unknown"
    flags = (data.num_items, len(catalogue.categories))
    assert not catalogue.categories or catalogue.membership.shape == flags, "membership must be items x categories"
    for name, vectors in catalogue.vectors.items():
        assert len(vectors) == data.num_items, f"there must be one {name} vector an item"
        assert np.isfinite(vectors).all(), f"a {name} vector holds something else than numbers"


def check_alignment(loaded: Loaded) -> None:
    """Check that users have distinct ids, and that groups and the official test part are aligned."""
    data = loaded.interactions
    assert len(np.unique(data.users)) == data.num_users, "two users have one id"
    for of_users in (data.groups, data.profiles):
        assert of_users is None or of_users.shape == data.users.shape, "there must be one group, or profile, a user"
    test = loaded.official_test
    assert test is None or test.shape == (len(data),), "the official test part must have one flag an interaction"


def check_counts(source: Source, loaded: Loaded, rows: int | None = None) -> None:
    """Check that every row is kept or counted among what was dropped."""
    found, kept = source.read(), len(loaded.interactions)
    read = found.dropped if isinstance(found, Raw) else {}
    returned = len(found.rows) if isinstance(found, Raw) else len(found)
    cleaned = _rows(loaded.dropped) - _rows(read)
    assert returned == kept + cleaned, f"{returned} rows were cleaned, {kept} kept and {cleaned} counted as dropped"
    total = returned + _rows(read)
    assert rows in (None, total), f"of {rows} rows, {returned} were returned and {total - returned} counted as dropped"


def _rows(dropped: Mapping[str, int]) -> int:
    """Return how many rows were dropped; a reason with a colon counts something else."""
    return sum(count for reason, count in dropped.items() if ":" not in reason)


def check_repeatable(first: Loaded, second: Loaded) -> None:
    """Check that loading twice gives the same, byte for byte."""
    one, other = first.interactions, second.interactions
    assert one.fingerprint == other.fingerprint, "users, items or histories differ when they are loaded again"
    assert first.dropped == second.dropped, "what was dropped differs when it is loaded again"
    arrays = zip(_arrays(first), _arrays(second), strict=True)
    assert all(np.array_equal(a, b) for a, b in arrays), "times, groups or content differ when they are loaded again"


def _arrays(loaded: Loaded) -> list[NDArray[Any]]:
    data, catalogue = loaded.interactions, loaded.interactions.catalogue
    optional = [data.times, data.groups, data.profiles, catalogue.titles, catalogue.years, loaded.official_test]
    return [catalogue.membership, *catalogue.vectors.values(), *(array for array in optional if array is not None)]


def check_written(source: Source) -> None:
    """Check that the options of a source survive a file, and that it keeps its name."""
    written = source.model_dump(mode="json", by_alias=True, exclude_none=True)
    again = SOURCES.parse("synthetic")(written)
    assert again == source, f"{written} gives {again!r} back"
    assert again.name == source.name, f"the source is called {source.name}, and {again.name} after it was written"
