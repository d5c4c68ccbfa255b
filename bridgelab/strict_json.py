"""JSON as it stands in a lab: a value whose numbers are finite and whose texts can be written, or a ValueError."""

from __future__ import annotations

import json
import math
import re
from typing import Any

SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
"""Half a character: well where both halves stand together."""


def loads(text: str | bytes) -> Any:
    """The value. Raises ValueError for what is no JSON, is nested too deep, or is NaN or infinite somewhere."""
    try:
        text = text if isinstance(text, str) else text.decode()
        found = _DECODER.decode(text)
        if SURROGATE.search(text):
            json.dumps(found, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    return found


def mapping(text: str | bytes) -> dict[str, Any]:
    """A value that is an object. Raises ValueError for any other."""
    found = loads(text)
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no finite number")
    return value


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)
