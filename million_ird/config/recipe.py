"""A recipe: YAML in, frozen models out. A key that is unknown or misspelt is an error that names it."""

import difflib
import hashlib
import json
import os
from collections.abc import Hashable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from million_ird.config.gates import Gate
from million_ird.config.source_spec import SourceSpec
from million_ird.dataset.patches import PATCH_FIELDS
from million_ird.errors import RecipeError
from million_ird.images import decode as images
from million_ird.ledger import RESERVED, RULES, TEXT, numeric_fields
from million_ird.measures.registry import MEASURES

_STRICT = ConfigDict(frozen=True, extra="forbid")
SHIPPED = ("million_ird.yaml", "demo.yaml", "4klsdb.yaml", "bhi.yaml", "strict.yaml")
"""In `pipelines/`; those of `dynet` lie there too."""
HEADER_LINE = "# million-ird recipe, as resolved"


class Limits(BaseModel):
    """What a build puts up with."""

    model_config = _STRICT

    max_pixels: int = Field(images.MAX_PIXELS, gt=0)
    """Pictures with more pixels fail as `too_large` before anything is allocated."""
    max_bytes: int = Field(512_000_000, gt=0)
    """Files with more bytes fail as `too_large` before they are read."""
    seconds: float = Field(120.0, gt=0)
    """A picture that takes longer to decode and measure fails as `hung`."""
    failed_share: float = Field(0.5, ge=0, le=1)
    """A build in which a larger share of the candidates failed exits with 1."""


class Duplicates(BaseModel):
    """Which copies are dropped."""

    model_config = _STRICT

    exact: bool = True
    """The same bytes, or the same pixels."""
    radius: int | None = Field(8, ge=0, le=16)
    """Near copies: pictures whose pHashes differ in at most this many of 64 bits are compared by their signatures; null
    switches it off."""
    turned: bool = True
    """Whether mirrored pictures, and pictures turned by quarters, are copies."""
    crops: bool = True
    """Whether pictures of which some details are alike are compared, too: finds crops, frames and overlays."""


class Patches(BaseModel):
    """How kept pictures are cut."""

    model_config = _STRICT

    size: int = Field(512, ge=16)
    """Side of a square patch in pixels."""
    format: Literal["png", "webp"] = "webp"
    """Both without loss; WebP is smaller and quicker both ways (benchmarks/patch_format.py)."""
    scales: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (1.0,)
    """The picture is cut as it is (1) and shrunk by each of these factors."""
    gates: tuple[Gate, ...] = ()
    """Gates on the patch's own numbers."""

    @model_validator(mode="after")
    def _fields_exist(self) -> "Patches":
        for number, gate in enumerate(self.gates):
            if gate.field not in PATCH_FIELDS:
                raise ValueError(
                    f"gates.{number}.field: unknown field {gate.field!r}; {' and '.join(PATCH_FIELDS)} are"
                )
        if len(set(self.scales)) < len(self.scales) or not self.scales:
            raise ValueError("scales: at least one, each once")
        return self


class Shards(BaseModel):
    """How the parquet files are cut."""

    model_config = _STRICT

    bytes: int = Field(500_000_000, gt=0)
    """Encoded pictures in one file, about."""


class Licences(BaseModel):
    """Which licences are welcome; names are compared without regard to case."""

    model_config = _STRICT

    allow: tuple[str, ...] = ()
    """If any is listed, pictures under others, or with none named, are dropped as `licence`, before they are read."""
    refuse: tuple[str, ...] = ()
    """Pictures under these are dropped as `licence`, before they are read."""

    @property
    def rule_something(self) -> bool:
        """Whether any licence is refused."""
        return bool(self.allow or self.refuse)

    def refuse_one(self, licence: str | None) -> bool:
        """Whether a picture under this licence is dropped."""
        name = (licence or "").strip().casefold()
        allowed = not self.allow or name in {one.casefold() for one in self.allow}
        return not allowed or name in {one.casefold() for one in self.refuse}


