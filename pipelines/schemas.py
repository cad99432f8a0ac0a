"""Write the JSON schemas of both kinds of recipe, by which editors complete and check them: `make schemas`.

    python pipelines/schemas.py

Each recipe names its schema in its first line; the YAML language server, which most editors use, reads that.
"""

import ast
import inspect
import json
import textwrap
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from dynet.config.recipe import AnyRecipe
from million_ird.config.gates import Gate
from million_ird.config.recipe import Recipe
from million_ird.config.source_spec import SourceSpec
from million_ird.config.user_measures import UserMeasure
from million_ird.measure_specs import MEASURE_SPECS
from million_ird.schema import numeric_fields

FOLDER = Path(__file__).parent / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
RECIPES: dict[str, tuple[str, Any]] = {
    "million_ird.json": ("A recipe of million-ird", Recipe),
    "dynet.json": ("A training recipe of dynet", Annotated[AnyRecipe, Field(discriminator="stage")]),
}
"""File name: title and model."""
TEXT_FORMS: dict[type[BaseModel], str] = {
    SourceSpec: "A folder, a file, a pattern, a URL, dataset:NAME or site:URL.",
    UserMeasure: "package.module:Class",
}
"""Models that may also be written as one text."""


class _WithDocstrings(GenerateJsonSchema):
    """A schema whose descriptions are the docstrings of models and fields."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        found = super().model_schema(schema)
        for name, text in _field_docstrings(schema["cls"]).items():
            if name in found.get("properties", {}):
                found["properties"][name].setdefault("description", text)
        if "description" in found:
            found["description"] = _one_paragraph(found["description"])
        found.pop("title", None)
        if schema["cls"] is Gate:  # editors complete the columns that always exist; a recipe can add others
            known = {"enum": sorted(numeric_fields(MEASURE_SPECS))}
            found["properties"]["field"]["anyOf"] = [known, {"type": found["properties"]["field"].pop("type")}]
        if schema["cls"] in TEXT_FORMS:
            return {"anyOf": [{"type": "string", "description": TEXT_FORMS[schema["cls"]]}, found]}
        return found


def render(name: str) -> str:
    """Return the text of one schema file."""
    title, model = RECIPES[name]
    schema = TypeAdapter(model).json_schema(schema_generator=_WithDocstrings)
    return json.dumps({"$schema": DIALECT, "title": title, **schema}, indent=1, ensure_ascii=False) + "\n"


def _field_docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Return the strings that follow the fields of a model and of the models that it extends."""
    found: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if not issubclass(owner, BaseModel) or owner is BaseModel:
            continue
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
                found[field.target.id] = _one_paragraph(ast.literal_eval(text.value))
    return found


def _one_paragraph(text: str) -> str:
    return " ".join(text.split("\n\n")[0].split())


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in RECIPES:
        (FOLDER / name).write_text(render(name), encoding="utf-8")
