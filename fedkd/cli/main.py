"""``fedkd``: tools around a run. Runs themselves start with ``python -m simulations.run`` or ``flwr run``."""

# Commands import what they need when they run: torch, pandas and matplotlib take seconds that `--help` should not cost.
import json
from pathlib import Path
from typing import Annotated

import typer

from fedkd.cli.config import config
from fedkd.cli.terminal import application, check_picture, guarded, plain_table, say, show, start
from fedkd.errors import UserError

app = application(
    name="fedkd", help="Look at data, at finished runs, and at what a run needs of this machine.", no_args_is_help=True
)
data = application(help="List, download and describe data sets.", no_args_is_help=True)
app.add_typer(data, name="data")
app.command()(config)

MOST = 10**12
"""Most rounds, clients or coordinates of a plan: far beyond any federation, and small enough to compute with."""


def main() -> None:
    """Run the command line."""
    start(app)


@data.command("list")
@guarded
def list_sources() -> None:
    """List the sources of data that a configuration can name, with their terms."""
    from fedkd.data.sources.base import Source
    from fedkd.data.sources.table import SOURCES

    for group in dict.fromkeys(source.group for source in SOURCES):
        members = [source for source in SOURCES if source.group == group]
        sized = any(source.size != Source.size for source in members)
        shown = plain_table("data.source", group, *(["size"] if sized else []))
        for source in members:
            shown.add_row(source.label(), source.summary, *([source.size] if sized else []))
        show(shown)
        say()
    for licence in dict.fromkeys(source.licence for source in SOURCES):
        names = ", ".join(source.label() for source in SOURCES if source.licence == licence)
        say(f"{names}: {licence}", style="yellow")
    say("a source of your own: package.module:Class")
    say("which one a file is: fedkd data guess FILE")


@data.command("guess")
@guarded
def guess(
    path: Annotated[Path, typer.Argument(metavar="FILE_OR_FOLDER", help="The data, as they were downloaded or made.")],
) -> None:
    """Say what a file or folder seems to be, and print the configuration that reads it."""
    from fedkd.cli.guess import show_guesses
    from fedkd.data.guess import guesses

    show_guesses(guesses(path))


@data.command("get")
@guarded
def get(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A source that can be downloaded, for example movielens-100k.")
    ],
    folder: Annotated[Path | None, typer.Option(help="Where to unpack it; the user's cache by default.")] = None,
) -> None:
    """Download a data set once, check it, and unpack it.

    Its licence is shown. What is there already is not downloaded again.
    """
    from fedkd.data.sources.table import SOURCES

    source = SOURCES.find(name)
    where = source.fetch(None if folder is None else folder.absolute())
    say(source.licence, style="yellow")
    say(f"{name} is in {where}", whole=True)
    if folder is not None:
        say(f"use it with --set data.source={name} --set data.path={where}", whole=True)


@data.command("describe")
@guarded
def describe(
    conf: Annotated[Path | None, typer.Argument(help="A configuration (TOML); its [data] part counts.")] = None,
    source: Annotated[str | None, typer.Option(help="A source by name, as `fedkd data list` shows them.")] = None,
    path: Annotated[Path | None, typer.Option(help="The file or folder with the data.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, overrides the file, e.g. data.min-rating=4.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw long tail and history lengths (.png, .svg).")] = None,
    session_gap: Annotated[
        float, typer.Option("--session-gap-minutes", min=0, help="A session ends when so long nothing happens.")
    ] = 30,
) -> None:
    """Show what a data set looks like after cleaning, and what cleaning dropped.

    Users, items, density, the long tail, the lengths of histories, times, sessions, categories and release years.
    """
    given = [*(overrides or []), *([f"data.source={json.dumps(source)}"] if source else [])]
    given += [f"data.path={json.dumps(str(path.absolute()))}"] if path else []
    from fedkd.cli.describe import draw
    from fedkd.data.describe import describe as measure
    from fedkd.data.describe import description_table
    from fedkd.runs.config import load as read

    if plot is not None:
        check_picture(plot)
    description = measure(read(conf, given).data.cleaned(), session_gap)
    show(description_table(description))
    if not description.dropped:
        say("cleaning dropped nothing")
    if plot is not None:
        draw(description, plot)
        say(f"plot: {plot}", whole=True)