class Privacy(BaseModel):
    """What the published files tell of those who took the pictures."""

    model_config = _STRICT

    strip_metadata: Literal["web", "always", "never"] = "web"
    """Of which pictures the place, the time, the camera, the names and the comments in the file are left out: those
    from web servers, all, none. Coded pixels, colour profile and orientation stay as they are."""

    def covers(self, uri: str) -> bool:
        """Whether the picture of this uri is published without."""
        if self.strip_metadata == "web":
            return uri.startswith(("http://", "https://"))
        return self.strip_metadata == "always"


class Web(BaseModel):
    """How pictures are fetched from web servers."""

    model_config = _STRICT

    contact: str = ""
    """An e-mail or web address in the user agent, for those whose servers are visited."""
    concurrency: int = Field(128, ge=1)
    """Requests under way at once, on all workers together."""
    per_host: int = Field(4, ge=1)
    """Requests under way at once at one host."""
    delay: float = Field(0.0, ge=0)
    """Seconds between the beginnings of two requests to a host; a longer Crawl-delay of its robots.txt wins."""
    connect_seconds: float = Field(10.0, gt=0)
    read_seconds: float = Field(20.0, gt=0)
    """The longest silence in an answer."""
    total_seconds: float = Field(60.0, gt=0)
    """From the connection to the last byte, redirects included, retries and waiting for a turn not."""
    retries: int = Field(2, ge=0)
    """Further tries after 429, a server error, a timeout or a broken connection."""
    longest_wait: float = Field(120.0, ge=0)
    """Seconds; a Retry-After or Crawl-delay beyond it fails the picture (`rate_limited`, `crawl_delay`) instead."""
    redirects: int = Field(5, ge=0)
    robots: bool = True
    """Whether robots.txt is asked and obeyed."""
    opt_out: tuple[Literal["noai", "noimageai", "noindex", "noml"], ...] = ("noai", "noimageai", "noindex", "noml")
    """Directives of X-Robots-Tag and meta robots that are honoured."""
    lanes: int = Field(16, ge=1, le=4096)
    """Into so many groups hosts are dealt; a group is fetched by one worker at a time. More for a larger cluster."""


class Recipe(BaseModel):
    """Everything that a build depends on beside its sources."""

    model_config = _STRICT

    name: str = "million_ird"
    sources: tuple[SourceSpec, ...] = Field((), exclude=True)
    """Sources with their options; those of `--sources` come after. Never written to `recipe.yaml`, which is published,
    and no part of what the recipe means."""
    benchmarks: tuple[str, ...] = Field((), exclude=True)
    """Evaluation sets, each `NAME=PATH`, whose pictures are dropped: beside those of `--exclude-benchmark`. Their
    fingerprints are published with the set, the paths are not."""
    scores: tuple[str, ...] = ()
    """Quality scores that need parameters from elsewhere: `niqe`, `brisque`, or any pyiqa name without reference.
    Every other measure is always taken."""
    columns: tuple[str, ...] = ()
    """Numeric columns of source tables that are passed through to the ledger, where gates may name them."""
    texts: tuple[str, ...] = ()
    """Columns of source tables that are passed through as text: captions, titles, …"""
    licences: Licences = Licences()
    measure_all: bool = False
    """Take every measure of every picture, also of those that a cheap gate drops: to calibrate."""
    gates: tuple[Gate, ...] = ()
    duplicates: Duplicates = Duplicates()
    patches: Patches = Patches()
    privacy: Privacy = Privacy()
    validation: float = Field(0.0, ge=0, lt=1)
    """Share of the kept pictures that is held out as the split `validation`: families of near copies as a whole."""
    shards: Shards = Shards()
    limits: Limits = Limits()
    web: Web = Web()

    @model_validator(mode="after")
    def _names_exist(self) -> "Recipe":
        taken = numeric_fields(MEASURES)
        added = (*self.scores, *self.columns, *self.texts)
        for name in added:
            if name in taken or name in RESERVED or added.count(name) > 1:
                raise ValueError(f"{name!r} is already the name of a ledger column")
        known = numeric_fields(self.measured)
        for number, gate in enumerate(self.gates):
            if gate.field not in known:
                hint = _nearest(gate.field, known) or "; scores and columns of tables must be listed as such"
                raise ValueError(f"gates.{number}.field: unknown field {gate.field!r}{hint}")
            if gate.called in RULES:
                raise ValueError(f"gates.{number}.reason: {gate.called!r} is what another rule is called")
        return self

    @model_validator(mode="after")
    def _families_are_known(self) -> "Recipe":
        if self.validation and self.duplicates.radius is None:
            raise ValueError("validation: needs duplicates.radius, or near copies would stand on both sides")
        return self

    @property
    def measured(self) -> tuple[str, ...]:
        """The measures and scores to take and the columns to pass through, in the order of the ledger."""
        return (*MEASURES, *self.scores, *self.columns, *(name + TEXT for name in self.texts))

    @property
    def passed(self) -> tuple[str, ...]:
        """All columns of sources that are passed through, numbers and texts."""
        return (*self.columns, *self.texts)

    def dump(self) -> str:
        """The recipe as YAML with every default written out; reads back as the same recipe."""
        body = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)
        return f"{HEADER_LINE}\n{body}"

    @property
    def digest(self) -> str:
        """16 hex digits that name the recipe's meaning: equal recipes, equal digest."""
        return digest(self.model_dump(mode="json"))


