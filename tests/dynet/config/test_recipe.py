from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from dynet.config.recipe import PretrainRecipe, load_recipe
from dynet.config.shipped_recipes import find_recipe
from dynet.errors import RecipeError

SHIPPED = sorted(
    path for path in (Path(__file__).parents[3] / "pipelines").glob("*.yaml") if "stage:" in path.read_text()
)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_recipe_is_valid(path: Path) -> None:
    stage = yaml.safe_load(path.read_text())["stage"]
    recipe = load_recipe(path, stage)
    assert recipe.sampler().variants[0].name in ("XS", "S", "L")
    again = yaml.safe_load(yaml.safe_dump(recipe.model_dump(mode="json")))
    assert type(recipe).model_validate(again) == recipe


def test_the_setting_of_the_paper() -> None:
    recipe = load_recipe(find_recipe("dynet_pretrain.yaml"), "pretrain")
    assert isinstance(recipe, PretrainRecipe)
    assert (recipe.crop, recipe.batch, recipe.learning_rate, recipe.steps) == (128, 32, 1e-4, 1_000_000)
    assert (recipe.corruption.share, recipe.mask.share) == (0.5, 0.3)
    assert recipe.network.dim == 48
    assert {name: entry.schedule for name, entry in recipe.variants.items()} == {"S": (2, 3, 3, 4), "L": (4, 6, 6, 8)}


def _fault(tmp_path: Path, text: str, stage: str = "pretrain", steps: int | None = None) -> str:
    file = tmp_path / "r.yaml"
    file.write_text(text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(file, stage, steps)
    message = str(caught.value)
    assert "\n" not in message
    assert "r.yaml" in message
    return message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"learning_rat": 1}, "unknown key 'learning_rat'; the nearest valid one is 'learning_rate'"),
        ({"mask": {"shar": 0.3, "cell": 4}}, "unknown key 'mask.shar'; the nearest valid one is 'share'"),
        ({"network": {"dimm": 8}}, "unknown key 'network.dimm'; the nearest valid one is 'dim'"),
        (
            {"variants": {"S": {"schedul": [1, 1, 1, 1], "probability": 1}}},
            "unknown key 'variants.S.schedul'; the nearest valid one is 'schedule'",
        ),
        (
            {"corruption": {"share": 0.5, "cell": 4, "degradations": [{"kind": "jpeg", "qualty": 3}]}},
            "unknown key 'corruption.degradations.0.qualty'; the nearest valid one is 'quality'",
        ),
        ({"crop": 8}, "crop:"),
        ({"batch": 0}, "batch:"),
        ({"network": {"dim": 7}}, "network: dim"),
        ({"network": {"dim": 8, "heads": [3, 2, 4, 8]}}, "network: heads"),
        ({"variants": {"a,b": {"schedule": [1, 1, 1, 1], "probability": 1}}}, "name"),
        (
            {"corruption": {"share": 0.5, "cell": 4, "degradations": [{"kind": "gaussian_noise", "sigma": [50, 5]}]}},
            "sigma",
        ),
        ({"corruption": {"share": 0.5, "cell": 4, "degradations": [{"kind": "snow"}]}}, "corruption.degradations.0"),
        ({"stage": "finetune"}, "is a recipe for stage 'finetune'"),
        ({"larger_crops": [{"from_step": 4, "crop": 32}]}, "larger_crops.0.batch"),
        (
            {"larger_crops": [{"from_step": step, "crop": 32, "batch": 2} for step in (4, 4)]},
            "order of their from_step",
        ),
        ({"validation": {"evry": 3}}, "unknown key 'validation.evry'; the nearest valid one is 'every'"),
        ({"policy": "sandwhich"}, "policy"),
        ({"ema": 1.0}, "ema"),
        ({"learning_rate": float("inf")}, "learning_rate"),
        ({"workers": 10**9}, "workers"),
        ({"batch": "3"}, "batch"),
        ({"compile": 1}, "compile"),
        (
            {"variants": {"mask": {"schedule": [1, 1, 1, 1], "probabilty": 1}}},
            "unknown key 'variants.mask.probabilty'; the nearest valid one is 'probability'",
        ),
        ({"exclude": ["no_such_list.txt"]}, "exclude: no_such_list.txt"),
    ],
    ids=str,
)
def test_a_wrong_key_or_value_is_named_in_one_line(
    tmp_path: Path, recipe_text: Callable[..., str], change: dict[str, object], said: str
) -> None:
    assert said in _fault(tmp_path, recipe_text("pretrain", **change))


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"weight": 1}, "tasks.rain: a task has either degradations or pairs: true"),
        ({"pairs": True, "degradations": [{"kind": "jpeg", "quality": 9}]}, "either"),
        ({"pairs": True, "wieght": 3}, "unknown key 'tasks.rain.wieght'; the nearest valid one is 'weight'"),
        ({"degradations": [{"kind": "jpeg", "quality": 300}]}, "quality"),
    ],
)
def test_a_task_says_where_its_input_comes_from(
    tmp_path: Path, recipe_text: Callable[..., str], task: dict[str, object], said: str
) -> None:
    assert said in _fault(tmp_path, recipe_text("finetune", tasks={"rain": task}), "finetune")


