"""Every mend that an error of a command, a server or a client names is applied as it is written, and must mend."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from click.testing import CliRunner

import clients.__main__ as client
import clients.prepare
import clients.recommend
import fedkd.cli.main
import server.__main__ as serving
import server.app
import server.prepare
import simulations.audit
import simulations.deployment.certificates
import simulations.forecast
import simulations.run
import simulations.sweep
import simulations.withdraw
from clients.device import read_device
from clients.policy import ClientPolicy
from fedkd.cli.terminal import command_line
from fedkd.errors import UserError
from fedkd.privacy.budget import Budget
from fedkd.runs.config import load
from fedkd.runs.folder import RunFolder
from server.data import read_setup
from simulations.deployment.certificates import make_certificates
from simulations.deployment.prepare import deal_out
from tests.cli.test_main import paid_book
from tests.simulations.deployment import options
from tests.simulations.devices import DISTRIBUTED, SMALL, deployed

SILOS = [*SMALL, "partition.clients=silos", "partition.num-silos=3", "privacy.minimum-cohort=3"]
SET = options(SMALL)
RUN = simulations.run.run
Program = typer.Typer | Callable[..., None]
Words = tuple[object, ...]


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, folders of a server and of clients with a student, a ledger, certificates, a configuration."""
    place = tmp_path_factory.mktemp("trial")
    (place / "conf.toml").write_text('name = "fedkd"\n')
    assert typed(simulations.run.main, place / "conf.toml", *SET, "--out", place / "run")[0] == 0
    deal_out(load(None, SILOS), place / "data")
    deployed(place / "served", place / "data", *SILOS, **{"minimum-cohort": 3})
    make_certificates(place / "keys", 1)
    paid_book(place / "book")
    return place


@pytest.fixture(autouse=True)
def unstarted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command would then begin to do; here it is the proof that nothing is left to mend."""

    def begin(*_: object, **__: object) -> None:
        raise typer.Exit(0)

    for module, name in (
        (client, "keep_connected"),
        (simulations.audit, "examine"),
        (simulations.run, "run"),
        (simulations.sweep, "sweep"),
        (simulations.withdraw, "run"),
    ):
        monkeypatch.setattr(module, name, begin)
    monkeypatch.setattr(simulations.audit, "alarms", lambda *_: (0, 1))
    monkeypatch.setattr(serving, "running", begin)
    monkeypatch.setattr(serving.signal, "signal", lambda *_: None)


def typed(program: Program, *words: object) -> tuple[int, str]:
    """Return a command's exit code, and what it says without line breaks."""
    result = CliRunner(env={"COLUMNS": "1000", "TERM": "dumb"}).invoke(command_line(program), [*map(str, words)])
    return result.exit_code, " ".join((result.output if not result.exit_code else result.stderr).split())


FEDKD = fedkd.cli.main.app
SECURE = ("{conf}", "--data", "{t}/data/server", "--out", "{t}/new", "--insecure", *options(SILOS))
SINGLE = (*SECURE[:6], *("algorithm.name=ptf-fedrec" if word == "algorithm.rank=4" else word for word in SET))
DRAWN: list[Words] = [("budget", "--epsilon=4", "--plot={0}")]
PROTECTED = ("--set=privacy.mode=central", "--set=privacy.epsilon=4", "--set=privacy.delta=1e-3")
DEVICE = ("{t}/data/client-0",)
CONF = ("{conf}", *SET)

