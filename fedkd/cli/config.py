"""``fedkd config``: the reference of all configuration keys, and the check of a configuration."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedkd.cli.terminal import guarded, plain_table, say, show
from fedkd.errors import UserError

if TYPE_CHECKING:
    from fedkd.runs.reference import Key, Section

HEADER = """\
# All configuration keys

Written by `fedkd config --markdown simulations/conf/README.md` from the classes of the configuration.

A configuration is a TOML file that says only what differs from these defaults; `--set key=value` overrides it, for
example `--set privacy.epsilon=4`. `fedkd config --check FILE` says whether a configuration is good and prints it whole.
"""
COLUMNS = ("key", "allowed", "default", "meaning")


@guarded
def config(
    listed: Annotated[bool, typer.Option("--list", help="Print every key: values, default and meaning.")] = False,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the same as a page of Markdown into FILE.")
    ] = None,
    check: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Say whether a configuration is good, and print it whole.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="With --check: key=value, overrides the file.")
    ] = None,
) -> None:
    """List all configuration keys, or check a configuration."""
    if sum((listed, markdown is not None, check is not None)) != 1:
        raise UserError("give one of --list, --markdown FILE and --check FILE")
    if overrides and check is None:
        raise UserError("--set belongs to --check FILE")
    if check is not None:
        _check(check, overrides or [])
        return
    from fedkd.runs.reference import reference

    if markdown is None:
        _list(reference())
    else:
        markdown.write_text(page(reference()), encoding="utf-8")
        say(f"keys: {markdown}", whole=True)


def page(sections: "Sequence[Section]") -> str:
    """Return the reference as a page of Markdown."""
    return "\n".join([HEADER, *(line for section, same in _compared(sections) for line in _markdown(section, same))])


def _compared(sections: "Sequence[Section]") -> Iterator[tuple["Section", str]]:
    """Yield every section, and the title of an earlier one that has the same keys, where there is one."""
    titles: dict[tuple[Key, ...], str] = {}
    for section in sections:
        yield section, titles.get(section.keys, "") if section.keys else ""
        titles.setdefault(section.keys, section.title)


def _markdown(section: "Section", same: str) -> Iterator[str]:
    yield f"## {section.title}\n"
    yield f"{_code(section.summary)}\n"
    if same:
        yield f"Its keys are those of `{same}`.\n"
    elif section.keys:
        yield "| " + " | ".join(COLUMNS) + " |\n|---|---|---|---|"
        yield from (f"| {' | '.join(_cells(key))} |" for key in section.keys)
        yield ""


def _cells(key: "Key") -> tuple[str, ...]:
    default = f"`{key.default}`" if key.default else ""
    cells = (f"`{key.name}`", key.allowed, default, _code(key.meaning))
    return tuple(cell.replace("|", "\\|") for cell in cells)


def _code(text: str) -> str:
    """Return text of a docstring as Markdown has it."""
    return text.replace("``", "`")


def _list(sections: "Sequence[Section]") -> None:
    for section, same in _compared(sections):
        say(section.title, "bold")
        say(section.summary)
        say()
        if same:
            say(f"Its keys are those of {same}.\n")
            continue
        shown = plain_table(*COLUMNS)
        for key in section.keys:
            shown.add_row(key.name, key.allowed, key.default, key.meaning)
        show(shown)
        say()


def _check(path: Path, overrides: Sequence[str]) -> None:
    import tomli_w

    from fedkd.runs.config import dump, load

    whole = tomli_w.dumps(dump(load(path, overrides)))
    say(f"# {path} is a good configuration; this is all of it\n{whole}", whole=True)
