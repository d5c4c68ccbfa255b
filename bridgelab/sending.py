"""The commands that use a trained bridge."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import DEFAULT_LAB, DomainFile, Json, LabPath, Output, Reverse, Scale, TrialId, print_json


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
            typer.echo(f"{one.source}: {one.source_class}  ->  {one.target}: {one.target_class}")


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
        typer.echo("\n".join([*(f"{name:<12} {' '.join(classes)}" for name, classes in rows.items()), f"{output}"]))


def _use_own(files: list[str] | None) -> None:
    """Makes domains of the user's own known by their names."""
    from .domains import use_own
    from .user_file import read_user_file

    for file in files or ():
        use_own(read_user_file(file))
