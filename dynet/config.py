"""Recipes of training: YAML to frozen models. An unknown key is an error that names the nearest valid one."""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from dynet.errors import RecipeError
from dynet.variants import ReuseSchedule, Variant, VariantSampler
from dynet.weights import Architecture

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


def _as_range(value: object) -> object:
    return (value, value) if isinstance(value, (int, float)) else value


# One number, or two between which each picture draws its own.
Range = Annotated[tuple[float, float], BeforeValidator(_as_range)]


class Section(BaseModel):
    """A part of a recipe: frozen, and without room for keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Network(Section):
    """The network's shape; the defaults are the paper's."""

    dim: Count = 48
    heads: tuple[Count, Count, Count, Count] = (1, 2, 4, 8)
    prompts: Count = 5
    prompt_channels: tuple[Count, Count, Count] = (64, 128, 320)
    prompt_sizes: tuple[Count, Count, Count] = (64, 32, 16)
    refinement_blocks: Count = 4

    @model_validator(mode="after")
    def _fits_together(self) -> "Network":
        self.architecture()
        return self

    def architecture(self) -> Architecture:
        """The same shape as the network and its weights file know it."""
        return Architecture(
            dim=self.dim,
            heads=self.heads,
            prompts=self.prompts,
            prompt_channels=self.prompt_channels,
            prompt_sizes=self.prompt_sizes,
            refinement_blocks=self.refinement_blocks,
        )


class VariantSection(Section):
    """One variant to train: how often each level's block is applied, and how often the variant is drawn."""

    schedule: tuple[Count, Count, Count, Count]
    probability: Annotated[float, Field(gt=0)]


class DegradationSection(Section):
    """A degradation with its parameters; among several, one is drawn by weight for each picture."""

    weight: Annotated[float, Field(gt=0)] = 1.0

    def draw_parameters(self, generator: np.random.Generator) -> dict[str, float]:
        """Each parameter's value for one picture, drawn evenly from its range."""
        ranges = {name: getattr(self, name) for name in type(self).model_fields if name not in ("kind", "weight")}
        return {name: float(generator.uniform(low, high)) for name, (low, high) in ranges.items()}

    @model_validator(mode="after")
    def _ranges_are_ordered(self) -> "DegradationSection":
        for name in type(self).model_fields:
            if name not in ("kind", "weight"):
                low, high = getattr(self, name)
                if not 0 <= low <= high:
                    raise ValueError(f"{name} goes from a smaller number to a larger, not {low} to {high}")
        return self


class GaussianNoise(DegradationSection):
    """Additive Gaussian noise of `sigma` levels of 255."""

    kind: Literal["gaussian_noise"]
    sigma: Range


class RandomNoise(DegradationSection):
    """Uniform noise up to `amplitude` levels of 255."""

    kind: Literal["random_noise"]
    amplitude: Range


class Jpeg(DegradationSection):
    """JPEG compression of this quality."""

    kind: Literal["jpeg"]
    quality: Annotated[
        tuple[Annotated[float, Field(ge=1, le=100)], Annotated[float, Field(ge=1, le=100)]], BeforeValidator(_as_range)
    ]


DegradationChoice = Annotated[GaussianNoise | RandomNoise | Jpeg, Field(discriminator="kind")]
DegradationList = Annotated[tuple[DegradationChoice, ...], Field(min_length=1)]


class Cells(Section):
    """A share of a crop, in square cells of this many pixels."""

    share: Share
    cell: Count


class Corruption(Cells):
    """The cells that a degradation is shown through, and which degradations."""

    degradations: DegradationList


