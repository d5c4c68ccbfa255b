"""The commands that look at single trials, and use their bridges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .errors import UnknownNameError
from .options import (
    DEFAULT_LAB,
    DomainFile,
    Json,
    LabPath,
    Output,
    Pair,
    Preset,
    Recipe,
    Reverse,
    Scale,
    Set,
    TrialId,
    print_json,
    say,
    selection_of,
)


def show(
    wanted: Annotated[
        str, typer.Argument(metavar="TRIAL_ID|STUDY", help="a trial, or a study or run whose trials to list")
    ],
    pair: Pair = None,
    preset: Preset = None,
    recipe: Recipe = None,
    set_: Set = None,
    lab: LabPath = DEFAULT_LAB,
    as_json: Json = False,
) -> None:
    """Show a trial: settings, metrics, time; or list the trials of a study's latest run, or of a chosen one."""
    import analysis

    about = _run_of(lab, wanted)
    if about is not None:
        selection = selection_of(pair, preset, recipe, None, None, set_)
        run = analysis.read_run(lab, about[0], selection=selection, study_id=about[1])
        trials = analysis.list_trials(run)
        if as_json:
            print_json(json.loads(trials.to_json(orient="records")))
        else:
            listed = trials.to_string(index=False, float_format="{:.3f}".format, na_rep="-")
            say(f"{analysis.caption(run)}\n\n{listed}")
        return
    trial = analysis.read_trial(lab, wanted)
    if as_json:
        metrics = {f"{metric} ({decode})": value for (decode, metric), value in trial["metrics"].items()}
        print_json({**trial, "metrics": metrics, "finished_at": str(trial["finished_at"])})
    else:
        say(analysis.show_trial(trial))


def _run_of(lab: str, wanted: str) -> tuple[str, str | None] | None:
    """The run that is asked for; None for what is, or may be, the id of a trial."""
    from . import catalog
    from .lab import Lab
    from .results import Results, begins_as

    trials = Results(Lab(lab)).read_columns("trials", ["trial_id"])["trial_id"].to_pylist()
    if wanted not in catalog.studies_in(lab) and begins_as(wanted, trials):
        return None
    try:
        return catalog.run_of(lab, wanted)
    except UnknownNameError:
        return None


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="a trial's id")],
    b: Annotated[str, typer.Argument(metavar="B", help="another one's")],
    lab: LabPath = DEFAULT_LAB,
    as_json: Json = False,
) -> None:
    """Show in what two trials differ: settings, seeds, metrics."""
    import analysis

    found = analysis.compare_trials(analysis.read_trial(lab, a), analysis.read_trial(lab, b))
    if as_json:
        print_json([{"key": key, "a": of_a, "b": of_b} for key, of_a, of_b in found])
    else:
        say("\n".join(f"{key:<44} {of_a!s:<14} {of_b}" for key, of_a, of_b in found) or "they are the same")


def transfer(
    trial_id: TrialId,
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="a picture, a sound, or a folder of them")],
    output: Output,
    reverse: Reverse = False,
    scale: Scale = 8,
    domain: DomainFile = None,
    lab: LabPath = DEFAULT_LAB,
    as_json: Json = False,
) -> None:
    """Send a picture or a sound across a trained bridge."""
    from . import passage

    _use_own(domain)
    sent = passage.transfer(trial_id, source, output, lab=lab, reverse=reverse, scale=scale)
    if as_json:
        print_json([{name: str(value) for name, value in vars(one).items()} for one in sent])
    else:
        for one in sent:
            say(f"{one.source}: {one.source_class}  ->  {one.target}: {one.target_class}")


def interpolate(
    trial_id: TrialId,
    start: Annotated[Path, typer.Argument(metavar="FROM", help="a picture or a sound")],
    end: Annotated[Path, typer.Argument(metavar="TO", help="another one")],
    output: Output,
    steps: Annotated[int, typer.Option("--steps", metavar="N", help="points on the way, the ends among them")] = 9,
    reverse: Reverse = False,
    scale: Scale = 3,
    domain: DomainFile = None,
    lab: LabPath = DEFAULT_LAB,
    as_json: Json = False,
) -> None:
    """Draw three rows: the way in the source, in the target, and transferred (paper, section 4.4)."""
    from . import passage

    _use_own(domain)
    rows = passage.interpolate(trial_id, (start, end), output, lab=lab, reverse=reverse, n_steps=steps, scale=scale)
    if as_json:
        print_json({"output": str(output), "classes": rows})
    else:
        say("\n".join([*(f"{name:<12} {' '.join(classes)}" for name, classes in rows.items()), f"{output}"]))


def _use_own(files: list[str] | None) -> None:
    """Makes domains of the user's own known by their names."""
    from .domains import use_own
    from .user_file import read_user_file

    for file in files or ():
        use_own(read_user_file(file))
