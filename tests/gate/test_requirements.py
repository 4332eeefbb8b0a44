import pytest

from fedkd.errors import UserError
from fedkd.gate.options import GateOptions
from fedkd.gate.requirements import Requirement, requirement
from fedkd.runs.config import load


@pytest.mark.parametrize(
    ("text", "quantity", "part", "at_least", "number", "of"),
    [
        ("ndcg@10 >= 0.98 of teacher", "ndcg@10", "", True, 0.98, "teacher"),
        ("ndcg@20>=.98 of the federated teacher", "ndcg@20", "", True, 0.98, "teacher"),
        ("bytes <= 300000", "bytes", "", False, 300000.0, ""),
        ("latency-p95-ms <= 1", "latency-p95-ms", "", False, 1.0, ""),
        ("coverage >= 3e-1", "coverage@10", "", True, 0.3, ""),
        ("tail recall not below the public-only student", "recall@20", "tail items", True, 1.0, "public-student"),
        ("history 1-9 ndcg >= 0.1", "ndcg@10", "history 1-9", True, 0.1, ""),
        ("bytes not above teacher", "bytes", "", False, 1.0, "teacher"),
        ("epsilon <= 8", "epsilon", "", False, 8.0, ""),
    ],
)
def test_a_requirement_is_read(text: str, quantity: str, part: str, at_least: bool, number: float, of: str) -> None:
    assert requirement(text) == Requirement(text, quantity, part, at_least, number, of)


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("", "write it like"),
        ("ndcg@10 > 0.5", "write it like"),
        ("ndcg@10 >= .", "is no number"),
        ("ndcg@10 >= 1e999", "is no number"),
        ("ndgc@10 >= 0.5", "did you mean ndcg@10?"),
        ("tial recall >= 0.5", "did you mean tail?"),
        ("tail bytes <= 5", "leave tail out"),
        ("ndcg@10 >= 0.5 of teechar", "did you mean teacher?"),
        ("ndcg@10 not below the student", "name another model"),
        ("epsilon <= 1 of teacher", "write 'epsilon <= 8'"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_mend(text: str, mend: str) -> None:
    with pytest.raises(UserError, match=mend.replace("?", r"\?")):
        requirement(text)


def test_text_holds_several_requirements() -> None:
    assert GateOptions(requirements="bytes <= 5; epsilon <= 8;").requirements == ("bytes <= 5", "epsilon <= 8")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "mend"),
    [
        (['gate.requirements=["ndgc@10 >= 0.5"]'], "gate.requirements: 'ndgc@10 >= 0.5': ndgc@10 is not measured"),
        (
            ['gate.requirements=["ndcg@10 not below public-student"]', "partition.public-fraction=0.0"],
            "set partition.public-fraction above 0",
        ),
        (
            ['gate.requirements=["epsilon <= 8"]', "privacy.mode=central", "privacy.epsilon=4", "privacy.delta=1e-5"],
            "set evaluation.target=validation",
        ),
    ],
)
def test_a_gate_that_cannot_be_judged_is_refused_when_the_configuration_is_read(settings: list[str], mend: str) -> None:
    with pytest.raises(UserError, match=mend):
        load(None, settings)
