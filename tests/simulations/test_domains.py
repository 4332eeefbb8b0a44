"""What one domain gives to another, with students whose knowledge is plain."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fedkd.cli.terminal import command_line
from fedkd.errors import UserError
from fedkd.models.base import Recommender
from fedkd.models.popularity import fit_popularity
from fedkd.runs.config import Config, load
from fedkd.runs.federation import federation
from fedkd.runs.folder import RunFolder
from simulations.domains import OTHERS, OWN, TOGETHER, Students, answers, domains, gain_table, main, quality_table

TINY = [
    "data.source=scene",
    "data.scene.users=80",
    "data.scene.items=60",
    "data.scene.mean-history=8",
    "data.scene.domains=2",
    "partition.clients=groups",
    "partition.public-fraction=0.2",
    "algorithm.references=20",
    "algorithm.rank=4",
    "evaluation.baselines=[]",
    "runtime.threads=1",
    "runtime.wait-seconds=0",
]


def scene(*more: str) -> Config:
    return load(None, [*TINY, *more])


def popular(students: Students, names: list[str]) -> Recommender:
    """Return the popularity among the users of some domains, as their student."""
    train = federation(students.config).fold.train
    assert train.groups is not None
    return fit_popularity(train.take(np.flatnonzero(np.isin(train.groups, names))))


def test_every_item_and_every_private_user_is_of_one_domain() -> None:
    config = scene("data.scene.shared-users=0.3")
    found = domains(config)
    assert [domain.name for domain in found] == ["domain-0", "domain-1"]
    assert np.array_equal(found[0].items, ~found[1].items)
    together = np.concatenate([domain.users for domain in found])
    assert sorted(together.tolist()) == sorted(federation(config).private.tolist())
    for domain in found:
        assert domain.items[domain.fold.target.histories.values].all()
        assert 0 < domain.shared[domain.users].mean() < 1


def test_without_common_users_popularity_gains_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Students, "of", popular)
    found = answers(scene("data.scene.shared-users=0"), 2, tmp_path)
    for answer in found.values():
        assert answer.quality[OWN]["mean"] > answer.quality[OTHERS]["mean"]
        assert answer.quality[OWN] == answer.quality[TOGETHER]
        assert answer.gain["gain"] == {"mean": 0, "low": 0, "high": 0}
        assert "gain, shared users" not in answer.gain
    rows = {("0", name): answer for name, answer in found.items()}
    assert quality_table(rows, "shared-users").row_count == gain_table(rows, "shared-users").row_count == 2


def test_what_common_users_tell_is_a_gain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Students, "of", popular)
    found = answers(scene("data.scene.shared-users=0.9"), 2, tmp_path)
    assert {"gain", "gain, shared users", "gain, other users"} == set(found["domain-0"].gain)
    assert all(answer.quality[OTHERS]["mean"] > 0 for answer in found.values())
    assert any(answer.gain["gain"]["mean"] != 0 for answer in found.values())


def test_the_student_of_a_domain_is_of_its_users_alone(tmp_path: Path) -> None:
    config = scene("data.scene.shared-users=0.3")
    student = Students(config, ["domain-0", "domain-1"], tmp_path).of(["domain-1"])
    assert student.num_items == 60
    folder = RunFolder(tmp_path / "domains-1-seed-0")
    assert folder.config().partition.groups == ("domain-1",)
    assert folder.summary()["data"]["private-users"] == len(domains(config)[1].users)


@pytest.mark.parametrize(("groups", "said"), [(None, "names no group of a user"), ("a", "one domain alone, a, and")])
def test_what_is_no_two_domains_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, groups: str | None, said: str
) -> None:
    together = federation(scene())
    fold = together.fold
    names = None if groups is None else np.full(fold.train.num_users, groups)
    grouped = replace(together, fold=replace(fold, train=replace(fold.train, groups=names)))
    monkeypatch.setattr("simulations.domains.federation", lambda config: grouped)
    with pytest.raises(UserError, match=said):
        answers(scene(), 2, tmp_path)


def printed(conf: Path, *settings: str) -> tuple[int, str]:
    given = [f"--set={each}" for each in settings]
    done = CliRunner().invoke(command_line(main), [str(conf), *given, "--seeds=2", f"--out={conf.parent / 'runs'}"])
    return done.exit_code, " ".join(done.output.split())


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The configuration of a table whose column ``shop`` may be named; students are popularity."""
    monkeypatch.setattr(Students, "of", popular)
    data = scene().data.load().interactions
    rows = data.histories.row_index
    assert data.groups is not None
    columns = [data.users[rows], data.catalogue.ids[data.histories.values], data.groups[rows]]
    lines = [",".join(map(str, line)) for line in zip(*columns, strict=True)]
    (tmp_path / "rows.csv").write_text("user,item,shop\n" + "\n".join(lines))
    conf = tmp_path / "conf.toml"
    conf.write_text(
        f"[data]\nsource = 'table'\npath = '{tmp_path / 'rows.csv'}'\nuser-column = 'user'\nitem-column = 'item'\n"
        "time-column = ''\n[split]\nkind = 'ratio'\n"
    )
    return conf


def test_whoever_has_no_domains_is_told_what_mends_it(table: Path) -> None:
    status, said = printed(table)
    assert status == 2
    assert "this source names no group of a user" in said
    mend = ["data.source=scene", "data.scene.domains=2"]
    assert all(f"--set {each}" in said for each in mend)
    small = ["data.scene.users=80", "data.scene.items=60", "data.scene.mean-history=8"]
    plain = table.with_name("plain.toml")
    plain.write_text("")
    assert "nothing of g" in printed(plain, mend[0], *small)[1]  # ten groups, and few users in each
    status, said = printed(plain, *mend, *small)
    assert status == 0, said
    assert "0.02 domain-1" in said


def test_a_table_needs_no_key_to_vary(table: Path) -> None:
    status, said = printed(table, "data.group-column=shop")
    assert status == 0, said
    assert "as given domain-0" in said
