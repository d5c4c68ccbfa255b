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
    from .declarations import bring_in as bring_in
    from .declarations import exclude as exclude
    from .declarations import freeze as freeze
    from .errors import BridgelabError as BridgelabError
    from .health import doctor as doctor
    from .housekeeping import collect as collect
    from .housekeeping import compact as compact
    from .housekeeping import garbage as garbage
    from .lab import Lab as Lab
    from .ledger import status as status
    from .passage import interpolate as interpolate
    from .passage import transfer as transfer
    from .planning import plan as plan
    from .reproducing import plan_whole as plan_whole
    from .reproducing import reproduce as reproduce
    from .study import Selection as Selection
    from .study import resolve as resolve
    from .study import study_names as study_names
    from .sweeping import pretrain as pretrain
    from .sweeping import sweep as sweep

__version__ = "0.1.0"

_HOME = {
    "LABEL_COUNTS": "config",
    "Study": "config",
    "bring_in": "declarations",
    "exclude": "declarations",
    "freeze": "declarations",
    "BridgelabError": "errors",
    "doctor": "health",
    "collect": "housekeeping",
    "compact": "housekeeping",
    "garbage": "housekeeping",
    "Lab": "lab",
    "status": "ledger",
    "interpolate": "passage",
    "plan": "planning",
    "plan_whole": "reproducing",
    "reproduce": "reproducing",
    "Selection": "study",
    "resolve": "study",
    "study_names": "study",
    "pretrain": "sweeping",
    "sweep": "sweeping",
    "transfer": "passage",
}

__all__ = [
    "LABEL_COUNTS",
    "BridgelabError",
    "Lab",
    "Selection",
    "Study",
    "bring_in",
    "collect",
    "compact",
    "doctor",
    "exclude",
    "freeze",
    "garbage",
    "interpolate",
    "plan",
    "plan_whole",
    "pretrain",
    "reproduce",
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
