"""How long a store is waited for that does not answer just now."""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Callable
from typing import TypeVar

LOG = logging.getLogger("bridgelab")
Found = TypeVar("Found")

FIRST_S = 5.0
"""For a store that has not answered yet: its address may be wrong, and somebody waits at a terminal."""
LATER_S = 180.0
"""For one that has: in the middle of a sweep, an outage of minutes costs no more than those minutes."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 2.0

PASSING = re.compile(
    r"AWS Error (NETWORK_CONNECTION|SLOW_DOWN|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|THROTTLING|REQUEST_TIMEOUT)"
    r"|HTTP status (408|429|5\d\d)|curlCode"
    r"|google::cloud::Status\((UNAVAILABLE|INTERNAL|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED|ABORTED)"
)
"""In the text of an error, which is all that pyarrow tells of it: what may be over when it is tried again."""


class Patience:
    """Tries again, for so many seconds on end, what fails with an error that may pass.

    It ends with the first error that it had no more patience with, and when it is interrupted: what is
    left to be done then, such as to let go of packs, waits for nobody. An answer brings it back.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.failed_at = -math.inf
        "when the store last failed to answer, on this machine's monotonic clock"

    def with_(self, work: Callable[[], Found]) -> Found:
        """What the work returns, which must be safe to repeat. Raises what it raises for good."""
        began, pause_s = time.monotonic(), FIRST_PAUSE_S
        while True:
            try:
                found = work()
            except OSError as error:
                if not PASSING.search(str(error)):
                    raise
                self.failed_at = time.monotonic()
                if self.failed_at - began >= self._seconds:
                    self._seconds = 0.0
                    raise
                if pause_s == FIRST_PAUSE_S and self._seconds > FIRST_S:
                    LOG.warning("bridgelab: the lab does not answer; trying again for %.0f s", self._seconds)
            else:
                self._seconds = LATER_S
                return found
            try:
                time.sleep(pause_s)
            except KeyboardInterrupt:
                self._seconds = 0.0
                raise
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
