"""The text of a model card: the template `cards/model.md`, and what a network alone can say in it.

`dynet.hub.card` adds what a training run and evaluations say.
"""

import unicodedata
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from dynet.model.clean_input import clean_input_warning
from dynet.model.meant_for import meant_for
from dynet.model.weights import WeightsHeader
from dynet.version import __version__

PAPER = "arxiv:2404.02154"
MAX_CHARACTERS = 200
"""Of one text from outside; a longer one is cut and ends in an ellipsis."""


def template_path() -> Path:
    """Return the card's template: inside the installed package, or `cards/` of a checkout."""
    installed = Path(str(resources.files("dynet") / "cards" / "model.md"))
    return installed if installed.is_file() else Path(__file__).parents[2] / "cards" / "model.md"


def render_template(values: Mapping[str, Any]) -> str:
    """Return the card as Markdown; the same values give the same text.

    Args:
        values: The template's variables. `front_matter`, a mapping, becomes YAML; every other text is escaped, so that
            it shows as it is, unless it is `Markup`.
    """
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_escape,
    )
    environment.filters |= {"db": _format_db, "signed": _format_signed, "ssim": _format_ssim, "count": _format_count}
    front_matter = yaml.safe_dump(values["front_matter"], sort_keys=False, allow_unicode=True)
    template = environment.from_string(template_path().read_text(encoding="utf-8"))
    return template.render({**values, "front_matter": Markup(front_matter)})


def network_values(header: WeightsHeader, parameters: int, repo_id: str, licence: str | None) -> dict[str, Any]:
    """Return the template's variables for a network about which only its header is known.

    Args:
        header: Its shape and variants.
        parameters: How many numbers it learns.
        repo_id: user/name, as the card is to show it.
        licence: The Hub's identifier, or None where none is given.
    """
    return {
        "front_matter": front_matter(licence),
        "name": repo_id.rpartition("/")[2],
        "repo_id": Markup(repo_id),
        "version": Markup(header.version or __version__),
        "licence": licence,
        "shape": header.architecture,
        "parameters": parameters,
        "sides": (),
        "variants": [{"name": one.name, "schedule": one.schedule, "gmacs": []} for one in header.variants],
        "stages": [],
        "converted_from": header.notes.get("converted_from"),
        "averaged": "average_of" in header.notes,
        "excluded": (),
        "data": None,
        "recipe_file": False,
        "evaluations": (),
        "harm": None,
        "meant_for": meant_for(header.training),
        "clean_warning": clean_input_warning(header.training, [variant.name for variant in header.variants]),
        "example": None,
        "input_name": None,
    }


def front_matter(licence: str | None) -> dict[str, Any]:
    """Return what the Hub reads of every DyNet: licence, library, task and tags."""
    fields: dict[str, Any] = {"license": licence} if licence else {}
    fields |= {"library_name": "dynet", "pipeline_tag": "image-to-image"}
    fields["tags"] = ["image-restoration", "dynet", PAPER]
    return fields


_ENTITIES: Mapping[str, str] = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\\": "&#92;", "$": "&#36;", "|": "&#124;"}
_BACKSLASHED = frozenset("`*_{}[]#!~^=@+")


def _escape(value: object) -> object:
    """Return text as one line of Markdown that shows as itself, unless it is Markdown of our own."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    line = " ".join("".join(_visible(character) for character in value).split())
    line = line if len(line) <= MAX_CHARACTERS else f"{line[: MAX_CHARACTERS - 1]}…"
    return "".join(
        _ENTITIES.get(character) or (f"\\{character}" if character in _BACKSLASHED else character) for character in line
    )


def _visible(character: str) -> str:
    if character.isspace():
        return " "
    return "" if unicodedata.category(character).startswith("C") else character


def _format_db(value: float | None) -> Markup:
    return Markup("–" if value is None else f"{value:.2f}")


def _format_signed(value: float | None) -> Markup:
    return Markup("–" if value is None else f"{value:+.2f}")


def _format_ssim(value: float | None) -> Markup:
    return Markup("–" if value is None else f"{value:.4f}")


def _format_count(value: int) -> Markup:
    return Markup(f"{value:,}")
