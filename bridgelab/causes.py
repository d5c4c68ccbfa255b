"""What a task or worker of Ray's raised, out of the wrappers that Ray sends it in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from .errors import BridgelabError, ModelError


@contextlib.contextmanager
def as_raised(what: str = "a base model or judge") -> Iterator[None]:
    """An error of ours as it was raised in a task; any other as a ModelError that names `what` raised it."""
    try:
        yield
    except Exception as error:
        import ray
        from ray.train import TrainingFailedError

        if not isinstance(error, (ray.exceptions.RayTaskError, TrainingFailedError)):
            raise
        cause: BaseException = error
        while (inner := _inside(cause)) is not None:
            cause = inner
        if isinstance(cause, BridgelabError):
            raise cause from None
        text = " ".join(str(cause).split())
        raise ModelError(f"{what} raised {type(cause).__name__}: {text}; mend that and run again") from None


def _inside(error: BaseException) -> BaseException | None:
    """The error that a wrapper of Ray's is about."""
    worker_failures = getattr(error, "worker_failures", None)
    if worker_failures:
        return next(iter(worker_failures.values()), None)
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, BaseException) else None
