"""``python -m clients.recommend DATA``: what a device's own student recommends to its owner."""

from pathlib import Path
from typing import Annotated

import typer

from clients.student import LENGTH, recommendations
from fedkd.cli.deploy import print_list
from fedkd.cli.terminal import guarded, start
from fedkd.errors import UserError


@guarded
def main(
    data: Annotated[Path, typer.Argument(help="The client's data folder.")],
    k: Annotated[int, typer.Option(help="How many items.", min=1)] = LENGTH,
    user: Annotated[int, typer.Option(help="Which of the client's users, from 0, where it has several.", min=0)] = 0,
    allow_module: Annotated[
        list[str] | None, typer.Option(help="A module of your own that the run may name; may be given again.")
    ] = None,
) -> None:
    """Print the items that the device's student recommends, best first."""
    found = recommendations(data, k, tuple(allow_module or ()))
    rows = found[found["user"] == user]
    if rows.empty:
        raise UserError(f"{data} has nothing to recommend to user {user}; it has users 0 to {found['user'].max()}")
    print_list(rows[["item", "title", "rank", "score"]].itertuples(index=False, name=None))


if __name__ == "__main__":
    start(main)
