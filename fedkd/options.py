"""The base of every part of the configuration."""

from pydantic import BaseModel, ConfigDict


def kebab(name: str) -> str:
    """Return ``num-server-rounds`` for ``num_server_rounds``."""
    return name.replace("_", "-")


class Options(BaseModel):
    """Frozen, typed settings; keys are kebab-case in files, unknown keys are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=kebab, populate_by_name=True, allow_inf_nan=False
    )