@pytest.mark.parametrize(
    "task",
    [
        {"pairs": True},
        {"degradations": [{"kind": "gaussian_noise", "sigma": 1}]},
        {"degradations": [{"kind": "none"}, {"kind": "jpeg", "quality": 95}]},
    ],
)
def test_a_task_named_clean_has_clean_input(
    tmp_path: Path, recipe_text: Callable[..., str], task: dict[str, object]
) -> None:
    assert "tasks.clean: the name means clean input" in _fault(
        tmp_path, recipe_text("finetune", tasks={"clean": task}), "finetune"
    )
    (tmp_path / "r.yaml").write_text(recipe_text("finetune", tasks={"clean": {"degradations": [{"kind": "none"}]}}))
    load_recipe(tmp_path / "r.yaml", "finetune")


def test_larger_crops_start_at_their_steps(tmp_path: Path, recipe_text: Callable[..., str]) -> None:
    phases = [{"from_step": 3, "crop": 24, "batch": 6}, {"from_step": 5, "crop": 32, "batch": 4}]
    (tmp_path / "r.yaml").write_text(recipe_text("pretrain", crop=16, batch=8, larger_crops=phases))
    recipe = load_recipe(tmp_path / "r.yaml", "pretrain")
    sizes = [(16, 8)] * 3 + [(24, 6)] * 2 + [(32, 4)] * 2
    assert [recipe.size_schedule(step) for step in range(7)] == sizes


def test_a_list_is_found_next_to_the_recipe_or_among_the_shipped_ones(
    tmp_path: Path, recipe_text: Callable[..., str]
) -> None:
    (tmp_path / "mine.txt").write_text("12003\n")
    (tmp_path / "r.yaml").write_text(recipe_text("pretrain", exclude=["mine.txt", "bsds500_test_pictures.txt"]))
    mine, shipped = map(Path, load_recipe(tmp_path / "r.yaml", "pretrain").exclude)
    assert mine == tmp_path / "mine.txt"
    assert shipped.parent.name == "pipelines"


def test_a_repeated_key_is_an_error(tmp_path: Path, recipe_text: Callable[..., str]) -> None:
    assert "key 'crop' is repeated" in _fault(tmp_path, recipe_text("pretrain") + "crop: 64\n")


@pytest.mark.parametrize("text", ["", "- a", "a: [", "just words"])
def test_a_file_that_is_no_recipe_is_an_error(tmp_path: Path, text: str) -> None:
    _fault(tmp_path, text)


def test_a_warm_up_longer_than_the_run_is_an_error(tmp_path: Path, recipe_text: Callable[..., str]) -> None:
    assert "warmup_steps (2)" in _fault(tmp_path, recipe_text("finetune"), "finetune", steps=2)


def test_a_bare_name_finds_the_shipped_recipe_unless_there_is_such_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_recipe("demo_pretrain.yaml").parent.name == "pipelines"
    (tmp_path / "demo_pretrain.yaml").write_text("mine")
    assert find_recipe("demo_pretrain.yaml").read_text() == "mine"
    for missing in ("no_such.yaml", "elsewhere/demo_pretrain.yaml"):
        with pytest.raises(RecipeError, match="no such recipe"):
            find_recipe(missing)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("2020-13-45", "line 2"),
        ("1" * 5000, "line 2"),
        ("0b_", "line 2"),
        ("!!int abc", "line 2"),
        ("!!float '_'", "line 2"),
        ("!!bool foo", "line 2"),
        ("!!timestamp foo", "line 2"),
        ("[" * 3000 + "]" * 3000, "nested too deeply"),
    ],
)
def test_a_value_that_pyyaml_cannot_make_is_one_line(tmp_path: Path, value: str, said: str) -> None:
    assert said in _fault(tmp_path, f"stage: pretrain\nwandb: {value}\n")
