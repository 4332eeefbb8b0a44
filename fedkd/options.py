"""The base of every part of the configuration."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


def kebab(name: str) -> str:
    """Return ``num-server-rounds`` for ``num_server_rounds``."""
    return name.replace("_", "-")


class Options(BaseModel):
    """Frozen, typed settings; keys are kebab-case in files, unknown keys are errors.

    A table inside that names some of its keys changes these alone: the others are those of the table that stands there
    by default, which may differ from what its type begins with.
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
            if key is not None and isinstance(field.default, Options) and field.annotation is type(field.default):
                whole[key] = _merged(field.default.model_dump(by_alias=True), whole[key])
        return whole


def _merged(default: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table whose given keys replace those of a default, tables inside likewise."""
    merged = dict(default)
    for name, value in given.items():
        key = kebab(name)
        inside = isinstance(value, Mapping) and isinstance(default.get(key), Mapping)
        merged[key] = _merged(default[key], value) if inside else value
    return merged
