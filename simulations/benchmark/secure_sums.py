"""Cost of a secure sum: a client's processor time, the server's, and bytes beside those of the plain numbers."""

from typing import Annotated

import typer

from fedkd.cli.terminal import guarded, plain_table, say, show
from fedkd.secure_aggregation.harness import measure


@guarded
def main(
    clients: Annotated[int, typer.Option(min=2)] = 100,
    numbers: Annotated[int, typer.Option(help="In every client's vector.", min=1)] = 10_000,
    bits: Annotated[int, typer.Option(help="Of the modulus.", min=8, max=64)] = 32,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
) -> None:
    """Measure the four messages of a secure sum: nobody drops out, and 30 % do after they dealt their shares."""
    cases = [measure(clients, numbers, bits, rounds, gone) for gone in (0.0, 0.3)]
    table = plain_table("cost", numbers=("nobody leaves", "30 % leave"))
    for label, key, form in _ROWS:
        table.add_row(label, *(form.format(case[key]) for case in cases))
    say(f"{clients} clients, {numbers:,} numbers of {bits} bits")
    show(table)


_ROWS = (
    ("client, all four messages", "client_ms", "{:.2f} ms"),
    ("server", "server_ms", "{:.1f} ms"),
    ("bytes up, of the plain numbers", "sent_ratio", "{:.3f}"),
    ("bytes down", "received_bytes", "{:,}"),
)
