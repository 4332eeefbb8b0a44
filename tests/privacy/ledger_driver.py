"""A light process that pays for releases and sends them, until it is killed or its budget ends.

``python ledger_driver.py LEDGER OUTBOX RUN RELEASES EPSILON``: every line of the outbox is one message that left, as
``release bytes``. Releases already in the outbox are sent again, as after a lost acknowledgement.
"""

import os
import secrets
import sys

from fedkd.privacy.budget import Budget
from fedkd.privacy.events import Cost
from fedkd.privacy.ledger import BudgetExhausted, Ledger, data_key

DATA = data_key("shop", "client 7")
COST = Cost.of_gaussian(3.0)
DELTA = 1e-5


def main(path: str, outbox: str, run: str, releases: str, epsilon: str) -> None:
    ledger, limit = Ledger(path), Budget(float(epsilon), DELTA)
    sent = os.open(outbox, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in range(int(releases)):
        try:
            receipt = ledger.charge(DATA, f"{run}/{number}", COST, limit)
        except BudgetExhausted:
            continue
        payload = receipt.payload or ledger.store(DATA, f"{run}/{number}", secrets.token_hex(8).encode())
        os.write(sent, f"{run}/{number} {payload.decode()}\n".encode())


if __name__ == "__main__":
    assert not {"torch", "numpy", "scipy", "pandas"} & set(sys.modules)
    main(*sys.argv[1:])
