"""The commands that look after a lab, a machine and files to start from: remove, merge, examine, export, begin."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from .errors import InvalidValueError, LabError
from .options import (
    DEFAULT_LAB,
    Address,
    Data,
    Device,
    Json,
    LabPath,
    Output,
    Pair,
    Preset,
    Recipe,
    Set,
    Workers,
    print_json,
    say,
)


def gc(
    yes: Annotated[bool, typer.Option("--yes", help="remove what is listed")] = False,
    older_than: Annotated[
        float, typer.Option("--older-than", metavar="HOURS", min=0.0, help="spare what is younger")
    ] = 24.0,
    lab: LabPath = DEFAULT_LAB,
    as_json: Json = False,
) -> None:
    """List what no result reaches; with --yes, remove it."""
    from . import housekeeping
    from .lab import Lab

    found = housekeeping.garbage(Lab(lab), grace_s=older_than * 3600)
    n_bytes = housekeeping.collect(Lab(lab), found) if yes else sum(one.n_bytes for one in found)
    if as_json:
        print_json({"removed": yes, "bytes": n_bytes, "garbage": [vars(one) for one in found]})
        return
    for one in found:
        say(f"{one.n_bytes:>12,} bytes  {one.path}  ({one.why})")
    done = "removed" if yes else "would be removed by --yes"
    say(f"{len(found)} things, {n_bytes:,} bytes: {done}" if found else "nothing to remove")


def compact(
    yes: Annotated[bool, typer.Option("--yes", help="merge what is listed")] = False,
    lab: LabPath = DEFAULT_LAB,
    as_json: Json = False,
) -> None:
    """List tables in many parts; with --yes, merge them."""
    from . import housekeeping
    from .lab import Lab

    found = housekeeping.compact(Lab(lab)) if yes else housekeeping.scattered(Lab(lab))
    if as_json:
        print_json({"merged": yes, "parts": found})
        return
    for table_name, n_parts in found.items():
        say(f"{table_name}: {n_parts} parts " + ("are now one" if yes else "would become one by --yes"))
    if not found:
        say("nothing to merge: no table has more than one part")


def doctor(
    lab: LabPath = DEFAULT_LAB,
    data: Data = None,
    address: Annotated[
        str | None, typer.Option("--address", metavar="HOST:PORT", help="a Ray cluster to look at")
    ] = None,
    cluster: Annotated[
        Path | None, typer.Option("--cluster", metavar="FILE", help="look at what `ray up FILE` would start instead")
    ] = None,
    as_json: Json = False,
) -> None:
    """Look at this machine, and say how to mend what is wrong."""
    from . import health
    from .cluster import examine
    from .display import check_line

    checks = examine(cluster) if cluster else health.doctor(lab=lab, data=data, address=address)
    if as_json:
        print_json([vars(check) for check in checks])
    else:
        say("\n".join(check_line(check) for check in checks))
    raise typer.Exit(0 if all(check.ok for check in checks) else 2)


def export(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="a study's name or path")],
    output: Output,
    pair: Pair = None,
    preset: Preset = None,
    recipe: Recipe = None,
    lab: LabPath = DEFAULT_LAB,
    as_json: Json = False,
) -> None:
    """Write a study's latest run for other tools: flat Parquet, an Optuna study, arrays for rliable."""
    import analysis

    from . import catalog
    from .study import Selection

    selection = Selection(pair=pair, preset=preset, recipe=recipe)
    paths = analysis.export_run(analysis.read_run(lab, catalog.name_of(lab, study), selection=selection), output)
    if as_json:
        print_json({name: str(path) for name, path in paths.items()})
    else:
        say("\n".join(map(str, paths.values())))


