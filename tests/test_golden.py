"""Results that must not change unless somebody means them to.

``tests/golden/results`` holds what a number of small runs came to, a file for each: metrics, counts, bytes, epsilon,
and sums and hashes of the models' arrays. On the kind of processor that they were written on, every value must be the
same to the last digit. Other processors add numbers up in another order. There whole numbers and words must still be
the same, and other numbers must agree to 5e-4, relative or absolute. What is measured on lists of recommendations,
which has an ``@`` in its name, must agree to 1e-2: two items that all but tie may change places, and that moves a
mean over few users. Hashes are not compared there.

Whoever changes results on purpose writes the files anew with ``python -m tests.golden``, and says why; their diff
shows what changed, a line for every value.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from flwr.supercore.task_identity import TaskIdentity

from fedkd.protocols.table import PROTOCOLS
from tests.golden import cases

PROCESSOR = (cases.RESULTS / cases.PROCESSOR).read_text(encoding="utf-8").strip()
TOLERANCE, OF_LISTS = 5e-4, 1e-2
ABSENT = "absent"

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def own_identity() -> Iterator[None]:
    """Flower keeps the identity of a task for the whole process; a test must not leave one behind."""
    kept = (TaskIdentity._task_id, TaskIdentity._run_id, TaskIdentity._node_id)
    yield
    TaskIdentity._task_id, TaskIdentity._run_id, TaskIdentity._node_id = kept


def marks(case: cases.Case) -> list[pytest.MarkDecorator]:
    real = pytest.mark.skipif(not cases.MOVIELENS.is_dir(), reason=f"needs the MovieLens files in {cases.MOVIELENS}")
    return [pytest.mark.realdata, real] if case.data == "movielens" else []


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks(case)) for name, case in cases.CASES.items()])
def test_a_run_comes_to_what_it_came_to_before(name: str, tmp_path: Path) -> None:
    found = cases.result(cases.CASES[name], tmp_path, name)
    kept = json.loads((cases.RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    assert not differences(kept, found, exact=cases.machine() == PROCESSOR)


def differences(kept: cases.Result, found: cases.Result, exact: bool) -> list[str]:
    """Return what differs, a line for every value."""
    return [
        f"{path}: was {kept.get(path, ABSENT)}, is {found.get(path, ABSENT)}"
        for path in dict.fromkeys([*kept, *found])
        if not same(path, kept.get(path, ABSENT), found.get(path, ABSENT), exact)
    ]


def same(path: str, kept: cases.Value, found: cases.Value, exact: bool) -> bool:
    if exact or ABSENT in (kept, found) or type(kept) is not type(found):
        return kept == found
    if path.endswith("/sha256"):
        return True
    if isinstance(kept, float):
        near = OF_LISTS if "@" in path else TOLERANCE
        return bool(found == pytest.approx(kept, rel=near, abs=near))
    return kept == found


def test_every_case_is_kept_and_every_protocol_has_one() -> None:
    assert {path.stem for path in cases.RESULTS.glob("*.json")} == set(cases.CASES)
    assert set(cases.PROTOCOLS) == {kind.model_fields["name"].default for kind in PROTOCOLS}


@pytest.mark.parametrize(
    ("path", "kept", "found", "exactly", "nearly"),
    [
        ("a/mean", 0.5, 0.5, True, True),
        ("a/mean", 0.5, 0.5000001, False, True),
        ("a/mean", 0.5, 0.505, False, False),
        ("ndcg@20/mean", 0.5, 0.505, False, True),
        ("ndcg@20/mean", 0.5, 0.52, False, False),
        ("a/up-bytes", 5000, 5001, False, False),
        ("a/sha256", "ab", "cd", False, True),
        ("a/sha256", "ab", ABSENT, False, False),
        ("a/fingerprint", "ab", "cd", False, False),
        ("a/epsilon", None, 0.0, False, False),
    ],
)
def test_what_counts_as_the_same(path: str, kept: cases.Value, found: cases.Value, exactly: bool, nearly: bool) -> None:
    assert (same(path, kept, found, exact=True), same(path, kept, found, exact=False)) == (exactly, nearly)
