"""The kinds of values that settings have. A value of another type or out of range is an error that names it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

Count = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
Share = Annotated[float, Field(ge=0, le=1, strict=True)]
Shift = Annotated[int, Field(ge=0, le=8, strict=True)]
Precision = Literal["float32", "bfloat16"]
Switch = Annotated[bool, Field(strict=True)]

CHECKED = ConfigDict(extra="forbid")
"""An unknown field is an error, not a wish that nobody hears."""