def archive(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="the small lab to write")],
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN ...]", help="studies with all their runs, or ids of runs; none: the whole lab"),
    ] = None,
    lab: LabPath = DEFAULT_LAB,
    as_json: Json = False,
) -> None:
    """Write what tables of some runs rest on as a small lab of its own, to keep beside a paper."""
    from . import archive, catalog

    known, asked = catalog.runs_in(lab), [catalog.run_of(lab, run) for run in runs or ()]
    for study, _ in asked:
        if study not in dict(known):
            raise LabError(f"{lab} has no run of '{study}'; run `bridgelab sweep {study}` first")
    ids = [run for study, run in known if not asked or (study, run) in asked or (study, None) in asked]
    counts = archive.archive(lab, ids, str(output))
    if as_json:
        print_json({"lab": str(output), "rows": counts})
    else:
        say(", ".join(f"{table} {n:,}" for table, n in counts.items()) + f": {output}/results")


def watch(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="a study's name or path")],
    every: Annotated[float, typer.Option("--every", metavar="SECONDS", min=0.5, help="how often to look")] = 5.0,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="a report to keep fresh meanwhile")
    ] = None,
    lab: LabPath = DEFAULT_LAB,
) -> None:
    """Show a study while it runs: states, time left, best arms; ends when nothing of it is left to run."""
    import analysis

    from . import catalog, ledger
    from .display import ShownText, status_text

    name = catalog.name_of(lab, study)
    with ShownText() as shown:
        while True:
            found, parts = ledger.status(lab, name), []
            if found.counts["COMPLETE"]:
                run = analysis.read_run(lab, name)
                parts = ["", analysis.render_best(run)]
                if html is not None:
                    written([run], html, "--html")
            shown.show("\n".join([status_text(found), *parts]))
            if found.is_over:
                return
            time.sleep(every)


def written(runs: list[Any], output: Path, option: str = "-o", *, of_whole_paper: bool = False) -> Path:
    """The report of some runs, written to a file that an option names."""
    import analysis

    try:
        return analysis.write_report(runs, output, of_whole_paper=of_whole_paper)
    except OSError as error:
        raise InvalidValueError(f"cannot write {output}: {error.strerror}; give {option} another file") from None


def new(
    kind: Annotated[Literal["study", "domain"], typer.Argument(metavar="study|domain", help="what to begin")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="small letters, digits and _")],
) -> None:
    """Write a commented file to start from: NAME.py."""
    from .templates import write_new

    path = write_new(kind, name)
    how = f"sweep ./{path}" if kind == "study" else f"sweep component_ablation --preset smoke --pair ./{path}-digits"
    say(f"{path}: edit it, then run `bridgelab {how}`")


def pretrain(
    base_model: Annotated[str, typer.Argument(metavar="BASE_MODEL", help="the domain that it is of, as in mnist")],
    preset: Preset = None,
    seeds: Annotated[int, typer.Option("--seeds", metavar="N", min=1, help="how many, of seeds 0, 1, ...")] = 1,
    set_: Set = None,
    import_: Annotated[
        str | None, typer.Option("--import", metavar="PREFIX", help="a WaveGAN's TensorFlow checkpoint, as base model")
    ] = None,
    workers: Workers = 1,
    device: Device = "auto",
    address: Address = None,
    lab: LabPath = DEFAULT_LAB,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Train or import a domain's base model, train its judge, and make its latents."""
    from . import session, sweeping
    from .display import ShownProgress
    from .keys import parse_assignment
    from .study import Selection

    session.check(address, device)
    overrides = dict(parse_assignment(text) for text in set_ or ())
    selection = Selection(pair=f"{base_model}-{base_model}", preset=preset, overrides=overrides)
    with ShownProgress(silent=as_json) as progress, contextlib.redirect_stdout(sys.stderr):
        made = sweeping.pretrain(
            selection,
            seeds,
            lab=lab,
            data=data,
            workers=workers,
            device=device,
            address=address,
            progress=progress,
            imported=import_,
        )
    if as_json:
        print_json([vars(one) for one in made])
        return
    for one in made:
        metrics = ", ".join(f"{n} {v:.4f}" for n, v in one.metrics.items() if isinstance(v, float))
        say(f"{base_model}, seed {one.seed}: {one.model_id}  {metrics}")
        if one.keys:
            say("in a sweep: " + " ".join(f"--set {key}={value}" for key, value in one.keys.items()))