CASES: list[tuple[Program, Words, str, list[Words]]] = [
    (FEDKD, ("budget", "--epsilon=4", "--plot={t}"), "for example (.*)", DRAWN),
    (
        FEDKD,
        ("budget", "--epsilon=4", "--plot={t}/a.jpg"),
        "for example (.*)",
        [("budget", "--epsilon=4", "--plot={0}")],
    ),
    (
        FEDKD,
        ("budget", "--epsilon=4", "--plot={t}/.svg"),
        "for example (.*)",
        [("budget", "--epsilon=4", "--plot={0}")],
    ),
    (
        FEDKD,
        ("budget", "--epsilon=50", "--dimensions=9", "--mode=none"),
        "give --mode (central), (distributed) or (local)",
        [("budget", "--epsilon=50", "--dimensions=9", f"--mode={{{place}}}") for place in range(3)],
    ),
    (
        FEDKD,
        ("budget", "--epsilon=4", "--honest-fraction=0.5"),
        "leave it out, or give (--mode distributed)",
        [("budget", "--epsilon=4"), ("budget", "--epsilon=4", "--honest-fraction=0.5", "--mode=distributed")],
    ),
    (
        FEDKD,
        ("budget", "--epsilon=4", "--mode=local"),
        r"the nearest feasible epsilon is (\S+), or release (\d+) coordinates",
        [("budget", "--epsilon={0}", "--mode=local"), ("budget", "--epsilon=4", "--mode=local", "--dimensions={1}")],
    ),
    (
        simulations.run.main,
        (*CONF, "--set=runtime.server-data={t}/data/server"),
        "leave runtime.server-data out",
        [(*CONF, "--out={t}/again")],
    ),
    (
        client.main,
        (*DEVICE, "--insecure", "--trusted-entities={t}/none.yaml"),
        "give a YAML file of ids and public keys",
        [(*DEVICE, "--insecure", "--trusted-entities={conf}")],
    ),
    (
        serving.main,
        (*SECURE[:4], "{t}/served", *SECURE[5:], "--set=seed=5"),
        "choose another folder, or delete that one",
        [(*SECURE, "--set=seed=5")],
    ),
    (
        FEDKD,
        ("config",),
        "give one of --list, --markdown FILE and --check FILE",
        [("config", "--list"), ("config", "--markdown={t}/page.md"), ("config", "--check={conf}")],
    ),
    (
        FEDKD,
        ("config", "--list", "--set=seed=1"),
        "--set belongs to --check FILE",
        [("config", "--check={conf}", "--set=seed=1")],
    ),
    (
        FEDKD,
        ("ledger", "{t}/nothing"),
        "runs write privacy.ledger into their folder, devices into their own",
        [("ledger", "{t}/book")],
    ),
    (FEDKD, ("ledger", "{t}/book", "--owner=nobody"), "without --owner all keys are listed", [("ledger", "{t}/book")]),
    (FEDKD, ("data", "get", "synthetic"), "needs no download", [("data", "describe", "--source=synthetic", *SET)]),
    (
        FEDKD,
        ("report", "{t}/data"),
        "is not a run's folder",
        [("report", "{t}/run")],
    ),
    (simulations.run.main, ("--dry-run",), "give its CONF, and no --resume", [("--dry-run", *CONF)]),
    (simulations.run.main, (), "give a configuration, for example .*, or --resume DIR", [("--resume", "{t}/run")]),
    (
        simulations.run.main,
        (*CONF, "--resume", "{t}/run"),
        "leave CONF, --set and --out out",
        [("--resume", "{t}/run")],
    ),
    (
        simulations.run.main,
        (*CONF, "--out", "{t}/run"),
        "choose another --out, or continue it with --resume (.*)",
        [("--resume", "{0}")],
    ),
    (
        simulations.run.main,
        ("{conf}", "--forecast", *SET),
        "set privacy.mode, privacy.epsilon and privacy.delta, or",
        [
            (
                "{conf}",
                "--forecast",
                *SET,
                *PROTECTED,
            )
        ],
    ),
    (
        simulations.audit.main,
        ("{t}/run", "--set=seed=1"),
        "leave --set out, or audit its config.toml",
        [("{t}/run",), ("{t}/run/config.toml", "--set=seed=1")],
    ),
    (simulations.audit.main, ("{t}/nothing",), "give a run's folder, or a configuration", [("{t}/run",), ("{conf}",)]),
    (
        simulations.audit.main,
        (*CONF, "--repeat=2"),
        "set privacy.mode, privacy.epsilon and privacy.delta, or leave --repeat out",
        [
            CONF,
            (*CONF, "--repeat=2", *PROTECTED),
        ],
    ),
    (
        simulations.sweep.main,
        (*CONF, "--delta=1e-3", "--set=privacy.mode=local"),
        "say it with (--mode) and not with --set",
        [(*CONF, "--delta=1e-3", "{0}=local")],
    ),
    (
        simulations.sweep.main,
        (*CONF, "--delta=1e-3", "--epsilons=a"),
        "for example (1,4,inf)",
        [(*CONF, "--delta=1e-3", "--epsilons={0}")],
    ),
    (simulations.withdraw.main, ("{t}/run",), "give the numbers of the clients that leave", [("{t}/run", "0")]),
    (simulations.withdraw.main, ("{t}/run", "99"), r"numbered 0\.\.(\d+)", [("{t}/run", "{0}")]),
    (
        simulations.deployment.certificates.main,
        ("{t}/hosts", "--host=no host"),
        "for example (.*) or (.*)",
        [("{t}/hosts", "--host={0}"), ("{t}/hosts2", "--host={1}")],
    ),
    (
        serving.main,
        (*SECURE[:-1], SECURE[-1], "--certificates={t}/keys"),
        "give either --certificates DIR or --insecure",
        [SECURE, (*(word for word in SECURE if word != "--insecure"), "--certificates={t}/keys")],
    ),
    (
        serving.main,
        (*(word for word in SECURE if word != "--insecure"), "--certificates={t}/none"),
        "make it with python -m simulations.deployment.certificates DIR",
        [(*(word for word in SECURE if word != "--insecure"), "--certificates={t}/keys")],
    ),
    (
        serving.main,
        SINGLE,
        "choose another algorithm, or show them with --set (privacy.sums=clear)",
        [SECURE, (*SINGLE, "--set={0}")],
    ),
    (
        serving.main,
        ("{conf}", "--data={t}/data/server", "--out={t}/served", "--insecure", *options(SILOS)),
        "begin another one with another --out",
        [SECURE],
    ),
    (client.main, DEVICE, "give either --certificates DIR or --insecure", [(*DEVICE, "--insecure")]),
    (
        client.main,
        (*DEVICE, "--insecure", "--epsilon=4"),
        "for example (--epsilon 4 --delta 1e-5)",
        [(*DEVICE, "--insecure", "--epsilon=4", "--delta=1e-5")],
    ),
    (
        client.main,
        (*DEVICE, "--insecure", "--adaptive"),
        "give --epsilon and --delta too",
        [(*DEVICE, "--insecure", "--adaptive", "--epsilon=4", "--delta=1e-5")],
    ),
    (
        client.main,
        (*DEVICE, "--certificates={t}/none"),
        "make it with python -m simulations.deployment.certificates DIR",
        [(*DEVICE, "--certificates={t}/keys", "--key={t}/keys/node-0")],
    ),
    (clients.recommend.main, (*DEVICE, "--user=99"), r"it has users 0 to (\d+)", [(*DEVICE, "--user={0}")]),
    (
        clients.prepare.main,
        (*CONF, "{t}/device", "--catalogue={t}/served/catalogue.safetensors", "--client=3", "--registered=3"),
        "must be below --registered 3; clients count from 0",
        [(*CONF, "{t}/device", "--catalogue={t}/served/catalogue.safetensors", "--client=2", "--registered=3")],
    ),
]


