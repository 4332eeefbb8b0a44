"""Classes chosen by name, or by where they stand."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationError

from fedkd.errors import UserError
from fedkd.options import Options
from fedkd.registry import Choice, Registry


class Shape(Choice):
    """The base of the test's own kind."""

    name: str


class Round(Shape):
    name: Literal["round"] = "round"
    radius: int = Field(1, ge=0)


class Square(Shape):
    name: Literal["square"] = "square"
    side: float = 2.0


class Own(Shape):
    """Not in the table."""

    corners: int = 5


class Stranger(Options):
    """Of no kind."""


SHAPES = Registry("shape", Shape, Round, Square)
AnyShape = Annotated[SerializeAsAny[Shape], BeforeValidator(SHAPES.parse("round"))]


class Drawing(Options):
    shape: AnyShape = Round()


def test_a_name_chooses_the_class_and_no_name_the_default():
    assert Drawing.model_validate({"shape": {"name": "square", "side": 3}}).shape == Square(side=3)
    assert Drawing.model_validate({"shape": {"radius": 4}}).shape == Round(radius=4)
    assert SHAPES.names == ("round", "square")
    assert list(SHAPES) == [Round, Square]


def test_a_class_that_is_not_in_the_table_is_named_by_its_place_and_survives_a_file():
    drawing = Drawing.model_validate({"shape": {"name": f"{__name__}:Own", "corners": 6}})
    assert isinstance(drawing.shape, Own)
    assert drawing.shape == Own(corners=6)
    written = drawing.model_dump(mode="json", by_alias=True)
    assert written == {"shape": {"name": f"{__name__}:Own", "corners": 6}}
    assert Drawing.model_validate(written) == drawing


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sqare", "no shape 'sqare', did you mean square; allowed are round, square"),
        ("no.such.module:Own", "cannot be imported"),
        (":Own", "cannot be imported"),
        (f"{__name__}:Missing", "has no class 'Missing' for a shape; it has Shape, Round, Square, Own"),
        (f"{__name__}:SHAPES", "has no class 'SHAPES'"),
        (f"{__name__}:Stranger", "must be a complete subclass of"),
    ],
)
def test_what_cannot_be_found_says_what_mends_it(name: str, message: str):
    with pytest.raises(UserError, match=message):
        SHAPES.find(name)


@pytest.mark.parametrize(
    ("given", "place", "kind"),
    [
        ({"name": "square", "sides": 3}, ("shape", "sides"), "extra_forbidden"),
        ({"radius": -1}, ("shape", "radius"), "greater_than_equal"),
        ({"name": "round:"}, ("shape",), "value_error"),
    ],
)
def test_errors_inside_a_chosen_class_name_their_key(given: dict[str, Any], place: tuple[str, ...], kind: str):
    with pytest.raises(ValidationError) as caught:
        Drawing.model_validate({"shape": given})
    (error,) = caught.value.errors()
    assert (error["loc"], error["type"]) == (place, kind)
