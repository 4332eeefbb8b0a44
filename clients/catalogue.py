"""A device's copy of the catalogue: what the server sent once, in the device's own folder."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from flwr.app import RecordDict
from flwr.common.logger import log

from clients.device import Device
from fedkd.atomic_file import replace_file
from fedkd.data.catalogue import FILE, Catalogue, fingerprint
from fedkd.data.fold import Fold
from fedkd.errors import UserError
from fedkd.messages.catalogue import holding_record, holds_catalogue, read_catalogue
from fedkd.messages.serialisation import MalformedError

WARNING = 30


def with_catalogue(device: Device) -> Device:
    """Return a device whose items have the titles and content of its stored catalogue; without one they are numbers."""
    path = _path(device)
    found = _read(path, path.stat().st_mtime_ns) if path.is_file() else None
    if found is None or len(found) != device.data.train.num_items:
        return device
    train, history, target = (
        replace(part, catalogue=found) for part in (device.data.train, device.data.history, device.data.target)
    )
    return replace(device, data=Fold(train, history, target))


def answer_catalogue(holder: object, content: RecordDict) -> RecordDict:
    """Store a catalogue if the message has a valid one, and say which one the node holds.

    Parameters
    ----------
    holder : Device or Federation
        The node's data; a simulated node reads the catalogue with its data and stores nothing.
    content : RecordDict
        Of the message.
    """
    if not isinstance(holder, Device):
        return holding_record("")
    if holds_catalogue(content):
        try:
            data, _ = read_catalogue(content, holder.data.train.num_items)
            path = _path(holder)
            path.parent.mkdir(exist_ok=True)
            replace_file(path, data)
        except MalformedError as error:
            log(WARNING, "the server's catalogue is not taken: %s", error)
    return holding_record(_held(holder))


def _held(device: Device) -> str:
    """Return the fingerprint of the stored catalogue; empty where there is no usable one."""
    path = _path(device)
    usable = with_catalogue(device) is not device
    return fingerprint(path.read_bytes()) if usable else ""


def _path(device: Device) -> Path:
    return device.folder / "state" / FILE


@lru_cache(maxsize=64)
def _read(path: Path, changed: int) -> Catalogue | None:
    """Return the stored catalogue as changed at a moment; None if it is damaged, so that it is sent again."""
    del changed
    try:
        return Catalogue.read(path)
    except UserError:
        return None
