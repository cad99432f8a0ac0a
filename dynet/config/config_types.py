"""What every part of a recipe is made of: frozen sections that refuse keys they do not know, and types of values."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

MAX_COUNT = 65_536
"""Of anything that is counted but steps: beyond it a number is a slip of the hand, and memory would be asked for it."""

Count = Annotated[int, Field(ge=1, le=MAX_COUNT, strict=True)]
Steps = Annotated[int, Field(ge=1, strict=True)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, le=1e9)]
Flag = Annotated[bool, Field(strict=True)]


def _as_range(value: object) -> object:
    return (value, value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


# One number, or two between which each picture draws its own.
Range = Annotated[tuple[float, float], BeforeValidator(_as_range)]


class StrictModel(BaseModel):
    """A part of a recipe: frozen, and without room for keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)