@pytest.mark.parametrize(
    ("program", "wrong", "words", "mends"), CASES, ids=[f"{number} {case[2]}" for number, case in enumerate(CASES)]
)
def test_every_named_mend_of_a_command_mends(
    trial: Path, program: Program, wrong: Words, words: str, mends: list[Words]
) -> None:
    def filled(words: Words, *found: str) -> list[str]:
        return [str(word).format(*found, t=trial, conf=trial / "conf.toml") for word in words]

    code, said = typed(program, *filled(wrong))
    assert code == 2, said
    named = re.search(words, said)
    assert named is not None, said
    for mend in mends:
        code, said = typed(program, *filled(mend, *named.groups()))
        assert code == 0, said


OWNERS = [
    (ClientPolicy(weakest_mode="local"), [], "set privacy.mode=(local), or the owner --weakest-mode (none)"),
    (ClientPolicy(Budget(4.0, 1e-4)), [], "set privacy.mode to one of them, or the owner leave --epsilon"),
    (ClientPolicy(), ["privacy.sums=clear"], "leave privacy.sums at secure, or the owner give --allow-clear"),
    (
        ClientPolicy(),
        ["privacy.minimum-cohort=3"],
        "privacy.minimum-cohort=(10), or the owner --minimum-cohort (3)",
    ),
]
MENDS: list[tuple[list[str], ClientPolicy]] = [
    ([*DISTRIBUTED[1:], "privacy.mode=local"], ClientPolicy()),
    (DISTRIBUTED, ClientPolicy()),
    (["privacy.sums=secure"], ClientPolicy(clear=True)),
    (["privacy.minimum-cohort=10"], ClientPolicy(minimum_cohort=3)),
]


