"""The memory of a client in residual distillation: its last contributions, so that it can send differences."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fedkd.messages.types import LowRankUpdate, SparseUpdate
from fedkd.ragged import Ragged, offsets
from fedkd.training.cohort import ClientState

Update = LowRankUpdate | SparseUpdate
"""The answers of some clients, in one of the forms of which none is held whole."""


def remembers(state: ClientState, accepted: int) -> bool:
    """Return whether a client still has what the server counted; one that was never counted need not."""
    return not accepted or accepted in (int(state.get(name, -1)) for name in ("round", "before-round"))


def counted(state: ClientState, accepted: int) -> Ragged:
    """Return the histories of a client's last answer that the server counted.

    If the client's last answer was lost on its way, the server still counts the one before it.
    """
    if not accepted:
        return Ragged.from_rows([], np.int32)
    which = "latest" if int(state["round"]) == accepted else "before"
    return Ragged(state[f"{which}.values"], offsets(state[f"{which}.lengths"]))


def remembered(round_number: int, latest: Ragged, accepted: int, before: Ragged) -> ClientState:
    """Return the state that a client needs to send differences, or to take its contribution back.

    Parameters
    ----------
    round_number, accepted : int
        The rounds of the two contributions; 0 for none.
    latest, before : Ragged
        The contributions: what is sent now, and what the server has counted.
    """
    kept: dict[str, NDArray[Any]] = {"round": np.array(round_number), "before-round": np.array(accepted)}
    for name, histories in (("latest", latest), ("before", before)):
        kept |= {f"{name}.values": histories.values, f"{name}.lengths": histories.lengths}
    return kept


def joined(kept: list[Ragged]) -> tuple[Ragged, NDArray[np.int64]]:
    """Return all clients' rows one after the other, and the position of each one's client."""
    rows = [histories[row] for histories in kept for row in range(len(histories))]
    return Ragged.from_rows(rows, np.int32), np.repeat(np.arange(len(kept)), [len(histories) for histories in kept])


def minus(new: Update, old: Update) -> Update:
    """Return the difference of two updates, as factors or as entries."""
    if not len(old.owner):
        return new
    owner = np.concatenate([new.owner, old.owner])
    if isinstance(new, SparseUpdate) and isinstance(old, SparseUpdate):
        position, value = np.append(new.position, old.position), np.append(new.value, -old.value)
        return SparseUpdate(position, value, owner, new.size)
    assert isinstance(new, LowRankUpdate)
    assert isinstance(old, LowRankUpdate)
    return LowRankUpdate(_stacked(new.left, -old.left), _stacked(new.right, old.right), owner)


def _stacked(above: Any, below: Any) -> Any:
    return sparse.csr_array(sparse.vstack([above, below]))
