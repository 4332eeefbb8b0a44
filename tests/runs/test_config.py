"""One configuration: files, overrides, Flower's flat form, and messages that name key and mend."""

import tomllib
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from fedkd.errors import UserError
from fedkd.models.cnn import CNNConfig
from fedkd.models.linear import LinearConfig
from fedkd.models.table import AnyModel
from fedkd.options import Options
from fedkd.protocols.table import PROTOCOLS
from fedkd.runs.config import Config, dump, flatten, flower_settings, load, unflatten, validate

ROOT = Path(__file__).parents[2]
OTHERS = [protocol for protocol in PROTOCOLS if protocol().name != Config().algorithm.name]


TABLE = {"source": "table", "min-rating": 3.5, "path": "/a b/c", "user-column": 0, "header": False, "separator": " "}


def written(folder: Path, text: str) -> Path:
    path = folder / "conf.toml"
    path.write_text(text)
    return path


def test_without_a_file_the_defaults_hold() -> None:
    assert load(None) == Config()


def test_a_file_states_only_what_differs_and_overrides_win(tmp_path: Path) -> None:
    path = written(tmp_path, 'seed = 3\nname = "x"\n[split]\ntest-fraction = 0.3\n')
    config = load(path, ["seed=4", "split.kind=temporal"])
    assert (config.seed, config.name, config.split.test_fraction, config.split.kind) == (4, "x", 0.3, "temporal")
    assert config.data == Config().data


@pytest.mark.parametrize("path", sorted((ROOT / "simulations" / "conf").glob("*.toml")), ids=lambda path: path.stem)
def test_every_configuration_of_the_project_can_be_read(path: Path) -> None:
    assert load(path).name == path.stem


def test_the_declared_defaults_of_flower_are_those_of_the_configuration() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]
    overrides = declared.pop("overrides")
    assert overrides == ""
    flat = {".".join(path): value for path, value in leaves(declared)}
    assert flat == flatten(Config())


def leaves(tree: dict[str, object], path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], object]]:
    found: list[tuple[tuple[str, ...], object]] = []
    for key, value in tree.items():
        found += leaves(value, (*path, key)) if isinstance(value, dict) else [((*path, key), value)]
    return found


@pytest.mark.parametrize(
    ("override", "section", "name", "value"),
    [
        ("seed=7", "", "seed", 7),
        ("fraction-train=0.5", "", "fraction_train", 0.5),
        ("data.min-rating=4", "data", "min_rating", 4.0),
        ("data.source=lightgcn", "data", "source", "lightgcn"),
        ('data.source="lightgcn"', "data", "source", "lightgcn"),
        ("data.path=some/where.csv", "data", "path", Path("some/where.csv")),
        ("data.separator=;", "data", "separator", ";"),
        ("data.user-column=", "data", "user_column", ""),
        ('evaluation.baselines=["ease"]', "evaluation", "baselines", ("ease",)),
        ("evaluation.baselines=ease,popularity", "evaluation", "baselines", ("ease", "popularity")),
        ("evaluation.baselines=[]", "evaluation", "baselines", ()),
    ],
)
def test_overrides_take_the_type_of_their_key(override: str, section: str, name: str, value: object) -> None:
    config = load(None, ["data.source=table", override])
    found = getattr(getattr(config, section) if section else config, name)
    assert found == value
    assert type(found) is type(value) or isinstance(value, Path)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sed=1", r"sed: no such key; did you mean seed\?"),
        ("data.min-ratin=1", r"data\.min-ratin: no such key; did you mean data\.min-rating\?"),
        ("dat.source=table", r"dat.*no such key; did you mean data"),
        ("algorithm.dampin=1", r"algorithm\.dampin: no such key; did you mean algorithm\.damping\?"),
        ("seed=abc", r"seed: .*integer.*got 'abc'"),
        ("seed=-1", r"seed: .*greater than or equal to 0.*got -1"),
        ("seed=1.5", r"seed: .*got 1\.5"),
        ("split.test-fraction=1", r"split\.test-fraction: .*less than 1"),
        ("split.test-fraction=nan", r"split\.test-fraction: "),
        ("split.kind=random", r"split\.kind: .*'ratio'.*got 'random'"),
        ("algorithm.name=fedkdd", r"(?s)algorithm.*residual"),
        ("name=../up", r"name: .*pattern"),
        ("seed", r"--set takes key=value.*got 'seed'"),
        ("=3", r"--set takes key=value"),
        ("seed.more=1", r"seed: "),
        ('evaluation.baselines="[ease"', r"evaluation\.baselines: .*list"),
        ("evaluation.baselines=oracle", r"evaluation\.baselines.*got 'oracle'"),
        ("data=3", r"data: "),
    ],
)
def test_what_is_wrong_is_named_with_its_key(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(None, [override])


def test_everything_wrong_is_listed_at_once() -> None:
    with pytest.raises(UserError) as caught:
        load(None, ["seed=-1", "sed=1", "split.kind=x"])
    assert all(key in str(caught.value) for key in ("seed:", "sed:", "split.kind:"))


def test_a_value_is_not_a_section(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"seed\.more: seed is a value"):
        load(written(tmp_path, "seed = 1\n"), ["seed.more=1"])


@pytest.mark.parametrize("text", ["data = 3\n", 'data = "x"\n', "algorithm = 3\n", "seed = [1]\n"])
def test_a_file_with_values_of_another_shape_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match=text.split()[0]):
        load(written(tmp_path, text))


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.toml.*give the path of a TOML file"):
        load(tmp_path / "none.toml")
    with pytest.raises(UserError, match="cannot read"):
        load(tmp_path)
    with pytest.raises(UserError, match="not valid TOML"):
        load(written(tmp_path, "seed = = 1"))
    (tmp_path / "conf.toml").write_bytes(b'name = "\xff"')
    with pytest.raises(UserError, match="not valid TOML"):
        load(tmp_path / "conf.toml")