@pytest.mark.parametrize(("owner", "mend"), [*zip(OWNERS, MENDS, strict=True)], ids=[each[2] for each in OWNERS])
def test_what_an_owner_refuses_can_be_mended_on_either_side(
    owner: tuple[ClientPolicy, list[str], str], mend: tuple[list[str], ClientPolicy]
) -> None:
    policy, settings, words = owner
    with pytest.raises(UserError, match=words):
        policy.check(load(None, settings))
    policy.check(load(None, [*settings, *mend[0]]))
    mend[1].check(load(None, settings))


def test_folders_are_made_by_what_their_errors_name(trial: Path, tmp_path: Path) -> None:
    for read in (read_device, lambda folder: read_setup(folder, load(None, SMALL))):
        with pytest.raises(UserError, match=r"\.prepare.*simulations\.deployment\.prepare"):
            read(tmp_path / "none")
    catalogue = f"--catalogue={trial / 'served' / 'catalogue.safetensors'}"
    device = tmp_path / "device"
    words = (trial / "conf.toml", device, catalogue, "--client=0", "--registered=1", *SET)
    assert typed(clients.prepare.main, *words)[0] == 0
    assert read_device(device).identity is not None
    words = (trial / "conf.toml", tmp_path / "server", device / "identity.pub", *SET)
    assert typed(server.prepare.main, *words)[0] == 0
    assert read_setup(tmp_path / "server", load(None, SMALL)).num_clients == 1


def test_a_cohort_that_is_too_small_is_mended_by_the_number_that_is_named(trial: Path) -> None:
    place = f"runtime.server-data={trial / 'data' / 'server'}"
    few = load(None, [*SILOS[:-1], place])
    with pytest.raises(UserError, match=r"--set privacy\.minimum-cohort=3") as error:
        server.app.masked_directory(few, read_setup(trial / "data" / "server", few))
    named = re.search(r"--set (\S+)", str(error.value))
    assert named is not None
    mended = load(None, [*SILOS[:-1], place, named[1]])
    assert server.app.masked_directory(mended, read_setup(trial / "data" / "server", mended)) is not None


def test_a_run_that_was_stopped_ends_by_the_command_that_its_errors_name(
    trial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulations.run, "run", RUN)
    folder = RunFolder(trial / "run")
    stopped = {key: value for key, value in folder.summary().items() if key not in ("data", "seconds")}
    folder.write_json("summary.json", stopped)
    code, said = typed(FEDKD, "compare", folder.path, folder.path)
    assert code == 2
    resume = re.search(r"python -m simulations\.run (--resume \S+)", said)
    assert resume is not None, said
    assert typed(simulations.run.main, *resume[1].split())[0] == 0
    assert typed(FEDKD, "compare", folder.path, folder.path)[0] == 0
