"""A device's student: what the server sent last, kept for its owner's own recommendations.

The folder ``student`` holds ``model.safetensors``, ``run.json`` (the configuration that says what the arrays mean) and
``recommendations.csv``; items and titles are in ``state/catalogue.safetensors``.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from flwr.common.logger import log
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from clients.catalogue import with_catalogue
from clients.device import Device, read_device
from clients.node import ClientNode, device_node
from clients.policy import ClientPolicy
from fedkd.atomic_file import replace_file, replacing
from fedkd.errors import UserError
from fedkd.evaluation.recommend import best
from fedkd.messages.types import Asks
from fedkd.registry import only_modules
from fedkd.runs.config import flatten, unflatten

ERROR = 40
LENGTH = 20


def keep_student(node: ClientNode, asks: Asks) -> None:
    """Write a device's student and its recommendations; a simulated node keeps none.

    Whatever goes wrong is logged here alone. Otherwise the server could learn from errors what a history holds.
    """
    if not isinstance(node.holder, Device):
        return
    folder = node.holder.folder / "student"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        with replacing(folder / "model.safetensors") as new:
            save_file({name: np.asarray(array, order="C") for name, array in asks.shared.items()}, new)
        told = {"round": asks.round, "run": node.run, "config": flatten(node.config)}
        replace_file(folder / "run.json", json.dumps(told, indent=1).encode() + b"\n", 0o600)
        table = _best(node, asks, LENGTH)
        replace_file(folder / "recommendations.csv", table.to_csv(index=False).encode(), 0o600)
    except Exception:
        log(ERROR, "the student could not be kept", exc_info=True)


def recommendations(data: Path, k: int, modules: tuple[str, ...] = ()) -> pd.DataFrame:
    """Return what a device's student recommends to its users now.

    Parameters
    ----------
    data : Path
        The device's folder.
    k : int
        Length of a list.
    modules : tuple of str
        The owner's own modules, which the run may name.

    Returns
    -------
    DataFrame
        ``user``, ``rank``, ``item``, ``title`` and ``score``, see ``fedkd.evaluation.recommend``.

    Raises
    ------
    UserError
        There is no student yet, or its files are damaged.
    """
    device, folder = with_catalogue(read_device(data)), data / "student"
    if not (folder / "run.json").exists():
        raise UserError(
            f"{data} has no student yet; a server sends it when a round has been evaluated, so connect with "
            f"python -m clients {data} and wait for a run to end"
        )
    try:
        told = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        arrays, number, flat = load_file(folder / "model.safetensors"), int(told["round"]), dict(told["config"])
        run = str(told["run"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise UserError(f"the student in {folder} is damaged ({error}); the next run sends another") from None
    with only_modules(modules):
        node = device_node(unflatten(flat), device, ClientPolicy(), run)
        return _best(node, Asks(number, node.clients, arrays), k)


def _best(node: ClientNode, asks: Asks, k: int) -> pd.DataFrame:
    """Return the best items that the users have not had, from all that they have had."""
    assert isinstance(node.holder, Device)
    cohort = node.cohort(node.clients, asks.round + 1)
    had = node.holder.had
    scores = node.config.algorithm.predict(replace(cohort, data=replace(cohort.data, history=had)), asks)
    return best(scores, had, np.arange(had.num_users), k)
