"""The commands that look after a lab and a machine: remove, merge, examine."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import DEFAULT_LAB, Data, Json, LabPath, print_json


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
        typer.echo(f"{one.n_bytes:>12,} bytes  {one.path}  ({one.why})")
    done = "removed" if yes else "would be removed by --yes"
    typer.echo(f"{len(found)} things, {n_bytes:,} bytes: {done}" if found else "nothing to remove")


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
        typer.echo(f"{table_name}: {n_parts} parts " + ("are now one" if yes else "would become one by --yes"))
    if not found:
        typer.echo("nothing to merge: no table has more than one part")


def doctor(
    lab: LabPath = DEFAULT_LAB,
    data: Data = None,
    address: Annotated[
        str | None, typer.Option("--address", metavar="HOST:PORT", help="a Ray cluster to look at")
    ] = None,
    as_json: Json = False,
) -> None:
    """Look at this machine, and say how to mend what is wrong."""
    from . import health
    from .display import check_line

    checks = health.doctor(lab=lab, data=data, address=address)
    if as_json:
        print_json([vars(check) for check in checks])
    else:
        typer.echo("\n".join(check_line(check) for check in checks))
    raise typer.Exit(0 if all(check.ok for check in checks) else 2)