def test_a_data_path_lies_beside_the_file_or_where_it_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conf").mkdir()
    path = written(tmp_path / "conf", '[data]\nsource = "table"\npath = "rows.csv"\n')
    monkeypatch.chdir(tmp_path)
    assert load(path).data.path == tmp_path / "rows.csv"
    (tmp_path / "conf" / "rows.csv").touch()
    assert load(path).data.path == tmp_path / "conf" / "rows.csv"
    (tmp_path / "rows.csv").touch()
    assert load(path).data.path == tmp_path / "rows.csv"


def test_a_configuration_cannot_be_changed() -> None:
    config, name = Config(), "seed"
    with pytest.raises(ValidationError, match="frozen"):
        setattr(config, name, 1)


@pytest.mark.parametrize("protocol", list(PROTOCOLS), ids=lambda protocol: protocol().name)
def test_files_and_flowers_form_give_every_configuration_back(protocol: type) -> None:
    config = Config.model_validate({"seed": 5, "algorithm": protocol(), "data": TABLE})
    assert validate(tomllib.loads(tomli_w.dumps(dump(config)))) == config
    assert unflatten(flatten(config)) == config
    assert unflatten({**flatten(Config()), "overrides": "", **flower_settings(config)}) == config


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    share=st.floats(0.01, 0.99),
    rating=st.none() | st.floats(-5, 5),
    clients=st.sampled_from(["users", "silos", "tastes", "groups"]),
    baselines=st.lists(st.sampled_from(["ease", "popularity", "fedavg"]), unique=True),
    algorithm=st.sampled_from([protocol().name for protocol in PROTOCOLS]),
)
def test_any_configuration_survives_flowers_form(
    seed: int, share: float, rating: float | None, clients: str, baselines: list[str], algorithm: str
) -> None:
    config = validate(
        {
            "seed": seed,
            "split": {"test-fraction": share},
            "data": {"min-rating": rating},
            "partition": {"clients": clients},
            "evaluation": {"baselines": baselines},
            "algorithm": {"name": algorithm},
        }
    )
    flat = flatten(config)
    assert all(isinstance(value, bool | int | float | str) for value in flat.values())
    assert unflatten(flat) == config
    assert unflatten({**flatten(Config()), **flower_settings(config)}) == config
    assert validate(dump(config)) == config


def test_overrides_of_flowers_form_win_and_are_checked() -> None:
    flat = {**flatten(Config()), "overrides": "seed=9 split.kind=temporal"}
    assert (unflatten(flat).seed, unflatten(flat).split.kind) == (9, "temporal")
    with pytest.raises(UserError, match="did you mean seed"):
        unflatten({**flat, "overrides": "sed=9"})
    with pytest.raises(UserError, match="sed: no such key"):
        unflatten({**flat, "sed": 9})


@pytest.mark.parametrize("protocol", list(OTHERS), ids=lambda protocol: protocol().name)
def test_another_protocol_drops_the_parameters_of_the_one_in_the_file(tmp_path: Path, protocol: type) -> None:
    path = written(tmp_path, '[algorithm]\nname = "residual"\ndamping = 3.0\n')
    assert load(path).algorithm != Config().algorithm
    assert load(path, [f"algorithm.name={protocol().name}"]).algorithm == protocol()


def test_parameters_without_a_name_belong_to_the_default_protocol(tmp_path: Path) -> None:
    config = load(written(tmp_path, "[algorithm]\ndamping = 3.0\n"))
    assert (config.algorithm.name, dump(config)["algorithm"]["damping"]) == (Config().algorithm.name, 3.0)


def test_a_key_of_another_algorithm_is_called_that() -> None:
    for keys in (["algorithm.name=gnmax", "algorithm.rank=4"], ["algorithm.local.optimiser=sgd"]):
        with pytest.raises(UserError, match="belongs to another algorithm"):
            load(None, keys)