@app.command()
@guarded
def ledger(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A privacy.ledger, of a run, a server or a device.")],
    delta: Annotated[float, typer.Option(help="Costs are given as epsilon at this delta.")] = 1e-5,
    owner: Annotated[str, typer.Option(help="Beginning of an owner's key: show it alone, release by release.")] = "",
    head: Annotated[str, typer.Option(help="A head printed earlier: refuse a ledger that lacks it.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what was released about whom and what it cost; altered or older ledgers are refused."""
    from fedkd.cli.ledger_report import print_ledger, statement

    contents = statement(path, delta, owner, head)
    if as_json:
        print(json.dumps(contents, indent=1))
    else:
        print_ledger(contents)


@app.command()
@guarded
def budget(
    epsilon: Annotated[float, typer.Option(help="Total of the run.")],
    delta: Annotated[float, typer.Option(help="Total of the run; well below 1 / clients.")] = 1e-5,
    rounds: Annotated[int, typer.Option(help="How often one client contributes.", min=1, max=MOST)] = 1,
    clients: Annotated[int, typer.Option(help="Clients that take part in a release.", min=1, max=MOST)] = 943,
    dimensions: Annotated[int, typer.Option(help="Coordinates of one answer.", min=1, max=MOST)] = 450 * 450,
    mode: Annotated[str, typer.Option(help="central, distributed, local, or package.module:Class.")] = "central",
    unit: Annotated[str, typer.Option(help="user or client (a silo).")] = "user",
    adjacency: Annotated[str, typer.Option(help="add-remove or replace-one.")] = "add-remove",
    panel_share: Annotated[float, typer.Option(help="Share of the budget for one release of items' counts.")] = 0.0,
    metrics_share: Annotated[float, typer.Option(help="Share of the budget for one release of metrics.")] = 0.0,
    honest_fraction: Annotated[
        float | None, typer.Option(help="Mode distributed: share of the clients that add their noise, 0.9 by default.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw noise against epsilon into this file (.svg or .png).")] = None,
) -> None:
    """Say what a privacy budget will cost: noise, signal, what an adversary may learn, and what would be cheaper."""
    from fedkd.cli.budget import budget_options, print_budget
    from fedkd.privacy.plan import Plan

    given = {"mode": mode, "epsilon": epsilon, "delta": delta, "unit": unit, "adjacency": adjacency}
    given |= {"panel-share": panel_share, "metrics-share": metrics_share, "honest-fraction": honest_fraction}
    print_budget(Plan(budget_options(given), clients, rounds, dimensions).check(), plot)


@app.command()
@guarded
def report(run: Annotated[Path, typer.Argument(help="The folder of a finished run.")]) -> None:
    """Write report.html into a run's folder: one file that opens offline."""
    from fedkd.report import render

    say(f"report: {render(run)}", whole=True)


@app.command()
@guarded
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs; seeds of one configuration join.")],
    out: Annotated[Path | None, typer.Option(help="Write the comparison as one HTML file, too.")] = None,
    allow_different: Annotated[
        bool, typer.Option("--allow-different", help="Compare runs on different data or splits all the same.")
    ] = False,
) -> None:
    """Put the models of several runs into one table.

    Means with 95 % intervals: over users for one seed, over seeds for several.
    """
    from fedkd.cli.comparison import print_comparison, print_distillation, print_rivals
    from fedkd.report import compare as join
    from fedkd.report import distillation_table, grouped, render_comparison, rivals

    if out is not None and not out.absolute().parent.is_dir():
        raise UserError(f"--out {out}: the folder {out.absolute().parent} does not exist; make it first")
    rows = join(runs, allow_different)
    print_comparison(rows)
    for name, own in grouped(runs, allow_different).items():
        if (found := distillation_table(own)) is not None:
            say(f"\n{name}: teacher, student, and the same student without a teacher")
            print_distillation(found)
        if beside := rivals(own):
            say(f"\n{name}: each of them beside other ways to have it")
            print_rivals(beside)
    if out is not None:
        say(f"comparison: {render_comparison(rows, out)}", whole=True)


@app.command()
@guarded
def export(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    out: Annotated[Path, typer.Option(help="The new folder; one that holds an export is replaced.")],
    format_name: Annotated[str, typer.Option("--format", help="onnx, torch or safetensors.")] = "onnx",
    quantise: Annotated[str | None, typer.Option(help="int8 or int4: weights of so many bits.")] = None,
    compress: Annotated[
        list[str] | None,
        typer.Option(help="A step before that, such as low-rank:rank=16 or pruned:kept=0.5; may be given again."),
    ] = None,
) -> None:
    """Export a run's student: the model, its items, a model card and a privacy card.

    Where no step is given, it is made smaller as it met the run's gate.
    The exported program is compared with the student before anything is written.
    """
    from fedkd.cli.deploy import print_export
    from fedkd.deployment.compression.table import step, steps
    from fedkd.deployment.export import compression_of_gate
    from fedkd.deployment.export import export as write

    given = [step(text) for text in (*(compress or ()), *([quantise] if quantise else ()))]
    if not given and (met := compression_of_gate(run)):
        given = steps(met)
        say(f"made smaller as it met the gate: {met}")
    print_export(write(run, out, format_name, given))


@app.command()
@guarded
def recommend(
    model: Annotated[Path, typer.Argument(metavar="DIR", help="An exported folder, or the folder of a run.")],
    history: Annotated[
        str | None, typer.Option(help='Titles or ids of what somebody has had, oldest first: "Heat,Alien".')
    ] = None,
    file: Annotated[Path | None, typer.Option(help="A CSV file with a history in every line.")] = None,
    k: Annotated[int, typer.Option(help="Length of a list.", min=1)] = 10,
) -> None:
    """Print what the model recommends to somebody with a history, with titles.

    A title that is not clear is asked back at a terminal.
    """
    from fedkd.cli.deploy import histories_of, item, print_lists
    from fedkd.deployment.deployed import Deployed

    given = histories_of(history, file)
    deployed = Deployed.open(model)
    positions = [[item(text, deployed.titles) for text in one] for one in given]
    print_lists(deployed.lists(positions, k), deployed.titles)


@app.command()
@guarded
def serve(
    model: Annotated[Path, typer.Argument(metavar="DIR", help="An exported folder, or the folder of a run.")],
    port: Annotated[int, typer.Option(help="Where to listen; 0 takes a free port.", min=0, max=65535)] = 8080,
    host: Annotated[str, typer.Option(help="Who can reach it; others than this machine with 0.0.0.0.")] = "127.0.0.1",
    feedback: Annotated[Path | None, typer.Option(help="Keep feedback in this file; none is taken without it.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; half the cores without it.", min=1, max=256)] = None,
) -> None:
    """Serve a model over HTTP, with a page for people; a new export into the folder is taken up by itself."""
    from fedkd.cli.deploy import run_service
    from fedkd.serving.options import ServiceOptions

    kept = None if feedback is None else feedback.absolute()
    run_service(ServiceOptions(folder=model.absolute(), feedback=kept), host, port, workers)


@app.command()
@guarded
def doctor() -> None:
    """Check what a run needs of this machine, with a hint on each line where something is wrong.

    Versions, cores, memory, threads, Flower's home, port and programs, and the data cache. Nothing is changed.
    """
    from fedkd.cli.doctor import examine

    bad = 0
    for check in examine():
        mark, style = ("ok  ", "") if check.fine else ("warn", "yellow")
        say(f"{mark} {check.name}: {check.found}", style, whole=True)
        if not check.fine:
            say(f"       hint: {check.hint}", whole=True)
            bad += 1
    say(f"{bad} thing{'s' * (bad != 1)} to put right" if bad else "everything is as it should be")


if __name__ == "__main__":
    main()
