"""What a secure sum takes: a client's processor time, the server's, and bytes beside those of the plain numbers."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from fedkd.privacy.secure.rehearsal import measure


def main(
    clients: Annotated[int, typer.Option(min=2)] = 100,
    numbers: Annotated[int, typer.Option(help="In every client's vector.", min=1)] = 10_000,
    bits: Annotated[int, typer.Option(help="Of the modulus.", min=8, max=64)] = 32,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
) -> None:
    """Measure the four messages of a secure sum, nobody dropping out."""
    taken = measure(clients, numbers, bits, rounds)
    table = Table(f"{clients} clients, {numbers:,} numbers of {bits} bits", "")
    table.add_row("client, all four messages", f"{taken['client_ms']:.2f} ms")
    table.add_row("server", f"{taken['server_ms']:.1f} ms")
    table.add_row("bytes up, of the plain numbers", f"{taken['sent_ratio']:.3f}")
    table.add_row("bytes down", f"{taken['received_bytes']:,}")
    Console(highlight=False).print(table)
