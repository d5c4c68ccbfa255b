"""A lab for latent bridges between pretrained generative models.

    >>> import bridgelab
    >>> bridgelab.plan("label_efficiency").seconds
    >>> bridgelab.sweep("label_efficiency", lab="./lab")

Names load when they are used: `import bridgelab` costs nothing, and only `sweep` needs torch and ray.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import LABEL_COUNTS as LABEL_COUNTS
    from .config import Study as Study
    from .errors import BridgelabError as BridgelabError
    from .health import doctor as doctor
    from .lab import Lab as Lab
    from .ledger import status as status
    from .passage import interpolate as interpolate
    from .passage import transfer as transfer
    from .planning import plan as plan
    from .study import Selection as Selection
    from .study import resolve as resolve
    from .study import study_names as study_names
    from .sweeping import sweep as sweep

__version__ = "0.1.0"

_HOME = {
    "LABEL_COUNTS": "config",
    "Study": "config",
    "BridgelabError": "errors",
    "doctor": "health",
    "Lab": "lab",
    "status": "ledger",
    "interpolate": "passage",
    "plan": "planning",
    "Selection": "study",
    "resolve": "study",
    "study_names": "study",
    "sweep": "sweeping",
    "transfer": "passage",
}

__all__ = [
    "LABEL_COUNTS",
    "BridgelabError",
    "Lab",
    "Selection",
    "Study",
    "doctor",
    "interpolate",
    "plan",
    "resolve",
    "status",
    "study_names",
    "sweep",
    "transfer",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'bridgelab' has no attribute '{name}'")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
