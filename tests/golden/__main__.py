"""``python -m tests.golden [FILE]``: write down the results that must not change unless somebody means them to."""

import json
import logging
import sys
import tempfile
import time
from pathlib import Path

from tests.golden.cases import CASES, MOVIELENS, Result, machine, result

RESULTS = Path(__file__).with_name("results.json")


def main(path: Path) -> None:
    """Play all cases and write what came out, a line for every value."""
    if not MOVIELENS.is_dir():
        sys.exit(f"the MovieLens files are not in {MOVIELENS}")
    logging.getLogger("flwr").setLevel(logging.ERROR)
    results: dict[str, Result] = {}
    for name, case in CASES.items():
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as place:
            results[name] = result(case, Path(place), name)
        print(f"{name}: {len(results[name])} values, {time.monotonic() - begun:.1f} s", flush=True)
    content = {"processor": machine(), "results": results}
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS)
