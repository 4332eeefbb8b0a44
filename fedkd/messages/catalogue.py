"""Messages about the catalogue: the fingerprint of a device's copy, and the whole catalogue for a device without it."""

from flwr.app import ConfigRecord, RecordDict

from fedkd.data.catalogue import Catalogue
from fedkd.errors import UserError
from fedkd.messages.flower import SCHEMA, check_schema, packed_record, payload_of, record_bytes
from fedkd.messages.serialisation import MalformedError
from fedkd.messages.validation import short

CATALOGUE = "catalogue"

LIMIT = 64 << 20
"""Most bytes of a catalogue that a device accepts; 40,000 items with titles and categories are one or two million."""


def catalogue_record(catalogue: Catalogue) -> RecordDict:
    """Write the catalogue as a message's content."""
    return packed_record(CATALOGUE, catalogue.to_bytes(), {"schema": SCHEMA})


def check_size(catalogue: Catalogue) -> None:
    """Raise a ``UserError`` if devices would not take a catalogue."""
    size = len(catalogue.to_bytes())
    if size > LIMIT:
        raise UserError(
            f"the catalogue of {len(catalogue):,} items takes {size:,} bytes, and a device takes {LIMIT:,} at most; "
            "leave out vectors of items, or shorten titles"
        )


def catalogue_bytes(catalogue: Catalogue) -> int:
    """Return the size of the message that carries a catalogue, in bytes."""
    return record_bytes(catalogue_record(catalogue))


def holds_catalogue(record: RecordDict) -> bool:
    """Say whether a message carries a catalogue, or only asks which one is there."""
    return CATALOGUE in record.config_records


def read_catalogue(record: RecordDict, items: int) -> tuple[bytes, Catalogue]:
    """Read a catalogue of a known number of items, and check everything in it.

    Returns
    -------
    data : bytes
        The bytes as received, to be stored.
    catalogue : Catalogue

    Raises
    ------
    MalformedError
        It is too large, no catalogue, or one of another number of items.
    """
    try:
        check_schema(record.config_records[CATALOGUE])
        data = payload_of(record, CATALOGUE)
        if len(data) > LIMIT:
            raise MalformedError(f"it takes {len(data):,} bytes, and {LIMIT:,} at most are taken")
        catalogue = Catalogue.from_bytes(data)
    except (KeyError, ValueError) as error:
        raise MalformedError(f"the catalogue cannot be read ({short(str(error))})") from error
    if len(catalogue) != items:
        raise MalformedError(f"the catalogue must have {items} items, it has {len(catalogue)}")
    return data, catalogue


def holding_record(fingerprint: str) -> RecordDict:
    """Write the fingerprint of the catalogue that a device holds, empty where it holds none."""
    return RecordDict({CATALOGUE: ConfigRecord({"schema": SCHEMA, "fingerprint": fingerprint})})


def read_holding(record: RecordDict) -> str:
    """Read what ``holding_record`` wrote.

    Raises
    ------
    MalformedError
        It cannot be read.
    """
    try:
        check_schema(record.config_records[CATALOGUE])
        return short(record.config_records[CATALOGUE]["fingerprint"])
    except (KeyError, MalformedError) as error:
        raise MalformedError(f"which catalogue a node holds cannot be read ({error})") from error