def test_a_key_of_another_model_is_called_that() -> None:
    with pytest.raises(UserError, match=r"algorithm\.model\.channels: no such key; it belongs to another model"):
        load(None, ["algorithm.name=fedavg", "algorithm.model.channels=[4, 8]"])
    chosen = load(None, ["algorithm.name=fedavg", "algorithm.model.family=cnn", "algorithm.model.channels=[4, 8]"])
    assert chosen.algorithm.model == CNNConfig(channels=(4, 8))  # type: ignore[union-attr]
    assert unflatten(flatten(chosen)) == validate(dump(chosen)) == chosen
    with pytest.raises(UserError, match=r"algorithm\.model\.family: there is no model 'cn', did you mean cnn"):
        load(None, ["algorithm.name=fedavg", "algorithm.model.family=cn"])


def test_another_model_takes_no_default_of_the_one_in_its_place() -> None:
    class Student(Options):
        model: AnyModel = LinearConfig(width=5, dropout=0.5)

    class Outer(Options):
        student: Student = Student(model=LinearConfig(width=6))

    outer = Outer.model_validate({"student": {"model": {"dropout": 0.1}}})
    assert outer.student.model == LinearConfig(width=6, dropout=0.1)
    for chosen in ({"family": "autoencoder"}, {"family": "cnn", "width": 32}):
        built = Outer.model_validate({"student": {"model": chosen}}).student.model
        assert built == type(built)()


def test_a_table_that_names_some_keys_keeps_the_others_of_its_place() -> None:
    local = load(None, ["algorithm.name=iterated", "algorithm.local.epochs=2"]).algorithm.local  # type: ignore[union-attr]
    assert (local.epochs, local.optimiser, local.learning_rate) == (2, "sgd", 0.1)
    assert load(None, ["algorithm.name=fedavg", "algorithm.model.width=8"]).algorithm.model.family == "autoencoder"  # type: ignore[union-attr]
    whole = {"name": "fedavg", "model": {"family": "linear", "width": 8}, "local": {"batch_size": 4}}
    chosen = validate({"algorithm": whole}).algorithm
    assert (chosen.model.family, chosen.local.batch_size, chosen.local.epochs) == ("linear", 4, 1)  # type: ignore[union-attr]


def test_a_wrong_key_in_a_completed_table_is_still_named() -> None:
    with pytest.raises(UserError, match=r"algorithm.model.widht: no such key; did you mean algorithm.model.width"):
        load(None, ["algorithm.name=fedavg", "algorithm.model.widht=8"])


def test_a_number_too_long_to_be_read_is_a_users_error(tmp_path: Path) -> None:
    (tmp_path / "long.toml").write_text(f"seed = {'9' * 5000}")
    with pytest.raises(UserError, match="not valid TOML"):
        load(tmp_path / "long.toml")
    with pytest.raises(UserError, match="seed: "):
        load(None, [f"seed={'9' * 5000}"])
    for key in ("num-server-rounds", "data.synthetic.users", "data.synthetic.items"):
        with pytest.raises(UserError, match=key):
            load(None, [f"{key}={'9' * 400}"])


def test_a_ledger_is_found_again_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(None, ["privacy.ledger=book"]).privacy.ledger == tmp_path / "book"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["partition.public-fraction=0", "evaluation.baselines=ease,public-teacher"], "set partition.public-fraction"),
        (["algorithm.name=fedavg", "evaluation.baselines=public-student"], "no student of algorithm fedavg"),
        (["algorithm.name=ptf-fedrec", "evaluation.baselines=centralised"], "no model of everyone's data"),
        (
            [
                *("algorithm.name=gnmax", "algorithm.panel=9", "privacy.mode=central", "privacy.votes=noisy-max"),
                *("privacy.epsilon=4", "privacy.delta=1e-5", "evaluation.baselines=fedavg"),
            ],
            "are no votes",
        ),
    ],
)
def test_a_baseline_that_is_asked_for_and_cannot_be_made_is_refused(settings: list[str], says: str) -> None:
    with pytest.raises(UserError, match=r"evaluation\.baselines asks for what cannot be made") as error:
        load(None, settings)
    assert says in str(error.value)
    assert "ease (" not in str(error.value)
    load(None, [*settings[:-1], "evaluation.baselines=ease"])


def test_baselines_that_nobody_named_are_left_out_and_not_refused() -> None:
    config = load(None, ["partition.public-fraction=0"])
    assert config.unmakeable("public-teacher")
    assert not config.unmakeable("ease")
    assert validate(dump(config)) == config


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["lists.steps=diverse:weigth=1"], "its settings are weight, among"),
        (["lists.steps=diverse", "algorithm.name=ptf-fedrec"], "leave lists.steps out, or set algorithm.name"),
    ],
)
def test_steps_that_cannot_be_made_are_refused(settings: list[str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        load(None, settings)
