"""Names that no reader looks at: of what is not whole, and of what asks whether a lab can be written."""

from __future__ import annotations

import re
import uuid

OURS = re.compile(r"\.(probe-|.+\.)[0-9a-f]{32}")
"""Whatever else begins with a dot is somebody else's: a checkout may be a lab."""


def beside(path: str) -> str:
    """A new one beside a path, for what gets its own name once it is whole, or goes."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}.{name}.{uuid.uuid4().hex}"


def probe() -> str:
    """A new one in the root of a lab, for what is written only to be read."""
    return f".probe-{uuid.uuid4().hex}"


def is_ours(name: str) -> bool:
    return OURS.fullmatch(name) is not None