def digest(value: object) -> str:
    """16 hex digits of BLAKE2b over the value as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def shipped() -> dict[str, Path]:
    """The recipes that travel with the package: file name to path."""
    installed = Path(str(resources.files("million_ird") / "pipelines"))
    folder = installed if installed.is_dir() else Path(__file__).parents[2] / "pipelines"
    return {name: folder / name for name in SHIPPED}


class _Loader(yaml.SafeLoader):
    """YAML without the keys that YAML lets stand twice, of which it would ignore the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} stands twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def load(path: str | Path) -> Recipe:
    """Reads a recipe file; a bare name such as `demo.yaml` may also be one of the shipped recipes.

    Raises:
        RecipeError: no such file, not YAML, an unknown key (with the nearest valid one) or a value that is wrong.
    """
    ours = shipped()
    found = Path(path) if os.path.exists(path) else ours.get(str(path))
    if found is None:
        raise RecipeError(f"recipe {path}: no such file{_nearest(str(path), ours)}")
    try:
        return parse_text(found.read_bytes(), origin=str(path))
    except OSError as error:
        raise RecipeError(f"recipe {path}: cannot be read: {error.strerror}") from error


def parse_text(text: bytes, *, origin: str) -> Recipe:
    """Reads a recipe from YAML.

    Raises:
        RecipeError: as `load`.
    """
    try:
        content = yaml.load(text.decode(), _Loader)
    except UnicodeDecodeError as error:
        raise RecipeError(f"recipe {origin}: not UTF-8") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"recipe {origin}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"recipe {origin}: has no keys")
    return parse(content, origin=origin)


def parse(content: Mapping[str, object], *, origin: str) -> Recipe:
    """Turns plain YAML content into a recipe.

    Raises:
        RecipeError: one line that names `origin`, the key, and the nearest valid key or the reason.
    """
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = [str(part) for part in first["loc"]]
        if first["type"] == "extra_forbidden":
            known = _known_keys(Recipe, place[:-1])
            said = f"unknown key {'.'.join(place)!r}{_nearest(place[-1], known)}"
        else:
            reason = first["msg"].removeprefix("Value error, ")
            said = f"{'.'.join(place)}: {reason}" if place else reason
        raise RecipeError(f"recipe {origin}: {said}") from error


def with_patch_scales(recipe: Recipe, scales: str) -> Recipe:
    """The recipe with other patch scales, given as `1,.75,.5`.

    Raises:
        RecipeError: not numbers in (0, 1], or one twice.
    """
    content = recipe.model_dump(mode="json")
    content["patches"]["scales"] = [part.strip() for part in scales.split(",") if part.strip()]
    return parse(content, origin="--patch-scales")


def _known_keys(model: type[BaseModel], place: Sequence[str]) -> list[str]:
    for part in place:
        if part.isdigit():
            continue
        annotation = model.model_fields[part].annotation
        nested = [t for t in (annotation, *get_args(annotation)) if isinstance(t, type) and issubclass(t, BaseModel)]
        if not nested:
            return []
        model = nested[0]
    return list(model.model_fields)


def _nearest(word: str, known: Mapping[str, object] | Sequence[str] | set[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""
