"""Recipes: what is wrong in them is told by key, what is right in them is read."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from million_ird.config import recipe as recipes
from million_ird.config import rules
from million_ird.config.loading import load, parse, shipped
from million_ird.config.recipe import Recipe
from million_ird.errors import RecipeError, UsageError

SHIPPED = [path for path in shipped().values() if path.exists()]


def told(text: str | bytes, folder: Path) -> str:
    """What `load` says of a recipe file of this content."""
    path = folder / "recipe.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RecipeError) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gatez: []", "unknown key 'gatez' (did you mean 'gates'?)"),
        ("patches: {sise: 64}", "unknown key 'patches.sise' (did you mean 'size'?)"),
        ("duplicates: {radios: 3}", "unknown key 'duplicates.radios' (did you mean 'radius'?)"),
        ("shards: {byte: 3}", "unknown key 'shards.byte' (did you mean 'bytes'?)"),
        ("limits: {max_pixel: 3}", "unknown key 'limits.max_pixel' (did you mean 'max_pixels'?)"),
        ("licences: {allowed: [cc0]}", "unknown key 'licences.allowed' (did you mean 'allow'?)"),
        ("gates: [{field: width, minn: 3}]", "unknown key 'gates.0.minn' (did you mean 'min'?)"),
        ("patches: {gates: [{field: sobel_variance, mim: 3}]}", "'patches.gates.0.mim' (did you mean 'min'?)"),
        ("qqqqqq: 1", "unknown key 'qqqqqq'"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_at_every_depth(text: str, expected: str, tmp_path: Path) -> None:
    assert expected in told(text, tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "gates: [{field: short_sied, min: 3}]",
            "gates.0.field: unknown field 'short_sied' (did you mean 'short_side'",
        ),
        ("gates: [{field: width}]", "has neither min nor max"),
        ("gates: [{field: width, min: 3, max: 2}]", "min 3 is over max 2"),
        ("gates: [{field: width, min: .nan}]", "gates.0.min"),
        ("gates: [{field: width, max: .inf}]", "gates.0.max"),
        ("gates: [{field: width, min: many}]", "gates.0.min"),
        ("gates: [{field: width, min: 3, reason: duplicate_exact}]", "is the name of another rule"),
        ("patches: {scales: [.75, .7500001]}", "scales: at least one, each once"),
        ("patches: {scales: [1, .9999999]}", "scales: at least one, each once"),
        ("? [a, b]\n: c", "a key is not a string"),
        ("name: 2024-02-30", "line 1, column 7"),
        ("name: x\nshards: {bytes: 0x_}", "line 2, column 17"),
        (f"patches: {{size: {'9' * 5000}}}", "a value cannot be read"),
        ("name: !!bool maybe", "a value cannot be read: 'maybe'"),
        ("name: !!timestamp soon", "a value cannot be read"),
        ("name: " + "[" * 3000 + "]" * 3000, "is nested too deeply"),
        ('name: "\\ud800"', "surrogates not allowed"),
        ("limits: {seconds: .inf}", "limits.seconds"),
        ("web: {longest_wait: .inf}", "web.longest_wait"),
        ("limits: {seconds: 1e300}", "limits.seconds"),
        (f"limits: {{max_bytes: {2**63}}}", "limits.max_bytes"),
        (f"limits: {{max_pixels: {2**63}}}", "limits.max_pixels"),
        ("columns: [header]", "'header' cannot be the name"),
        ("columns: ['caption:text']", "'caption:text' cannot be the name"),
        ("columns: ['a,b']", "'a,b' cannot be the name"),
        ("texts: ['caption, title']", "'caption, title' cannot be the name"),
        ("texts: ['']", "'' cannot be the name"),
        ("scores: ['x]']", "'x]' cannot be the name"),
        ("gates: [{field: width, min: 3, reason: vanished}]", "is the name of another rule"),
        ("patches: {gates: [{field: short_side, min: 3}]}", "unknown field 'short_side'"),
        ("patches: {size: 3}", "patches.size"),
        ("patches: {format: jpeg}", "patches.format"),
        ("patches: {scales: [1, 1]}", "each once"),
        ("patches: {scales: []}", "at least one"),
        ("patches: {scales: [2]}", "patches.scales.0"),
        ("patches:", "patches"),
        ("sources: [{uri: a, kind: sites}]", "sources.0.kind: 'sites' is no kind of source; files, table, archive,"),
        ("sources: [{uri: 'dataset:a', pages: 3}]", "pages: only a source of kind site has it"),
        ("duplicates: {radius: 99}", "duplicates.radius"),
        ("limits: {failed_share: 2}", "limits.failed_share"),
        ("scores: [width]", "already the name of a ledger column"),
        ("columns: [verdict]", "already the name of a ledger column"),
        ("name: a\nname: b", "key 'name' is repeated"),
        ("patches: {size: 64, size: 128}", "key 'size' is repeated"),
        ("", "has no keys"),
        ("- a list", "has no keys"),
        ("just a sentence", "has no keys"),
        ("a: [1, 2", "not YAML"),
        ("\tname: tab", "not YAML"),
        (b"name: \xff\xfe", "not UTF-8"),
        ("1: 2", "1"),
    ],
)
def test_a_wrong_value_is_told_in_one_line_that_names_it(text: str | bytes, expected: str, tmp_path: Path) -> None:
    assert expected in told(text, tmp_path)


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    for path, expected in (
        (tmp_path, "Is a directory"),
        (tmp_path / "no.yaml", "no such file"),
        ("demo.yml", "did you mean 'demo'?"),
        ("x" * 5000, "no such file"),
    ):
        with pytest.raises(RecipeError, match=expected.replace("?", r"\?")):
            load(path)
    with pytest.raises(UsageError, match=r"^recipe: '' is not a path$"):
        load("")


def test_the_defaults_are_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("name: least")
    assert load(path) == Recipe(name="least")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_dump_reads_back_as_the_same_recipe(path: Path, tmp_path: Path) -> None:
    loaded = load(path)
    copy = tmp_path / "copy.yaml"
    copy.write_text(loaded.dump())
    assert load(copy) == loaded.model_copy(update={"benchmarks": ()})  # a build stores their fingerprints instead
    assert load(copy).digest == loaded.digest
    assert loaded.dump().startswith(recipes.HEADER_LINE)


def test_the_digest_names_the_meaning() -> None:
    assert parse({"name": "a"}, origin="a").digest == parse({"name": "a", "gates": []}, origin="b").digest
    assert parse({"name": "a"}, origin="a").digest != parse({"name": "b"}, origin="a").digest


def test_every_shipped_recipe_is_found_by_its_name_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert SHIPPED
    for path in SHIPPED:
        assert load(path.name) == load(path)


def test_a_file_beside_the_user_wins_over_a_shipped_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("demo.yaml").write_text("name: mine")
    assert load("demo.yaml").name == "mine"


def models() -> Iterator[tuple[str, type[BaseModel]]]:
    """All models of a recipe."""
    for name, value in (vars(recipes) | vars(rules)).items():
        if isinstance(value, type) and issubclass(value, BaseModel) and value is not BaseModel:
            yield name, value


def test_every_key_of_a_recipe_is_read_by_the_package() -> None:
    package = Path(recipes.__file__).parents[1]
    declaring = {Path(recipes.__file__), Path(rules.__file__)}
    sources = "\n".join(path.read_text() for path in package.rglob("*.py") if path not in declaring)
    own = "\n".join(path.read_text() for path in declaring)
    for name, model in models():
        for key in model.model_fields:
            assert f".{key}" in sources or f"self.{key}" in own, f"{name}.{key} is parsed and never read"


def test_every_key_of_every_shipped_recipe_is_one_of_the_models(tmp_path: Path) -> None:
    # A typo in any of them would be an error; that loading refuses is shown by spoiling each key in turn.
    for path in SHIPPED:
        content = yaml.safe_load(path.read_text())
        for key in content:
            spoilt = {f"{k}x" if k == key else k: v for k, v in content.items()}
            with pytest.raises(RecipeError, match=f"did you mean '{key}'"):
                parse(spoilt, origin=path.name)
