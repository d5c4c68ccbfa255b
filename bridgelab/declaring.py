"""The commands that declare something about results: left out, fixed beforehand, brought in from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import (
    DEFAULT_LAB,
    BaseSeeds,
    Data,
    Json,
    LabPath,
    Pair,
    Preset,
    Recipe,
    Seeds,
    Set,
    Study,
    print_json,
    say,
    selection_of,
)


def exclude(
    trial_id: Annotated[str, typer.Argument(metavar="TRIAL_ID", help="the trial, or the beginning of its id")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="why; every table that it touches says so")],
    take_back: Annotated[bool, typer.Option("--take-back", help="let it count again")] = False,
    lab: LabPath = DEFAULT_LAB,
    as_json: Json = False,
) -> None:
    """Leave a trial out of every table; the reason stands beside it, and the trial stays in the lab."""
    from . import declarations

    found = declarations.exclude(lab, trial_id, reason, take_back=take_back)
    if as_json:
        print_json({"trial_id": found, "excluded": not take_back, "reason": reason})
    else:
        say(f"{found}: {'counts again' if take_back else 'left out of every table'} ({reason})")


def freeze(
    study: Study,
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
    """Fix a study's plan before it runs: arms, reference, metric, replicates; its report says whether it was kept."""
    from . import declarations
    from .study import resolve

    selection = selection_of(pair, preset, recipe, seeds, base_seeds, set_)
    row = declarations.freeze(lab, resolve(study, selection, data))
    if as_json:
        print_json(
            {name: str(row[name]) if name == "declared_at" else row[name] for name in row if name != "definition"}
        )
        return
    known = f"; {row['n_known']} of its {row['n_trials']} trials had results already" if row["n_known"] else ""
    say(f"{row['study']} ({row['study_id']}): frozen with {row['n_replicates']} replicates{known}")


def import_(
    csv: Annotated[Path, typer.Argument(metavar="CSV", help="columns arm,metric,mean[,ci_low,ci_high,n,source]")],
    study: Annotated[str, typer.Option("--study", metavar="STUDY", help="the study that they stand beside")],
    pair: Annotated[str, typer.Option("--pair", metavar="SOURCE-TARGET", help="the pair that they were measured on")],
    lab: LabPath = DEFAULT_LAB,
    as_json: Json = False,
) -> None:
    """Bring numbers from elsewhere beside a study's own, marked as such."""
    from . import catalog, declarations

    n = declarations.bring_in(lab, catalog.name_of(lab, study), pair, csv)
    print_json({"rows": n}) if as_json else say(f"{n} numbers from {csv} stand beside {study} on {pair}")
