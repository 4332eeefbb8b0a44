"""The answer of ``fedkd data guess``: what a file or folder may be, and the configuration that reads it."""

from rich.console import Console

from fedkd.data.guess import as_arguments, as_toml
from fedkd.data.sources.guess import Guess
from fedkd.data.sources.table import SOURCES


def show(found: list[Guess]) -> None:
    """Print the surest guess with its configuration, and what else it may be."""
    console, best = Console(highlight=False, soft_wrap=True, markup=False), found[0]
    console.print(_line(best))
    if page := SOURCES.find(best.source).homepage:
        console.print(f"described at {page}")
    if best.files:
        console.print(f"files: {', '.join(file.name for file in best.files)}")
    if best.settings:
        console.print("check whether these are the columns that you mean: others are another data set")
    console.print(f"\nit is read, and looked at, by\n\n    fedkd data describe {as_arguments(best)}")
    console.print("\nor in a configuration by\n")
    console.print("".join(f"    {line}\n" for line in as_toml(best).splitlines()))
    for other in found[1:]:
        console.print(f"or {_line(other)}\n    {as_arguments(other)}")


def _line(guess: Guess) -> str:
    return f"{guess.sure.name.lower()} {guess.source}: {SOURCES.find(guess.source).summary}"
