"""The command line: each command parses, makes one call, and prints what it returns."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from . import chores, declaring, sending
from .errors import BridgelabError, InvalidValueError, LabError
from .options import (
    DEFAULT_LAB,
    Address,
    BaseSeeds,
    Data,
    Device,
    Generations,
    Json,
    Keep,
    Labels,
    LabPath,
    MaybeStudy,
    Pack,
    Pair,
    Preset,
    Recipe,
    Retry,
    Seeds,
    Set,
    Study,
    Workers,
    print_json,
    say,
    selection_of,
)

if TYPE_CHECKING:
    import pandas as pd

UsageError: type[Exception] = typer.BadParameter.__mro__[1]  # click's, wherever this version of typer keeps it

app = typer.Typer(
    name="bridgelab",
    help="A lab for latent bridges: name a study, get its table with intervals, and a report.",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

INTERRUPTED = 130
TRACEBACK = "BRIDGELAB_TRACEBACK"
"""In the environment: an error that nobody meant to raise is shown whole."""


@app.callback()
def _overview(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        say(context.get_help())


@app.command()
def studies(data: Data = None, as_json: Json = False) -> None:
    """List the studies: name, table or figure, arms x replicates."""
    from .search import ResolvedSearch, resolve_any
    from .study import study_names

    _check_data(data)
    found = []
    for name in study_names():
        resolved = resolve_any(name)
        study = resolved.search if isinstance(resolved, ResolvedSearch) else resolved.study
        if isinstance(resolved, ResolvedSearch):
            shape = {"generations": resolved.search.n_generations, "bracket": resolved.search.bracket}
        else:
            shape = {"arms": len(resolved.arms), "replicates": resolved.n_replicates}
        found.append({"study": name, "rebuilds": study.rebuilds, **shape, "question": study.question})
    if as_json:
        print_json(found)
        return
    for row in found:
        shape_text = f"{row.get('arms', row.get('generations'))} x {row.get('replicates', row.get('bracket'))}"
        say(f"{row['study']:<20} {row['rebuilds']:<10} {shape_text:<7} {row['question']}")


@app.command()
def plan(
    study: Study,
    pair: Pair = None,
    labels: Labels = None,
    preset: Preset = None,
    recipe: Recipe = None,
    seeds: Seeds = None,
    base_seeds: BaseSeeds = None,
    set_: Set = None,
    generations: Generations = None,
    retry: Retry = False,
    pack: Pack = "auto",
    device: Device = "auto",
    address: Address = None,
    workers: Workers = 1,
    keep: Keep = "all",
    lab: LabPath = DEFAULT_LAB,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Say what a sweep would do and can show. Writes and downloads nothing."""
    from . import planning, session
    from .display import plan_text, search_text
    from .domains import check_there
    from .search import ResolvedSearch, resolve_any
    from .study import load

    _check_data(data)
    session.check(address, device)
    selection = selection_of(pair, preset, recipe, seeds, base_seeds, set_, labels)
    known = load(study)
    check_there(pair or known.study.pair, data)
    kind = "cuda" if device == "cuda" else "cpu"
    resolved = resolve_any(known, selection, data, generations)
    if isinstance(resolved, ResolvedSearch):
        search = planning.plan_search(resolved, lab=lab, pack=_pack(pack), device=kind, retry=retry)
        print_json(planning.search_as_json(search)) if as_json else say(search_text(search))
        return
    found = planning.plan(resolved, lab=lab, pack=_pack(pack), device=kind, retry=retry)
    if as_json:
        print_json(planning.as_json(found))
    else:
        say(plan_text(found))