class Recipe(Section):
    """What both stages have in common."""

    seed: Annotated[int, Field(ge=0)] = 0
    network: Network = Network()
    variants: Annotated[dict[str, VariantSection], Field(min_length=1)]
    crop: Annotated[int, Field(ge=16)]
    batch: Count
    steps: Count
    learning_rate: Annotated[float, Field(gt=0)]
    precision: Literal["fp32", "bf16"] = "fp32"
    workers: Annotated[int, Field(ge=0)] = 0
    log_every: Count = 1
    preview_every: Count
    checkpoint_every: Count
    keep_checkpoints: Count = 2

    @model_validator(mode="after")
    def _variants_are_variants(self) -> "Recipe":
        self.sampler()
        return self

    def sampler(self) -> VariantSampler:
        """Which variant each step trains."""
        variants = [Variant(name, ReuseSchedule(*entry.schedule)) for name, entry in self.variants.items()]
        return VariantSampler(variants, [entry.probability for entry in self.variants.values()], self.seed)

    def decisive(self) -> dict[str, Any]:
        """The keys that decide which weights come out; the others may change between a run and its resumption."""
        only_for_watching = {"workers", "log_every", "preview_every", "checkpoint_every", "keep_checkpoints"}
        return self.model_dump(mode="json", exclude=only_for_watching)


class PretrainRecipe(Recipe):
    """Pre-training: corrupt a part of each crop, mask a part, and learn to give the clean crop."""

    stage: Literal["pretrain"]
    corruption: Corruption
    mask: Cells


class FinetuneRecipe(Recipe):
    """Fine-tuning: degrade each whole crop by one of the tasks."""

    stage: Literal["finetune"]
    weight_decay: Annotated[float, Field(ge=0)]
    warmup_steps: Annotated[int, Field(ge=0)]
    tasks: DegradationList

    @model_validator(mode="after")
    def _warmup_ends(self) -> "FinetuneRecipe":
        if self.warmup_steps >= self.steps:
            raise ValueError(f"warmup_steps ({self.warmup_steps}) must be fewer than steps ({self.steps})")
        return self


AnyRecipe = PretrainRecipe | FinetuneRecipe
STAGES: dict[str, type[PretrainRecipe] | type[FinetuneRecipe]] = {
    "pretrain": PretrainRecipe,
    "finetune": FinetuneRecipe,
}


def find_recipe(name: str | Path) -> Path:
    """The file of this path, or else the shipped recipe of this name."""
    path = Path(name)
    if path.is_file():
        return path
    if path.is_dir():
        raise RecipeError(f"{path} is a folder, not a recipe file")
    here = Path(__file__).parent
    # In a wheel the recipes lie inside the package; in a checkout beside it.
    shipped = [folder / path.name for folder in (here / "pipelines", here.parent / "pipelines")]
    found = next((file for file in shipped if file.is_file()), None)
    if found is None or path.parent != Path():
        raise RecipeError(f"{name}: no such recipe file")
    return found


def load_recipe(file: Path, stage: str, steps: int | None = None) -> AnyRecipe:
    """Read a recipe for this stage; `steps`, if given, replaces the recipe's own."""
    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"{file} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise RecipeError(f"{file} is not a recipe: a mapping of keys to values is expected")
    if raw.get("stage", stage) != stage:
        raise RecipeError(f"{file} is a recipe for stage {raw['stage']!r}, not {stage!r}")
    if steps is not None:
        raw["steps"] = steps
    model = STAGES[stage]
    try:
        return TypeAdapter(model).validate_python(raw)
    except ValidationError as error:
        raise RecipeError(f"{file}: {_first_fault(error, model)}") from error


def _first_fault(error: ValidationError, model: type[Section]) -> str:
    """The first fault in one line, unknown keys before others: a misspelt key also leaves one missing."""
    faults = error.errors()
    fault = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
    place = ".".join(str(part) for part in fault["loc"] if part not in _KINDS)
    if fault["type"] == "extra_forbidden":
        key = str(fault["loc"][-1])
        near = difflib.get_close_matches(key, _keys_at(model, fault["loc"][:-1]), n=1, cutoff=0.5)
        return f"unknown key {place!r}" + (f"; the nearest valid one is {near[0]!r}" if near else "")
    message = fault["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


_KINDS: dict[str, type[Section]] = {"gaussian_noise": GaussianNoise, "random_noise": RandomNoise, "jpeg": Jpeg}


def _keys_at(model: type[Section], place: tuple[int | str, ...]) -> list[str]:
    """The keys that a recipe may have where `place` points."""
    here: type[Section] = model
    sections: dict[str, type[Section]] = {
        "network": Network,
        "variants": VariantSection,
        "corruption": Corruption,
        "mask": Cells,
        **_KINDS,
    }
    for part in place:
        here = sections.get(str(part), here)
    return list(here.model_fields)
