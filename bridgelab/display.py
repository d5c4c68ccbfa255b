"""How plans, progress, states and failures look in a terminal, and in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from .config import Categorical, Float, Int
from .health import Check
from .ledger import Status
from .planning import Plan, SearchPlan, available_cpus
from .power import can_show
from .reproducing import NOT_YET, Whole
from .sweeping import Outcome

LOG_EVERY_S = 15.0


class ShownProgress:
    """A sweep's progress: bars on a terminal, a line now and then in a log. All on stderr."""

    def __init__(self, *, silent: bool = False) -> None:
        console = Console(stderr=True, quiet=silent)
        self._interactive = console.is_terminal
        self._silent = silent
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[told]}"),
            TimeRemainingColumn(),
        )
        self._bars = Progress(*columns, console=console, disable=silent or not self._interactive)
        self._tasks: dict[str, TaskID] = {}
        self._began: dict[str, float] = {}
        self._logged = 0.0

    def __enter__(self) -> ShownProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def phase(self, text: str) -> None:
        self._show(text, 0, None, "")

    def models(self, done: int, total: int) -> None:
        if total:
            self._show("base models", done, total, f"{done}/{total}")

    def steps(self, done: int, total: int, trials_done: int, trials: int) -> None:
        began = self._began.setdefault("bridges", time.monotonic())
        elapsed = max(time.monotonic() - began, 1e-9)
        rate = trials * done / max(total, 1) / elapsed
        self._show("bridges", done, max(total, 1), f"{trials_done}/{trials} trials, {_rate_text(rate)}")

    def _show(self, name: str, done: int, total: int | None, told: str) -> None:
        if self._silent:
            return
        if self._interactive:
            if name not in self._tasks:
                self._finish_open_ended()
                self._tasks[name] = self._bars.add_task(name, total=total, told=told)
            self._bars.update(self._tasks[name], completed=done, total=total, told=told)
        elif done == total or time.monotonic() - self._logged > LOG_EVERY_S:
            self._logged = time.monotonic()
            print(f"{time.strftime('%H:%M:%S')} {name} {told}".rstrip(), file=sys.stderr, flush=True)

    def _finish_open_ended(self) -> None:
        for task in self._bars.tasks:
            if task.total is None:
                self._bars.update(task.id, total=1, completed=1)


class ShownText:
    """A text that changes: in its place on a terminal, and in a log whenever it is another one."""

    def __init__(self) -> None:
        console = Console()
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._last = ""

    def __enter__(self) -> ShownText:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, text: str) -> None:
        if self._live:
            self._live.update(Text(text), refresh=True)
        elif text != self._last:
            print(text, flush=True)
        self._last = text


def _rate_text(trials_per_s: float) -> str:
    return f"{trials_per_s:.1f} trials/s" if trials_per_s >= 0.1 else f"{60 * trials_per_s:.1f} trials/min"


def plan_text(found: Plan) -> str:
    """A plan for people."""
    resolved = found.study
    splits = [
        f"{name}: " + ", ".join(f"{s} {n:,}" for s, n in sizes.items()) for name, sizes in found.split_sizes.items()
    ]
    states = ", ".join(f"{found.count(state)} {state}" for state in ("cached", "unfinished", "new", "failed"))
    sizes = sorted({len(pack.entries) for pack in found.packs})
    packs = f"{len(found.packs)} packs of {' or '.join(map(str, sizes))} trials" if sizes else "no pack"
    lines = {
        "study": f"{resolved.study.name}, {resolved.pair_name}, preset {resolved.preset}, recipe {resolved.recipe}",
        "study_id": resolved.study_id,
        "arms": f"{len(resolved.arms)} x {resolved.n_replicates} replicates = {len(found.states)} trials",
        "": ", ".join(arm.name for arm in resolved.arms),
        "data": "; ".join(splits),
        "trials": states,
        "to make": f"{found.n_models} base models and judges, {packs}",
        "time": f"about {seconds_text(found.seconds)} on {found.n_workers} CPU cores"
        if found.packs
        else "nothing to run",
        "can show": can_show(resolved.n_replicates, len(resolved.arms) - 1),
    }
    return "\n".join(f"{name:<9} {text}" for name, text in lines.items())


def search_text(found: SearchPlan) -> str:
    """The plan of a search for people."""
    s, start = found.search.search, found.search.start
    states = ", ".join(f"{n} {state}" for state, n in found.counts.items())
    lines = {
        "search": f"{s.name}, {start.pair_name}, preset {start.preset}, recipe {start.recipe}",
        "study_id": found.search.search_id,
        "space": ", ".join(f"{key} {_range_text(d)}" for key, d in s.space.items()),
        "asks": f"{s.n_generations} generations of {s.bracket} arms, {found.n_ended} done; "
        f"they meet after {', '.join(f'{step:,}' for step in found.search.rungs[:-1])} steps, and half go on",
        "confirms": f"the best {s.n_confirmed} against the reference in {start.n_replicates} fresh replicates",
        "trials": states,
        "time": f"about {seconds_text(found.seconds)} on {found.n_workers} CPU cores"
        if found.seconds
        else "nothing to run",
        "can show": can_show(start.n_replicates, s.n_confirmed),
    }
    return "\n".join(f"{name:<9} {text}" for name, text in lines.items())


