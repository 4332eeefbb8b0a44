"""The answer of ``fedkd data guess``: what a file or folder may be, and the configuration that reads it."""

from fedkd.cli.terminal import say
from fedkd.data.cleaning import Keep
from fedkd.data.guess import as_arguments, as_toml, repeats
from fedkd.data.sources.guess import Guess
from fedkd.data.sources.table import SOURCES


def show_guesses(found: list[Guess]) -> None:
    """Print the surest guess with its configuration, and what else it may be."""
    best = found[0]
    say(_line(best), whole=True)
    if page := SOURCES.find(best.source).homepage:
        say(f"described at {page}", whole=True)
    if best.files:
        say(f"files: {', '.join(file.name for file in best.files)}", whole=True)
    if best.settings:
        say("check whether these are the columns that you mean: others are another data set", whole=True)
    if (share := repeats(best)) >= Keep.largest_loss:
        say(
            f"of its first rows {share:.0%} repeat a pair of user and item, as check-ins and plays may; if that is as "
            "it should be, add --set data.largest-loss=1",
            whole=True,
        )
    say(f"\nit is read, and looked at, by\n\n    fedkd data describe {as_arguments(best)}", whole=True)
    say("\nor in a configuration by\n", whole=True)
    say("".join(f"    {line}\n" for line in as_toml(best).splitlines()), whole=True)
    say()
    for other in found[1:]:
        say(f"or {_line(other)}\n    {as_arguments(other)}", whole=True)


def _line(guess: Guess) -> str:
    return f"{guess.sure.name.lower()} {guess.source}: {SOURCES.find(guess.source).summary}"
