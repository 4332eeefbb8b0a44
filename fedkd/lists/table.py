"""The table of list steps; a new one is a file and a line here."""

from typing import Any

from pydantic import ValidationError

from fedkd.errors import UserError
from fedkd.lists.base import ListStep
from fedkd.lists.cold_items import ColdItems
from fedkd.lists.cold_users import ColdUsers
from fedkd.lists.diverse import Diverse
from fedkd.registry import Registry

LIST_STEPS: Registry[ListStep] = Registry("list step", ListStep, ColdUsers, ColdItems, Diverse)


def list_step(text: str) -> ListStep:
    """Return the step that ``name`` or ``name:key=value,...`` describes, such as ``diverse:weight=0.2``.

    Raises
    ------
    UserError
        There is no such step, or it has no such setting.
    """
    found, given = LIST_STEPS.described(text)
    try:
        return found.model_validate(given)
    except ValidationError as error:
        raise UserError(f"list step {text!r}: {'; '.join(map(_said, error.errors()))}{_settings(found)}") from None


def _said(detail: Any) -> str:
    key = ".".join(map(str, detail["loc"]))
    return f"{key} {'is no setting' if detail['type'] == 'extra_forbidden' else detail['msg']}"


def _settings(found: type[ListStep]) -> str:
    names = [field.alias or name for name, field in found.model_fields.items() if name != found.key]
    return f"; its settings are {', '.join(names)}" if names else ""
