"""``python -m tests.golden [FOLDER]``: write down the results that must not change unless somebody means them to."""

import json
import logging
import sys
import tempfile
import time
from pathlib import Path

from tests.golden.cases import CASES, MOVIELENS, PROCESSOR, RESULTS, machine, result


def main(folder: Path) -> None:
    """Play all cases and write what came out, a file for every case and a line for every value."""
    if not MOVIELENS.is_dir():
        sys.exit(f"the MovieLens files are not in {MOVIELENS}")
    logging.getLogger("flwr").setLevel(logging.ERROR)
    folder.mkdir(parents=True, exist_ok=True)
    for name, case in CASES.items():
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as place:
            found = result(case, Path(place), name)
        (folder / f"{name}.json").write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        print(f"{name}: {len(found)} values, {time.monotonic() - begun:.1f} s", flush=True)
    (folder / PROCESSOR).write_text(machine() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS)
