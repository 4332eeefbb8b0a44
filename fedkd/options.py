"""The base of every part of the configuration."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator


def _divided(given: object) -> object:
    return tuple(filter(None, map(str.strip, given.split(";")))) if isinstance(given, str) else given


Texts = Annotated[tuple[str, ...], BeforeValidator(_divided)]
"""Several texts; a single one holds them separated by semicolons."""


def kebab(name: str) -> str:
    """Return ``num-server-rounds`` for ``num_server_rounds``."""
    return name.replace("_", "-")


@dataclass(frozen=True)
class DataSize:
    """The size of the data that settings are searched for.

    Attributes
    ----------
    items, public_users : int
        Items of the catalogue, and users who share their histories with the server.
    """

    items: int
    public_users: int


Bound = Callable[[Any, DataSize], float]
"""An end of a range, from the table of the field and the size of the data."""


@dataclass(frozen=True)
class Searched:
    """Says beside a field's type what a search for settings tries of it; without it, numbers around the field's value.

    Attributes
    ----------
    values : tuple, optional
        The values to try; an empty one leaves the field, and all inside it, as they are.
    needs : str
        A field or property of the same table without which this one does nothing.
    least, most : callable, optional
        The ends beyond which a number is no setting for these data, or none beside the other fields of the table.
    multiple_of : str
        A field of the same table of which this one must be a multiple.
    """

    values: tuple[Any, ...] | None = None
    needs: str = ""
    least: Bound | None = None
    most: Bound | None = None
    multiple_of: str = ""


COMPARED = Searched(())
"""Marks settings of a comparison, which the models of a run do not depend on."""


class Options(BaseModel):
    """Frozen, typed settings; keys are kebab-case in files, unknown keys are errors.

    A nested table may set only some of its keys. The others keep the values of the default table in that place, which
    may differ from the defaults of its class.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=kebab, populate_by_name=True, allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _completed(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        whole = dict(given)
        for name, field in cls.model_fields.items():
            key = next((key for key in (name, kebab(name)) if isinstance(whole.get(key), Mapping)), None)
            if key is not None and isinstance(field.default, Options) and isinstance(field.annotation, type):
                whole[key] = field.default.completed(whole[key])
        return whole

    def completed(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return this table with the given keys replaced, in nested tables too."""
        whole = self.model_dump(by_alias=True)
        for name, value in given.items():
            inside = getattr(self, name.replace("-", "_"), None)
            if isinstance(inside, Options) and isinstance(value, Mapping):
                value = inside.completed(value)
            whole[kebab(name)] = value
        return whole
