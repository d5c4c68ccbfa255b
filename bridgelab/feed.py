"""What Ray Tune asks of a sweep, and what it tells: batch after batch of packs, one pack a trial."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .board import Board
from .planning import PackPlan


@dataclass(frozen=True)
class Batch:
    """Packs that may run side by side."""

    packs: tuple[PackPlan, ...]
    adoptable: set[str]
    "of packs that have begun: those that nobody lives in"
    shown: frozenset[str] = frozenset()
    "trials that have panels in the report"


class Feed:
    """What Tune asks for packs: batch after batch, the next one when the one before is done."""

    def __init__(self, batches: Iterator[Batch], board: Board, fill: Callable[[Batch], None]) -> None:
        self._batches, self._board, self._fill = batches, board, fill
        self._waiting: list[str] = []
        self._running: set[str] = set()
        self.error: Exception | None = None
        "what the batches raised: Tune would only log it"

    def has_ended(self) -> bool:
        """Whether no pack waits or runs, and no batch is left."""
        return not self._waiting and not self._running and not self._next_batch()

    def start(self, trial_id: str) -> dict[str, str] | None:
        """The pack that a trial of Tune is to be; None while the batch is done but for what runs."""
        if not self._waiting:
            return None
        self._running.add(trial_id)
        return {"pack": self._waiting.pop(0)}

    def end(self, trial_id: str) -> None:
        self._running.discard(trial_id)

    def _next_batch(self) -> bool:
        try:
            batch = None if self._board.lab_error else next(self._batches, None)
        except Exception as error:
            self.error, batch = error, None
        if batch is not None:
            self._board.expect(batch.packs)
            self._fill(batch)
            self._waiting = [pack.pack_id for pack in batch.packs]
        return batch is not None


def searcher(feed: Feed) -> Any:
    from ray import tune

    class Packs(tune.search.Searcher):  # type: ignore[misc]
        """Tune's side of the feed: a suggestion is the id of a pack."""

        def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[()]]:
            """As that of the callback."""
            return dict, ()

        def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
            """There is nothing for Tune to restore: the lab has it all."""

        def suggest(self, trial_id: str) -> Any:
            return tune.search.Searcher.FINISHED if feed.has_ended() else feed.start(trial_id)

        def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
            feed.end(trial_id)

    return Packs()


def scheduler(n_kept: int) -> Any:
    from ray import tune

    class InTurn(tune.schedulers.FIFOScheduler):  # type: ignore[misc]
        """Keeps workers that have nothing to do, where Tune keeps one: a batch may be shorter than a worker's start."""

        def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
            nonlocal n_kept
            tune_controller._actor_cache.increase_max(trial.placement_group_factory, by=n_kept)
            n_kept = 0

    return InTurn()


def callback(board: Board) -> Any:
    from ray import tune

    class Callback(tune.Callback):  # type: ignore[misc]
        """Tune's side of the board."""

        def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[()]]:
            """Tune pickles its callbacks for a restore that is never made; ours holds open files and locks."""
            return dict, ()

        def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Any, **info: Any) -> None:
            board.take(trial.config["pack"], result)

        def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            board.lose(trial.config["pack"])

    return Callback()