def _range_text(d: Float | Int | Categorical) -> str:
    if isinstance(d, Categorical):
        return " or ".join(map(str, d.choices))
    return f"{d.low:g} to {d.high:g}{' (log)' * d.log}"


def whole_text(found: Whole) -> str:
    """The plan of the whole paper for people."""
    lines = []
    for one in found.asked:
        if one.plan is None:
            told = f"not run: {one.missing}"
        else:
            time = f", about {seconds_text(one.seconds)}" if one.plan.n_to_run else ""
            told = f"{len(one.plan.states)} trials, {one.plan.n_to_run} to run{time}"
        lines.append(f"{one.part.rebuilds:<24} {one.part.name:<44} {told}")
    lines += [f"{part:<24} not yet: {what}" for part, what in NOT_YET.items()]
    others, *apart = ((what, seconds_text(seconds)) for what, seconds in found.seconds.items())
    lines += [f"about {others[1]} on {available_cpus()} CPU cores", *(f"and {what} about {s}" for what, s in apart)]
    return "\n".join(lines)


def plan_line(outcome: Outcome) -> str:
    """What a sweep did."""
    n_trials = len(outcome.plan.states)
    searched = f"{outcome.n_searched} trials of the search and " if outcome.n_searched else ""
    if outcome.n_run == 0 and not searched:
        return f"nothing to run: {outcome.n_cached} of {n_trials} trials are there"
    there = f"; {outcome.n_cached} were there already" if outcome.n_cached else ""
    return f"{searched}{outcome.n_run} of {n_trials} trials run{there}"


def failure_lines(outcome: Outcome, command: str) -> Iterator[str]:
    """Each failed trial in a line, and what to do about them."""
    places = {member.trial.trial_id: member for member in outcome.plan.study.members}
    for trial_id, (kind, text) in outcome.failed.items():
        place = f"{places[trial_id].arm.name}, replicate {places[trial_id].replicate}"
        yield f"failed {place} ({kind}): {text.strip().splitlines()[-1]} [trial {trial_id}]"
    if {kind for kind, _ in outcome.failed.values()} == {"nan"}:
        yield "what diverged will do so again from the same seeds; a lower bridge.learning_rate may help"
    if outcome.failed:
        yield f"{len(outcome.failed)} trials failed; to run them again: {command} --retry"


def status_text(found: Status) -> str:
    """A status for people."""
    states = ", ".join(f"{n} {state}" for state, n in found.counts.items() if n) or "no trials"
    run = f" {found.study_id} ({found.pair}, preset {found.preset}, recipe {found.recipe})" if found.study_id else ""
    lines = [f"{found.study or 'all studies'}{run}: {states}"]
    if found.failures:
        lines.append("  failed: " + ", ".join(f"{n} {kind}" for kind, n in found.failures.items()))
    lines += [f"  {_search_line(one)}" for one in found.searches]
    lines += [f"  {_making_text(one)}" for one in found.making]
    lines += [f"  {_pack_text(pack)}" for pack in found.packs]
    if found.counts["RUNNING"] or found.counts["WAITING"]:
        left = "not known yet" if found.seconds_left is None else f"about {seconds_text(found.seconds_left)}"
        lines.append(f"  time left: {left}")
    return "\n".join(lines)


def _search_line(one: Mapping[str, Any]) -> str:
    failed = f", {one['failed']} failed" if one["failed"] else ""
    generations = f"{one['generations']} generation{'s' * (one['generations'] != 1)}"
    return f"search {one['study_id']}: {generations}, {one['asked']} arms asked, {one['ended']} to the end{failed}"


def _making_text(one: Mapping[str, Any]) -> str:
    sign = f"last sign of it {seconds_text(one['age_s'])} ago"
    draws = f", {one['draws']:,} latents drawn" if one["draws"] else ""
    return f"base models and judges for {one['study']}: {one['done']} of {len(one['models'])} made{draws}, {sign}"


def _pack_text(pack: Mapping[str, Any]) -> str:
    share = f"{100 * pack['step'] // max(1, pack['n_steps'])} %"
    adopted = f", adopted {pack['adopted']} times" if pack["adopted"] else ""
    state = "runs" if pack["live"] else "stopped; the next sweep goes on from its checkpoint"
    return f"pack {pack['pack_id']}: {len(pack['trials'])} trials of {pack['study']}, {share}{adopted}, {state}"


def check_line(check: Check) -> str:
    """A doctor's finding in a line, with the cure where something is wrong."""
    mark = "ok " if check.ok else "BAD"
    return f"{mark} {check.name:<12} {check.detail}" + ("" if check.ok else f"; {check.cure}")


def seconds_text(seconds: float) -> str:
    """A time as people say it."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, hours = whole // 60, whole // 3600
    return f"{minutes} min {whole % 60} s" if hours == 0 else f"{hours} h {minutes % 60} min"
