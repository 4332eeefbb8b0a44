"""Lists of a deployed model, and items by what people type."""

from pathlib import Path

import numpy as np
import pytest

from fedkd.data.catalogue import Catalogue
from fedkd.deployment.deployed import Deployed
from fedkd.deployment.titles import Titles, plain
from fedkd.errors import UserError
from fedkd.evaluation.recommend import top_items
from tests.deployment.runs import catalogue, finished_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def deployed(run: Path) -> Deployed:
    return Deployed.open(run)


def test_lists_are_those_of_the_library(run: Path, deployed: Deployed) -> None:
    from fedkd.deployment.students import student_of_run
    from fedkd.runs.federation import federation

    config, _, student = student_of_run(run)
    histories = federation(config).fold.history.take(np.arange(6))
    expected = top_items(student, histories, 5)
    found = deployed.lists([histories.histories[user].tolist() for user in range(6)], 5)
    assert [item for one in found for item, _ in one] == [deployed.titles.position[name] for name in expected["item"]]
    np.testing.assert_allclose([s for one in found for _, s in one], expected["score"], rtol=1e-5)


def test_lists_leave_out_the_history_and_what_is_not_allowed(deployed: Deployed) -> None:
    allowed = np.zeros(40, bool)
    allowed[[1, 2, 3]] = True
    ((*found,),) = deployed.lists([[2, 9, 2]], 10, allowed)
    assert sorted(item for item, _ in found) == [1, 3]
    assert deployed.lists([], 3) == []
    assert deployed.lists([list(range(40))], 3) == [[]]
    assert len(deployed.lists([[]], 99)[0]) == 40


def test_an_item_counts_where_it_comes_last(deployed: Deployed) -> None:
    assert deployed.lists([[1, 2, 1]], 5) == deployed.lists([[2, 1]], 5)


def test_a_folder_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="make one with fedkd export RUN --out"):
        Deployed.open(tmp_path)


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("heat", "Heat (1995)"),
        ("Heat (1995)", "Heat (1995)"),
        ("the matrix", "Matrix, The (1999)"),
        ("MATRIX, THE", "Matrix, The (1999)"),
        ("amelie", "Amélie (2001)"),
        ("Twins (1988)", "Twins (1988)"),
        ("Twins", "Twins"),
        ("alien", "Alien (1979)"),
        ("matrix", None),
        ("Aliem", None),
        ("", None),
        ("???", None),
    ],
)
def test_a_title_is_recognised_where_it_is_clear(text: str, title: str | None) -> None:
    titles = Titles(catalogue())
    found = titles.exact(text)
    assert (None if found is None else titles.shown[found]) == title


def test_an_id_comes_before_a_title() -> None:
    titles = Titles(Catalogue(np.array(["1", "2"]), np.array(["2", "1"])))
    assert titles.exact("1") == 0
    assert Titles(Catalogue.numbered(3)).exact("2") == 2


@pytest.mark.parametrize(
    ("text", "first"),
    [("alie", ["Alien (1979)", "Aliens (1986)"]), ("matrx", ["Matrix, The (1999)"]), ("2001", ["Amélie (2001)"])],
)
def test_a_search_finds_beginnings_words_and_likeness(text: str, first: list[str]) -> None:
    titles = Titles(catalogue())
    assert [titles.shown[item] for item in titles.search(text)][: len(first)] == first


def test_a_search_for_nothing_finds_nothing() -> None:
    titles = Titles(catalogue())
    assert titles.search("") == titles.search("qqqq") == []
    assert len(titles.search("item", 3)) == 3
    assert plain("L'Été, (1999)") == "l ete"
