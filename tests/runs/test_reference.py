"""The reference of all configuration keys."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, PositiveInt, SerializeAsAny

from fedkd.options import Options
from fedkd.registry import Choice, Registry
from fedkd.runs.config import Config, flatten
from fedkd.runs.reference import Key, alternatives, descriptions, reference, summary
from fedkd.runs.settings import leaves

SECTIONS = reference()


class Shape(Choice):
    """A shape."""

    name: str


class Square(Shape):
    """Four corners.

    More of it.
    """

    name: Literal["square"] = "square"
    side: float = 2.0


SHAPES = Registry("shape", Shape, Square)


class Base(Options):
    """A base.

    Attributes
    ----------
    size, depth : int
        How large it is,
        in metres.
    """

    size: PositiveInt = 1
    depth: int = 0


class Drawing(Base):
    """A drawing.

    Attributes
    ----------
    shape : Shape
        What is drawn.

    Examples
    --------
    other : text
        Of no attribute.
    """

    shape: Annotated[SerializeAsAny[Shape], BeforeValidator(SHAPES.parse("square"))] | None = Square()


LEFT_OUT = "algorithm.model"
"""A table that is left out is a value; the keys inside it are listed."""


def test_every_key_and_section_has_a_description() -> None:
    assert [section.title for section in SECTIONS if not section.summary] == []
    assert [key.name for section in SECTIONS for key in section.keys if not key.meaning] == []


def test_every_key_of_every_configuration_is_there() -> None:
    listed = {key.name for section in SECTIONS for key in section.keys}
    listed |= {name.rpartition(".")[0] for name in listed}  # a table that may be left out is known by its keys
    chosen = alternatives(Config.model_fields["algorithm"])
    assert chosen is not None
    for label, protocol in chosen.members.items():
        (section,) = [section for section in SECTIONS if section.title == f"algorithm.name = {label}"]
        keys = dict(leaves(protocol().model_dump(mode="json", by_alias=True)))
        own = {f"algorithm.{name}" for name in keys} - {"algorithm.name", LEFT_OUT}
        assert own <= {key.name for key in section.keys} | listed
    assert set(flatten(Config())) - {LEFT_OUT} <= listed


def test_defaults_are_those_of_the_place() -> None:
    sections = {section.title: {key.name: key for key in section.keys} for section in SECTIONS}
    assert sections["run"]["seed"] == Key(
        "seed", "whole number, at least 0", "0", "Seed of all random numbers except those of privacy."
    )
    assert sections["algorithm.name = iterated"]["algorithm.local.epochs"].default == "1"
    assert sections["algorithm.name = local-only"]["algorithm.local.epochs"].default == "5"
    assert sections["evaluation"]["evaluation.target"].allowed == "test, validation"
    assert sections["privacy"]["privacy.epsilon"].allowed == "number, above 0; may be left out"
    assert sections["privacy"]["privacy.epsilon"].default == ""


def test_descriptions_are_those_of_the_class_and_its_bases() -> None:
    assert descriptions(Drawing) == {
        "size": "How large it is, in metres.",
        "depth": "How large it is, in metres.",
        "shape": "What is drawn.",
    }
    assert summary(Square) == "Four corners."


def test_classes_of_a_registry_are_found_with_their_names() -> None:
    found = alternatives(Drawing.model_fields["shape"])
    assert found is not None
    assert (found.key, dict(found.members)) == ("name", {"square": Square})
    assert found.allowed == "square, or a class of your own as `package.module:Class`"
    assert alternatives(Drawing.model_fields["size"]) is None
