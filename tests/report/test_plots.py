"""Figures as parts of pages and as files: the same every time, in the colours of the page, without anything foreign."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from fedkd.errors import UserError
from fedkd.report.plots import COLOURS, drawing, inline_svg, save, standalone_svg, theme


def figure(label: str = "a < b"):
    with drawing(300, 200) as drawn:
        axes = drawn.subplots()
        axes.plot([0, 1], [1, 2], "o-", color=COLOURS["student"][0], label=label)
        axes.legend()
    return drawn


def test_a_part_of_a_page_has_words_and_the_colours_of_the_page() -> None:
    svg = inline_svg(figure(), "here", "A title", "One & two")
    root = ElementTree.fromstring(svg)
    assert (root.tag, root.get("role"), root.get("aria-labelledby")) == ("svg", "img", "here-t here-d")
    assert [(child.tag, child.get("id"), child.text) for child in root[:2]] == [
        ("title", "here-t", "A title"),
        ("desc", "here-d", "One & two"),
    ]
    assert "a < b" in "".join(root.itertext())  # text stays text
    assert "var(--student)" in svg
    assert not re.search("#[0-9a-f]{6}", svg)
    for foreign in ("http", "font-family", ".ttf", "<style", "<metadata", "<?xml"):
        assert foreign not in svg


def test_ids_and_what_names_them_are_those_of_the_picture() -> None:
    svg = inline_svg(figure(), "here", "", "")
    ids = re.findall(r'\bid="([^"]+)"', svg)
    assert len(ids) == len(set(ids))
    assert all(name.startswith("here-") for name in ids)
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg)) <= set(ids)


def test_pictures_are_the_same_every_time(tmp_path: Path) -> None:
    assert inline_svg(figure(), "x", "t", "d") == inline_svg(figure(), "x", "t", "d")
    for name in ("a.svg", "a.png"):
        save(figure(), tmp_path / name)
        first = (tmp_path / name).read_bytes()
        save(figure(), tmp_path / name)
        assert (tmp_path / name).read_bytes() == first
        assert b"dc:date" not in first


def test_a_file_takes_its_colours_along() -> None:
    svg = standalone_svg(figure(), "x", "t", "d")
    assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    assert theme() in svg


def test_the_theme_has_every_colour_for_light_and_dark_pages() -> None:
    light, _, dark = theme().partition("prefers-color-scheme: dark")
    for name, (bright, dim) in COLOURS.items():
        assert f"--{name}: {bright};" in light
        assert f"--{name}: {dim};" in dark
    assert len({bright for bright, _ in COLOURS.values()}) == len(COLOURS)  # or a variable would stand for another


@pytest.mark.parametrize("name", ["a.xyz", "none/a.png"])
def test_a_plot_that_cannot_be_written_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"cannot be written.*\.png or \.svg"):
        save(figure(), tmp_path / name)
