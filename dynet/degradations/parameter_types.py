"""The building blocks of a recipe: a frozen model that rejects unknown keys, and the types of its values."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

MAX_COUNT = 65_536
"""The largest number of anything that is counted, except steps: a larger one is a typing error, and memory would be
allocated for it."""

Count = Annotated[int, Field(ge=1, le=MAX_COUNT, strict=True)]
Steps = Annotated[int, Field(ge=1, strict=True)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, le=1e9)]
Flag = Annotated[bool, Field(strict=True)]


def _as_range(value: object) -> object:
    return (value, value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


# One number, or two numbers between which a value is drawn for each image.
Range = Annotated[tuple[float, float], BeforeValidator(_as_range, json_schema_input_type=float | tuple[float, float])]


class StrictModel(BaseModel):
    """A part of a recipe: frozen, and an unknown key is an error, also in one that `model_copy` made unchecked."""

    model_config = ConfigDict(extra="forbid", frozen=True, revalidate_instances="always")
