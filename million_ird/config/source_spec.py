"""What a user names as a source: a path or an address, its kind, and its options."""

from typing import Any, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from million_ird.errors import SourceError
from million_ird.strict_json import has_non_finite

SourceKind: TypeAlias = Literal[
    "files",
    "table",
    "archive",
    "warc",
    "dataset",
    "site",
]
"""All kinds of sources; `million_ird.sources.registry.OPENERS` says how each is opened."""
SOURCE_KINDS: tuple[SourceKind, ...] = get_args(SourceKind)
AUTO: Literal["auto"] = "auto"
_ONLY = {
    "names": "table",
    "root": "table",
    "config": "dataset",
    "split": "dataset",
    "image": "dataset",
    "revision": "dataset",
    "pages": "site",
    "depth": "site",
}
"""Options that belong to one kind only, and that kind."""


class SourceSpec(BaseModel):
    """One source: plain text on the command line; in a recipe plain text, or a mapping with options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uri: str
    """A folder, a file, a pattern, any fsspec URL; a dataset's name; a site's address."""
    kind: SourceKind | Literal["auto"] = AUTO
    """With `auto`, the prefix decides (`site:`, `dataset:`, …), else the file name."""
    storage: dict[str, Any] = Field(default_factory=dict)
    """Options of the file system: `anon`, `endpoint_url`, `client_kwargs`, …; keep credentials in the environment
    instead."""
    follow_links: bool = False
    """Whether links in a folder may lead out of it; otherwise what they lead to fails as `outside_source`."""
    root: str | None = Field(default=None, min_length=1)
    """table: the folder or bucket that paths in it are relative to and must be in; without it, the table's folder."""
    names: dict[Literal["url", "width", "height", "licence", "attribution"], str] = Field(default_factory=dict)
    """table: its names of the columns that are read."""
    config: str | None = None
    """dataset: its configuration."""
    split: str | None = None
    """dataset: its split; without it, all splits."""
    image: str | None = None
    """dataset: the column of images; needed if there are several."""
    revision: str | None = None
    """dataset: a branch, tag or commit."""
    pages: int = Field(default=0, ge=0)
    """site: follow links to at most this many pages of the same host; 0 reads sitemaps only."""
    depth: int = Field(default=2, ge=0)
    """site: follow links up to this distance from the address."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = {"uri": value}
        if isinstance(value, dict) and isinstance(value.get("uri"), str) and value.get("kind", AUTO) == AUTO:
            prefix, colon, rest = value["uri"].partition(":")
            if colon and prefix in SOURCE_KINDS:
                return {**value, "uri": rest, "kind": prefix}
        return value

    @classmethod
    def named(cls, source: "str | SourceSpec") -> "SourceSpec":
        """Return a source as the command line or a script names it.

        Raises:
            SourceError: The text names nothing, such as `table:`.
        """
        try:
            return cls.model_validate(source)
        except ValidationError as error:
            raise SourceError(f"source {source}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from error

    @field_validator("kind", mode="before")
    @classmethod
    def _is_known(cls, kind: object) -> object:
        if kind != AUTO and kind not in SOURCE_KINDS:
            raise ValueError(f"{kind!r} is no kind of source; {', '.join(SOURCE_KINDS)} are")
        return kind

    @field_validator("storage")
    @classmethod
    def _can_be_saved(cls, storage: dict[str, Any]) -> dict[str, Any]:
        if has_non_finite(storage):
            raise ValueError("storage: a number is infinite or NaN, and could not be saved for later runs")
        return storage

    @model_validator(mode="after")
    def _options_fit(self) -> "SourceSpec":
        if not self.uri:
            raise ValueError("a source is empty: name a folder, a file or an address")
        for name in self.model_fields_set & _ONLY.keys():
            if self.kind not in {_ONLY[name], AUTO} or (self.kind == AUTO and _ONLY[name] != "table"):
                raise ValueError(f"{name}: only a source of kind {_ONLY[name]} has it")
        return self
