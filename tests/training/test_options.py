"""Every place has the keys of its own training, and refuses those of others."""

import pytest
from pydantic import ValidationError

from fedkd.options import Options, kebab
from fedkd.training.options import CentralTraining, CohortTraining, LocalTraining, StepTraining

KEYS = {
    CohortTraining: ["epochs", "learning-rate", "batch-size", "optimiser"],
    LocalTraining: ["epochs", "learning-rate", "batch-size", "optimiser", "visible", "target"],
    CentralTraining: ["epochs", "learning-rate", "batch-size", "visible", "weight-decay", "labels"],
    StepTraining: ["learning-rate", "batch-size", "visible", "weight-decay", "labels", "steps", "decay"],
}
EVERY = {
    "epochs": 2,
    "steps": 2,
    "learning-rate": 0.1,
    "batch-size": 2,
    "optimiser": "sgd",
    "visible": 0.5,
    "target": "next-item",
}


@pytest.mark.parametrize("place", KEYS)
def test_a_place_has_its_own_keys_and_no_others(place: type[Options]) -> None:
    assert [kebab(name) for name in place.model_fields] == KEYS[place]
    for key, value in EVERY.items():
        if key in KEYS[place]:
            assert place.model_validate({key: value}).model_dump(by_alias=True)[key] == value
        else:
            with pytest.raises(ValidationError, match="Extra inputs"):
                place.model_validate({key: value})


def test_the_length_of_a_phase() -> None:
    assert CentralTraining(epochs=3, batch_size=4).num_steps(9) == 9
    assert CentralTraining(epochs=0).num_steps(9) == 0
    assert StepTraining(steps=7).num_steps(9) == 7


@pytest.mark.parametrize("place", [CohortTraining, LocalTraining])
def test_a_cohort_takes_a_pass_at_least(place: type[CohortTraining]) -> None:
    with pytest.raises(ValidationError):
        place(epochs=0)