@app.command()
def sweep(
    study: Study,
    pair: Pair = None,
    labels: Labels = None,
    preset: Preset = None,
    recipe: Recipe = None,
    seeds: Seeds = None,
    base_seeds: BaseSeeds = None,
    set_: Set = None,
    generations: Generations = None,
    retry: Retry = False,
    pack: Pack = "auto",
    device: Device = "auto",
    address: Address = None,
    workers: Workers = 1,
    keep: Keep = "all",
    checkpoint_every: Annotated[
        float | None,
        typer.Option("--checkpoint-every", metavar="SECONDS", min=0.0, help="how much training may be lost; 30"),
    ] = None,
    lab: LabPath = DEFAULT_LAB,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Run all that is missing, then print the table."""
    import analysis

    from . import sweeping
    from .display import ShownProgress, failure_lines, plan_line, seconds_text
    from .lab import Lab
    from .search import resolve_any

    _check_data(data)
    wanted = resolve_any(study, selection_of(pair, preset, recipe, seeds, base_seeds, set_, labels), data, generations)
    # What Ray has to say goes where the progress goes: stdout is for the table, or for JSON.
    with ShownProgress(silent=as_json) as progress, contextlib.redirect_stdout(sys.stderr):
        outcome = sweeping.sweep(
            wanted,
            lab=lab,
            pack=_pack(pack),
            retry=retry,
            address=address,
            device=device,
            workers=workers,
            keep=keep,
            checkpoint_every_s=checkpoint_every,
            progress=progress,
        )
    resolved = outcome.plan.study
    run = analysis.read_run(lab, resolved.study.name, study_id=resolved.study_id)
    report_path = f"reports/{resolved.study.name}.html"
    Lab(lab).publish(report_path, analysis.render_report([run]).encode())
    Lab(lab).publish("reports/index.html", analysis.render_index(lab).encode())
    if as_json:
        done = {
            "run": outcome.n_run,
            "searched": outcome.n_searched,
            "cached": outcome.n_cached,
            "seconds": round(outcome.seconds, 1),
        }
        failed = {trial: {"class": kind, "text": text} for trial, (kind, text) in outcome.failed.items()}
        shape = {"study": resolved.study.name, "study_id": resolved.study_id, "trials": len(outcome.plan.states)}
        print_json({**shape, **done, "failed": failed, "report": Lab(lab).show(report_path)})
    else:
        say(analysis.render(run, "md"))
        say(f"\n{plan_line(outcome)} in {seconds_text(outcome.seconds)}")
        say(f"report: {Lab(lab).show(report_path)}")
    for line in failure_lines(outcome, _again(resolved.command, lab, data)):
        say(line, err=True)
    raise typer.Exit(outcome.exit_status)


@app.command()
def status(
    study: MaybeStudy = None,
    pair: Pair = None,
    preset: Preset = None,
    recipe: Recipe = None,
    seeds: Seeds = None,
    base_seeds: BaseSeeds = None,
    set_: Set = None,
    lab: LabPath = DEFAULT_LAB,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Count trials by state; what runs, what failed, time left."""
    from dataclasses import replace

    from . import catalog, ledger
    from .display import status_text

    _check_data(data)
    if study is None:
        view = ledger.look(lab)
        found = ledger.status(view)
        each = [ledger.status(view, name, study_id=study_id) for name, study_id in catalog.runs_in(lab)]
    else:
        selection = selection_of(pair, preset, recipe, seeds, base_seeds, set_)
        name, study_id = catalog.run_of(lab, study)
        found, each = ledger.status(lab, name, selection=selection, study_id=study_id), []
    if as_json:
        print_json(found.as_json() | ({"studies": [one.as_json() for one in each]} if study is None else {}))
    else:
        others = tuple(pack for pack in found.packs if not any(pack in one.packs for one in each))
        shown = each if each and not found.making and not others else [*each, replace(found, packs=others)]
        say("\n".join(status_text(one) for one in shown))


@app.command()
def table(
    study: Study,
    format: Annotated[Literal["md", "tex", "csv", "json"], typer.Option("--format", help="how to print it")] = "md",
    pair: Pair = None,
    preset: Preset = None,
    recipe: Recipe = None,
    seeds: Seeds = None,
    base_seeds: BaseSeeds = None,
    set_: Set = None,
    lab: LabPath = DEFAULT_LAB,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Print the table of a study's latest run, or of a chosen one, by options or by the beginning of its id."""
    import analysis

    from . import catalog

    _check_data(data)
    selection = selection_of(pair, preset, recipe, seeds, base_seeds, set_)
    name, study_id = catalog.run_of(lab, study)
    run = analysis.read_run(lab, name, selection=selection, study_id=study_id)
    say(analysis.render(run, "json" if as_json else format))


@app.command()
def report(
    studies: Annotated[
        list[str] | None,
        typer.Argument(metavar="[STUDY ...]", help="names, or ids of runs; none: all that the lab has"),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="the file to write")] = Path(
        "report.html"
    ),
    pair: Pair = None,
    preset: Preset = None,
    recipe: Recipe = None,
    seeds: Seeds = None,
    base_seeds: BaseSeeds = None,
    set_: Set = None,
    lab: LabPath = DEFAULT_LAB,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Write one offline HTML file of tables and figures."""
    import analysis

    from . import catalog

    _check_data(data)
    names = studies or catalog.studies_in(lab)
    if not names:
        raise InvalidValueError(f"{lab} has no run of any study; run `bridgelab sweep label_efficiency` first")
    selection = selection_of(pair, preset, recipe, seeds, base_seeds, set_)
    asked = [catalog.run_of(lab, name) for name in names]
    runs = [analysis.read_run(lab, name, selection=selection, study_id=study_id) for name, study_id in asked]
    path = chores.written(runs, output)
    if as_json:
        print_json({"report": str(path), "studies": [{"study": r.study, "study_id": r.study_id} for r in runs]})
    else:
        say("\n".join([*(analysis.caption(run) for run in runs), f"report: {path}"]))


@app.command()
def reproduce(
    only_plan: Annotated[bool, typer.Option("--plan", help="say what it would do, and run nothing")] = False,
    only_table: Annotated[
        bool, typer.Option("--table", help="print paper beside ours from what the lab has, and run nothing")
    ] = False,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="the report")] = Path("report.html"),
    preset: Preset = None,
    seeds: Seeds = None,
    retry: Retry = False,
    device: Device = "auto",
    address: Address = None,
    keep: Keep = "all",
    lab: LabPath = DEFAULT_LAB,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Run every study of the paper on the data that are there, then write one report."""
    import analysis

    from . import reproducing, session
    from .display import ShownProgress, failure_lines, whole_text

    if only_table:
        parts = [(part.study, part.pair, part.recipe) for part in reproducing.PARTS]
        runs = analysis.read_whole(lab, parts, preset=preset)
        if not runs:
            raise LabError(f"{lab} has no run of a study of the paper; run `bridgelab reproduce` first")
        print_json(_records(analysis.whole_paper(runs))) if as_json else say(analysis.render_whole(runs))
        return
    _check_data(data)
    session.check(address, device)
    whole = reproducing.plan_whole(lab=lab, data=data, preset=preset, n_replicates=seeds)
    if only_plan:
        print_json(whole.as_json()) if as_json else say(whole_text(whole))
        return
    if not as_json:
        say(whole_text(whole), err=True)

    @contextlib.contextmanager
    def shown(part: reproducing.Part) -> Iterator[ShownProgress]:
        if not as_json:
            say(part.name, err=True)
        with ShownProgress(silent=as_json) as progress, contextlib.redirect_stdout(sys.stderr):
            yield progress

    status, runs = 0, []
    for _, outcome in reproducing.reproduce(
        whole, lab=lab, address=address, device=device, retry=retry, keep=keep, progress=shown
    ):
        resolved = outcome.plan.study
        runs.append(analysis.read_run(lab, resolved.study.name, study_id=resolved.study_id))
        status = max(status, outcome.exit_status)
        for line in failure_lines(outcome, _again(resolved.command, lab, data)):
            say(line, err=True)
    path = chores.written(runs, output, of_whole_paper=True)
    if as_json:
        print_json({"report": str(path), "cells": _records(analysis.whole_paper(runs)), **whole.as_json()})
    else:
        say(analysis.render_whole(runs))
        say(f"\nreport: {path}")
    raise typer.Exit(status)


looking = (sending.show, sending.diff, sending.transfer, sending.interpolate)
starting = (chores.watch, chores.pretrain, chores.export, chores.archive, chores.new)
keeping = (chores.gc, chores.compact, chores.doctor)
declared = (declaring.exclude, declaring.freeze)
for command in (*looking, *starting, *keeping, *declared):
    app.command()(command)
app.command("import")(declaring.import_)


def main() -> None:
    """The entry point: errors become one line on stderr and an exit status."""
    command = typer.main.get_command(app)
    # Arrow's own choice gives memory back between any two columns; to take it anew costs more than to decode them.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C: packs are let go of
    try:
        status = command.main(prog_name="bridgelab", standalone_mode=False)
    except BridgelabError as error:
        _fail(str(error))
    except UsageError as error:
        where = error.ctx.command_path if error.ctx else "bridgelab"  # type: ignore[attr-defined]
        _fail(f"{error.format_message().rstrip('.')}; see {where} --help")  # type: ignore[attr-defined]
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except Exception as error:  # a lab of another's making can be wrong in more ways than its readers know
        if TRACEBACK in os.environ:
            raise
        _fail(_unforeseen(error))
    if status == INTERRUPTED:  # some versions of typer catch the interrupt themselves
        say("bridgelab: interrupted; what is finished is kept, and the same command goes on", err=True)
    gc.freeze()  # all memory goes at once: nothing is gained by looking for cycles in a table of many trials first
    sys.exit(status)


def _unforeseen(error: Exception) -> str:
    """An error that nobody meant to raise: what, where, and how to see all of it."""
    *_, last = traceback.extract_tb(error.__traceback__)
    said = " ".join(str(error).split())
    what = f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno}" + (f" ({said:.200})" if said else "")
    return f"{what}: the lab has what bridgelab did not write, or this is a bug; {TRACEBACK}=1 shows where"


def _fail(message: str) -> None:
    say(f"bridgelab: {' '.join(message.split())}", err=True)
    sys.exit(2)


def _pack(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdigit():
        raise InvalidValueError(f"--pack {text}: give a number of trials, or auto")
    return int(text)


def _again(command: str, lab: str, data: str | None) -> str:
    """A command, in the lab and with the data that were asked for."""
    words = ([] if lab == DEFAULT_LAB else ["--lab", lab]) + ([] if data is None else ["--data", data])
    return f"{command} {shlex.join(words)}".rstrip()


def _records(table: pd.DataFrame) -> Any:
    """The rows of a table, with null for what is not a number."""
    return json.loads(table.to_json(orient="records"))


def _check_data(data: str | None) -> None:
    if data is not None and not Path(data).is_dir():
        raise InvalidValueError(
            f"--data {data}: no such folder; leave it out, or set BRIDGELAB_DATA to one that exists"
        )
