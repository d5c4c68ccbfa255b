"""What the commands' arguments and options are called, and how they are explained."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from .errors import printable
from .replicates import replicates_from

DEFAULT_LAB = "./lab"

Study = Annotated[str, typer.Argument(metavar="STUDY", help="a study's name, or the path of a Python file of your own")]
MaybeStudy = Annotated[str | None, typer.Argument(metavar="[STUDY]", help="a study's name or path")]
LabPath = Annotated[str, typer.Option("--lab", envvar="BRIDGELAB_LAB", metavar="PATH|URI", help="where results live")]
Data = Annotated[
    str | None,
    typer.Option(
        "--data", envvar="BRIDGELAB_DATA", metavar="DIR", help="data from outside; digits and plane bring their own"
    ),
]
Pair = Annotated[str | None, typer.Option("--pair", metavar="SOURCE-TARGET", help="two domains, as in digits-digits")]
Labels = Annotated[
    str | None, typer.Option("--labels", metavar="CSV", help="bins of your own as classes: domain,split,item,bin")
]
Preset = Annotated[
    str | None, typer.Option("--preset", metavar="smoke|desk|full", help="how large: seconds, minutes (desk), days")
]
Recipe = Annotated[
    str | None, typer.Option("--recipe", metavar="default|paper|few_labels", help="which method settings (default)")
]
Seeds = Annotated[
    Any,
    typer.Option(
        "--seeds",
        parser=replicates_from,
        metavar="N",
        help="replicates; base=4,label=2,bridge=2 crosses the seeds, to split variance by source",
    ),
]
BaseSeeds = Annotated[
    int | None, typer.Option("--base-seeds", metavar="M", help="pairs of base models that the replicates share")
]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="a setting of every arm; repeatable")]
Json = Annotated[bool, typer.Option("--json", help="print JSON and nothing else")]
Retry = Annotated[bool, typer.Option("--retry", help="run failed trials again")]
Generations = Annotated[int | None, typer.Option("--generations", metavar="N", help="of a search: how many it has")]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option("--device", help="where packs train")]
Address = Annotated[
    str | None, typer.Option("--address", metavar="HOST:PORT|auto", help="a Ray cluster; none: a local one")
]
Keep = Annotated[
    Literal["all", "tables", "best"],
    typer.Option("--keep", help="which bridges' weights stay: all, those behind a table, the best one of each arm"),
]
Workers = Annotated[
    int, typer.Option("--workers", metavar="N", min=1, help="Ray Train workers that share each base model")
]
Pack = Annotated[str, typer.Option("--pack", metavar="auto|N", help="trials in a pack; never changes a result")]
TrialId = Annotated[
    str, typer.Argument(metavar="TRIAL_ID", help="of a trained bridge, as `bridgelab show STUDY` lists it")
]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="OUTPUT", help="the file or folder to write")]
Reverse = Annotated[bool, typer.Option("--reverse", help="from the second domain to the first one")]
Scale = Annotated[int, typer.Option("--scale", metavar="N", min=1, max=64, help="how large a sample's pixel is drawn")]
DomainFile = Annotated[
    list[str] | None,
    typer.Option("--domain", metavar="FILE", help="a domain of your own that the bridge is from or to"),
]


def print_json(value: Any) -> None:
    """Prints a value as JSON, which has no word for what is not a number: null."""
    typer.echo(json.dumps(_finite(value), indent=2, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def say(text: str, err: bool = False) -> None:
    """Prints lines of text. What a terminal would obey stands there as its number: names come from the lab."""
    typer.echo("\n".join(map(printable, text.split("\n"))), err=err)


def selection_of(
    pair: str | None,
    preset: str | None,
    recipe: str | None,
    seeds: Any,
    base_seeds: Any,
    assignments: list[str] | None,
    labels: str | None = None,
) -> Any:
    """What the options that commands share choose: a Selection."""
    from .keys import parse_assignment
    from .study import Selection

    overrides = dict(parse_assignment(text) for text in assignments or ())
    return Selection(
        pair=pair,
        preset=preset,
        recipe=recipe,
        n_replicates=seeds,
        n_base=base_seeds,
        overrides=overrides,
        labels=labels,
    )
