"""What distillation and federation bring in every scene, from runs whose numbers are plain."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from fedkd.report.run import Run
from fedkd.runs.config import Config
from simulations import scenes

LEVELS = {
    "student": (0.30, 0.32, 0.34),
    "undistilled": (0.20, 0.22, 0.25),
    "tuned": (0.31, 0.32, 0.33),
    "fedavg": (0.35, 0.37, 0.40),
    "local-only": (0.01, 0.01, 0.01),
    "ease": (0.30, 0.32, 0.34),
}

SCENES = ("shop ", "silos ")


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of known numbers; without public users there is no student without distillation."""

    def run(config: Config, path: Path, seed: int) -> Run:
        rows = [name for name in LEVELS if name not in ("undistilled", "tuned") or config.name != "scene-silos"]
        models = {name: {"ndcg@20": LEVELS[name][seed]} for name in rows}
        return Run(path, {"models": models, "seed": seed}, {}, {}, [], [])

    monkeypatch.setattr(scenes, "finished", run)


def printed(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(scenes.main)
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "80"})
    return result.exit_code, result.output


def test_quality_and_paired_gains_of_every_scene_are_told() -> None:
    code, shown = printed("shop", "silos")
    assert code == 0
    shop, silos = ([" ".join(line.split()) for line in shown.splitlines() if line.startswith(name)] for name in SCENES)
    assert shop[0] == "shop 0.3200 ±0.0497 100.0 % 0.2233 ±0.0625 0.3733 ±0.0625"
    assert shop[1] == "shop +0.0967 ±0.0143 +0.0000 ±0.0248 \N{MINUS SIGN}0.0533 ±0.0143 +0.3100 ±0.0497"
    assert silos[1] == "silos \N{MINUS SIGN}0.0533 ±0.0143 +0.3100 ±0.0497"


def test_where_it_does_not_pay_is_said() -> None:
    shown = printed("shop", "silos")[1]
    assert "shop: no gain over tuned is shown" in shown
    assert "silos: no gain over FedAvg is shown" in shown
    assert "over undistilled is" not in shown


def test_every_scene_has_its_seeds_and_its_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = scenes.finished
    monkeypatch.setattr(scenes, "finished", lambda c, path, seed: asked.append(path.name) or real(c, path, seed))
    assert printed("--seeds", "2")[0] == 0
    names = ("cross-domain", "films", "music", "news", "shop", "silos", "social")
    assert asked == [f"{name}-seed-{seed}" for seed in (0, 1) for name in names]


def test_an_unknown_scene_is_refused_with_those_there_are() -> None:
    code, shown = printed("shops")
    assert code == 2
    assert "cross-domain, films, music, news, shop, silos, social" in shown
