"""The choice of a processor; where torch has the CPU alone, that it is used and that models stay in main memory."""

import pytest
import torch

from fedkd.data.catalogue import Catalogue
from fedkd.errors import UserError
from fedkd.models import device
from fedkd.models.autoencoder import AutoencoderConfig
from fedkd.models.device import Processor, available, beside, computing, place_of, use_device
from fedkd.models.popularity import Popularity
from fedkd.runs.config import load


@pytest.fixture(autouse=True)
def chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Processor, "device", Processor.device)


@pytest.mark.parametrize(
    ("there", "name", "expected"),
    [
        (("cpu",), "auto", "cpu"),
        (("cuda", "cpu"), "auto", "cuda"),
        (("mps", "cpu"), "auto", "mps"),
        (("cuda", "mps", "cpu"), "cpu", "cpu"),
        (("cuda", "mps", "cpu"), "mps", "mps"),
    ],
)
def test_auto_is_the_fastest_there_is(
    monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...], name: str, expected: str
) -> None:
    monkeypatch.setattr(device, "available", lambda: there)
    assert use_device(name).type == Processor.device.type == expected  # type: ignore[arg-type]


def test_what_torch_has_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert available() == ("cuda", "cpu")


def test_a_processor_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "available", lambda: ("cpu",))
    with pytest.raises(UserError, match=r"runtime\.device is cuda, and torch has cpu here; set one of these, or auto"):
        use_device(load(None, ["runtime.device=cuda"]).runtime.device)
    with pytest.raises(UserError, match=r"runtime\.device"):
        load(None, ["runtime.device=gpu"])


def test_models_come_back_to_where_they_were() -> None:
    use_device("cpu")
    model = AutoencoderConfig(width=2).build(Catalogue.numbered(4), 0)
    before = {name: parameter.data_ptr() for name, parameter in model.named_parameters()}
    with computing(model, None) as place:
        assert place == place_of(model) == torch.device("cpu")
        assert beside(model, torch.ones(2)).device == place
    assert {name: parameter.data_ptr() for name, parameter in model.named_parameters()} == before
    assert place_of(torch.nn.Identity()) == torch.device("cpu")
    assert place_of(Popularity(torch.ones(3).numpy())).type == "cpu"
