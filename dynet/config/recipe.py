"""Training recipes: from YAML to frozen models. An unknown key is an error that names the nearest valid one."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Union

from pydantic import Field, PlainValidator, SerializeAsAny, TypeAdapter, ValidationError, model_validator

from dynet.config.shipped_recipes import find_exclude_list
from dynet.config.yaml_reading import read_yaml
from dynet.degradations.degradation import Degradation
from dynet.degradations.none import NoDegradation
from dynet.degradations.parameter_types import MAX_COUNT, Count, Flag, Fraction, Positive, Steps, StrictModel
from dynet.degradations.registry import DEGRADATIONS
from dynet.errors import RecipeError
from dynet.model.training_record import CLEAN_TASK
from dynet.model.variants import POLICIES, ReuseSchedule, Variant, VariantSampler
from dynet.model.weights import Architecture, PromptsAt


class NetworkSettings(StrictModel):
    """The shape of the network; the defaults are those of the paper."""

    dim: Count = 48
    heads: tuple[Count, Count, Count, Count] = (1, 2, 4, 8)
    prompts: Count = 5
    prompt_channels: tuple[Count, Count, Count] = (64, 128, 320)
    prompt_sizes: tuple[Count, Count, Count] = (64, 32, 16)
    refinement_blocks: Count = 4
    per_repeat: Annotated[int, Field(ge=0, le=64, strict=True)] = 0
    prompts_at: PromptsAt = "skips"

    @model_validator(mode="after")
    def _fits_together(self) -> "NetworkSettings":
        self.architecture()
        return self

    def architecture(self) -> Architecture:
        """Return the same shape as the class that the network and its weights file use."""
        return Architecture(
            dim=self.dim,
            heads=self.heads,
            prompts=self.prompts,
            prompt_channels=self.prompt_channels,
            prompt_sizes=self.prompt_sizes,
            refinement_blocks=self.refinement_blocks,
            per_repeat=self.per_repeat,
            prompts_at=self.prompts_at,
        )


class VariantSettings(StrictModel):
    """One variant to train: how often it applies the block of each level, and how often the variant is drawn."""

    schedule: tuple[Count, Count, Count, Count]
    probability: Positive = 1.0


def _parse_degradation(value: Any) -> Degradation:
    """Read a degradation as the model of its kind."""
    if isinstance(value, Degradation):
        return type(value).model_validate(value)
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in DEGRADATIONS:
        raise ValueError(f"kind must be one of {', '.join(DEGRADATIONS)}, not {kind!r}")
    return DEGRADATIONS[kind].model_validate(value)


_AnyDegradation = Annotated[Union[tuple(DEGRADATIONS.values())], Field(discriminator="kind")]  # type: ignore[valid-type]
DegradationChoice = Annotated[
    SerializeAsAny[Degradation], PlainValidator(_parse_degradation, json_schema_input_type=_AnyDegradation)
]
DegradationList = Annotated[tuple[DegradationChoice, ...], Field(min_length=1)]


class SquareCells(StrictModel):
    """A share of a crop, made of square cells with sides of `cell` pixels."""

    share: Fraction
    cell: Count


class DegradedCells(SquareCells):
    """The cells of a crop that are degraded, and the degradations for them."""

    degradations: DegradationList


class CropPhase(StrictModel):
    """The size of crops and of batches from one step on."""

    from_step: Steps
    crop: Annotated[int, Field(ge=16, le=MAX_COUNT, strict=True)]
    batch: Count


class ValidationSettings(StrictModel):
    """How often all tasks and variants are measured on held-out images, and on how many images of each dataset."""

    every: Steps
    pictures: Count = 8


OptimizerName = Literal["adam", "adamw", "muon"]


class TrainingRecipe(StrictModel):
    """The keys that both stages have."""

    seed: Annotated[int, Field(ge=0, strict=True)] = 0
    network: NetworkSettings = NetworkSettings()
    variants: Annotated[dict[str, VariantSettings], Field(min_length=1)]
    policy: Literal["random", "alternate", "sandwich"] = "random"
    distil_from_step: Annotated[int, Field(ge=0, strict=True)] = 0
    crop: Annotated[int, Field(ge=16, le=MAX_COUNT, strict=True)]
    batch: Count
    larger_crops: tuple[CropPhase, ...] = ()
    steps: Steps
    optimizer: OptimizerName
    learning_rate: Positive
    schedule: Literal["constant", "cosine"]
    warmup_steps: Annotated[int, Field(ge=0, strict=True)] = 0
    weight_decay: Annotated[float, Field(ge=0, le=1e3)] = 0.0
    gradient_clip: Positive | None = None
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    pixel_loss: Literal["l1", "rmse", "mse"] = "l1"
    frequency_loss: Annotated[float, Field(ge=0, le=1e3)] = 0.0
    log_loss: Annotated[float, Field(ge=0, le=1e3)] = 0.0
    grid_crops: Annotated[float, Field(ge=0, le=1)] = 0.0
    exclude: tuple[str, ...] = ()
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: Flag = False
    gradient_checkpointing: Flag = False
    workers: Annotated[int, Field(ge=0, le=256, strict=True)] = 0
    validation: ValidationSettings | None = None
    log_every: Steps = 1
    preview_every: Steps
    checkpoint_every: Steps
    keep_checkpoints: Count = 2
    wandb: str | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> "TrainingRecipe":
        self.sampler()
        if self.warmup_steps >= self.steps:
            raise ValueError(f"warmup_steps ({self.warmup_steps}) must be fewer than steps ({self.steps})")
        starts = [phase.from_step for phase in self.larger_crops]
        if starts != sorted(set(starts)):
            raise ValueError("larger_crops must be in the order of their from_step")
        return self

    def sampler(self) -> VariantSampler:
        """Return the sampler that decides which variants each step trains."""
        variants = [Variant(name, ReuseSchedule(*entry.schedule)) for name, entry in self.variants.items()]
        return POLICIES[self.policy](variants, [entry.probability for entry in self.variants.values()], self.seed)

    def size_schedule(self, step: int) -> tuple[int, int]:
        """Return the side of the crops in pixels, and the number of crops in a batch, at a step (from 0)."""
        started = [(phase.crop, phase.batch) for phase in self.larger_crops if phase.from_step <= step]
        return started[-1] if started else (self.crop, self.batch)

    def decisive_keys(self) -> dict[str, Any]:
        """Return the keys that decide the weights of a run; the others may change when it is resumed."""
        only_for_watching = {"log_every", "preview_every", "checkpoint_every", "keep_checkpoints", "wandb"}
        only_for_cost = {"workers", "gradient_checkpointing"}
        # What is excluded changes the data, and a run stores a fingerprint of the data.
        keys = self.model_dump(mode="json", exclude={*only_for_watching, *only_for_cost, "exclude"})
        drop_newer_defaults(keys)
        # The draw depends on the order of the variants, but mappings in another order compare as equal.
        return keys | {"variants": [[name, entry] for name, entry in keys["variants"].items()]}


def drop_newer_defaults(keys: dict[str, Any]) -> None:
    """Remove the keys that older versions did not have where they are at their defaults, so that old digests stay."""
    if not keys["distil_from_step"]:
        del keys["distil_from_step"]
    if keys["pixel_loss"] == "l1":
        del keys["pixel_loss"]
    if not keys["log_loss"]:
        del keys["log_loss"]
    if not keys["grid_crops"]:
        del keys["grid_crops"]
    for task in keys.get("tasks", {}).values():
        if not task["then"]:
            del task["then"]


class PretrainRecipe(TrainingRecipe):
    """Pre-training: a part of each crop is degraded, a part is masked, and the network learns the clean crop."""

    stage: Literal["pretrain"]
    optimizer: OptimizerName = "adam"
    schedule: Literal["constant", "cosine"] = "constant"
    corruption: DegradedCells
    mask: SquareCells


class TaskSettings(StrictModel):
    """One task: how clean images are degraded, or `pairs: true` if its datasets contain degraded images."""

    weight: Positive = 1.0
    pairs: Flag = False
    degradations: tuple[DegradationChoice, ...] = ()
    then: tuple[DegradationChoice, ...] = ()
    """A second degradation, of what the first has made: noise that is then compressed."""

    @model_validator(mode="after")
    def _has_one_kind_of_input(self) -> "TaskSettings":
        if self.pairs == bool(self.degradations):
            raise ValueError("a task has either degradations or pairs: true")
        if self.pairs and self.then:
            raise ValueError("then: pairs are degraded already")
        return self


class FinetuneRecipe(TrainingRecipe):
    """Fine-tuning: each crop is degraded by one of the tasks, or comes from a pair of that task."""

    stage: Literal["finetune"]
    optimizer: OptimizerName = "adamw"
    schedule: Literal["constant", "cosine"] = "cosine"
    tasks: Annotated[dict[str, TaskSettings], Field(min_length=1)]

    @model_validator(mode="after")
    def _clean_is_clean(self) -> "FinetuneRecipe":
        clean = self.tasks.get(CLEAN_TASK)
        chosen = () if clean is None else (*clean.degradations, *clean.then)
        if clean is not None and (clean.pairs or not all(isinstance(one, NoDegradation) for one in chosen)):
            raise ValueError(
                f"tasks.{CLEAN_TASK}: the name means clean input, so it may only have degradations: [{{kind: none}}]"
            )
        return self


AnyRecipe = PretrainRecipe | FinetuneRecipe
STAGES: Mapping[str, type[PretrainRecipe] | type[FinetuneRecipe]] = MappingProxyType(
    {
        "pretrain": PretrainRecipe,
        "finetune": FinetuneRecipe,
    }
)


def load_recipe(file: Path, stage: str | None, steps: int | None = None) -> AnyRecipe:
    """Read a recipe for this stage.

    Args:
        file: The YAML file.
        stage: `pretrain` or `finetune`; None takes the one that the file states.
        steps: Replaces the number of steps in the recipe.

    Raises:
        RecipeError: The file cannot be read, is for the other stage, or has an unknown key or an unusable value.
    """
    raw = read_yaml(file)
    if not isinstance(raw, dict):
        raise RecipeError(f"{file}: has no keys")
    stage = raw.get("stage") if stage is None else stage
    if not isinstance(stage, str) or stage not in STAGES:
        raise RecipeError(f"{file}: stage must be one of {', '.join(STAGES)}, not {stage!r}")
    if raw.get("stage", stage) != stage:
        raise RecipeError(f"{file} is a recipe for stage {raw['stage']!r}, not {stage!r}")
    if steps is not None:
        raw["steps"] = steps
    model = STAGES[stage]
    try:
        recipe: AnyRecipe = TypeAdapter(model).validate_python(raw)
    except ValidationError as error:
        raise RecipeError(f"{file}: {_first_problem(error, model, raw)}") from error
    return recipe.model_copy(update={"exclude": tuple(find_exclude_list(name, file) for name in recipe.exclude)})


def checked_recipe(recipe: AnyRecipe) -> AnyRecipe:
    """Check a recipe that a caller made: pydantic's `model_copy` and `model_construct` take any value.

    Raises:
        RecipeError: It has an unknown key or an unusable value.
    """
    model = type(recipe)
    try:
        return model.model_validate(recipe)
    except ValidationError as error:
        problem = _first_problem(error, model, recipe.model_dump(warnings=False))
        raise RecipeError(f"recipe: {problem}") from error


def _first_problem(error: ValidationError, model: type[StrictModel], raw: dict[str, Any]) -> str:
    """Describe one error in one line, unknown keys first: a misspelt key also causes a missing key."""
    problems = error.errors()
    problem = next((problem for problem in problems if problem["type"] == "extra_forbidden"), problems[0])
    path = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        key = str(problem["loc"][-1])
        nearest = difflib.get_close_matches(key, _valid_keys(model, problem["loc"][:-1], raw), n=1, cutoff=0.5)
        return f"unknown key {path!r}" + (f"; the nearest valid one is {nearest[0]!r}" if nearest else "")
    message = problem["msg"].removeprefix("Value error, ")
    return f"{path}: {message}" if path else message


def _valid_keys(model: type[StrictModel], path: tuple[int | str, ...], raw: Any) -> list[str]:
    """Return the keys that a recipe may have at this path."""
    current: type[StrictModel] = model
    models: dict[str, type[StrictModel]] = {
        "network": NetworkSettings,
        "variants": VariantSettings,
        "larger_crops": CropPhase,
        "validation": ValidationSettings,
        "corruption": DegradedCells,
        "mask": SquareCells,
        "tasks": TaskSettings,
    }
    parent: int | str = ""
    for key in path:
        raw = raw[key]
        if parent not in ("variants", "tasks"):  # the keys of these are names that the user chooses
            current = models.get(str(key), current)
        parent = key
    kind = raw.get("kind") if isinstance(raw, dict) else None
    return list(DEGRADATIONS.get(str(kind), current).model_fields)
