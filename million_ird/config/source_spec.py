"""What a user names as a source: a path or an address, what kind it is, and its options."""

from collections.abc import Collection
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

AUTO = "auto"
_ONLY = {
    "names": "table",
    "config": "dataset",
    "split": "dataset",
    "image": "dataset",
    "revision": "dataset",
    "pages": "site",
    "depth": "site",
}
"""Options that one kind alone has."""


class SourceSpec(BaseModel):
    """One source. On the command line it is a text; in a recipe a text, or a mapping with options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uri: str
    """A folder, a file, a pattern, any fsspec URL; a data set's name; a site's address."""
    kind: str = AUTO
    """One of `KINDS` in ingest/opening.py; `auto` goes by the prefix (`site:`, `dataset:`, …), else by the name."""
    storage: dict[str, Any] = Field(default_factory=dict)
    """Options of the file system: `anon`, `endpoint_url`, `client_kwargs`, …; credentials better come from the
    environment."""
    names: dict[Literal["url", "width", "height", "licence", "attribution"], str] = Field(default_factory=dict)
    """table: what it calls the columns that are taken over."""
    config: str | None = None
    """dataset: which of its configurations."""
    split: str | None = None
    """dataset: which split; all, if none is named."""
    image: str | None = None
    """dataset: the column of pictures, where there are several."""
    revision: str | None = None
    """dataset: a branch, tag or commit."""
    pages: int = Field(0, ge=0)
    """site: follow links to at most so many pages of the same host; 0 reads sitemaps only."""
    depth: int = Field(2, ge=0)
    """site: how many links away from the address."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, given: Any) -> Any:
        if isinstance(given, str):
            given = {"uri": given}
        if isinstance(given, dict) and isinstance(given.get("uri"), str) and given.get("kind", AUTO) == AUTO:
            prefix, colon, rest = given["uri"].partition(":")
            if colon and prefix in _kinds():
                return {**given, "uri": rest, "kind": prefix}
        return given

    @field_validator("kind")
    @classmethod
    def _is_known(cls, kind: str) -> str:
        if kind != AUTO and kind not in _kinds():
            raise ValueError(f"{kind!r} is no kind of source; {', '.join(_kinds())} are")
        return kind

    @model_validator(mode="after")
    def _options_fit(self) -> "SourceSpec":
        if not self.uri:
            raise ValueError("a source is empty: name a folder, a file or an address")
        for name in self.model_fields_set & _ONLY.keys():
            if self.kind not in {_ONLY[name], AUTO} or (self.kind == AUTO and _ONLY[name] != "table"):
                raise ValueError(f"{name}: only a source of kind {_ONLY[name]} has it")
        return self


def _kinds() -> Collection[str]:
    from million_ird.sources.registry import KINDS  # which imports recipes, and those this

    return KINDS
