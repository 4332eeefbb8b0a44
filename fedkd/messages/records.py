"""Answers and estimates as bytes that a ledger stores, so that a repeated release is identical to the first."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedkd.messages.missing import Missing
from fedkd.messages.serialisation import pack_arrays, unpack_arrays
from fedkd.messages.types import Answers, Estimate, Estimates


def dump_answers(answers: Answers) -> bytes:
    """Write encoded answers."""
    refused = {reason.value: clients for reason, clients in answers.refused.items()}
    arrays = {name: np.asarray(value) for name, value in answers.values.items()}
    return _dump(arrays, answers.round, answers.clients, reference=answers.reference, refused=refused)


def load_answers(record: bytes) -> Answers:
    """Read what ``dump_answers`` wrote."""
    head, clients, arrays = _load(record)
    refused = {Missing(reason): who for reason, who in head["refused"].items()}
    return Answers(head["round"], clients, arrays, head["reference"], refused)


def dump_estimates(estimates: Estimates) -> bytes:
    """Write estimates of sums."""
    std = {name: estimate.std for name, estimate in estimates.values.items()}
    arrays = {name: np.asarray(estimate.value) for name, estimate in estimates.values.items()}
    return _dump(arrays, estimates.round, estimates.clients, std=std, weight=estimates.weight)


def load_estimates(record: bytes) -> Estimates:
    """Read what ``dump_estimates`` wrote."""
    head, clients, arrays = _load(record)
    values = {name: Estimate(array, head["std"][name]) for name, array in arrays.items()}
    return Estimates(head["round"], clients, values, head["weight"])


def _dump(arrays: Mapping[str, NDArray[Any]], number: int, clients: NDArray[np.int64], **more: Any) -> bytes:
    data, layout = pack_arrays(arrays)
    head = {"round": number, "clients": clients.tolist(), "layout": layout, **more}
    return json.dumps(head).encode() + b"\n" + data


def _load(record: bytes) -> tuple[dict[str, Any], NDArray[np.int64], dict[str, NDArray[Any]]]:
    line, _, data = record.partition(b"\n")
    head = json.loads(line)
    return head, np.array(head["clients"], np.int64), unpack_arrays(data, head["layout"])
