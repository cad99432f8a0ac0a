import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from dynet.config.recipe import FinetuneRecipe, load_recipe
from dynet.data.folder_set import FolderSet
from dynet.data.hub_set import HubSet
from dynet.data.mix import Mix, TrainingTask
from dynet.data.sources import DataSource, open_mix, open_source
from dynet.data.streamed_set import StreamedSet
from dynet.errors import DataError, RecipeError

Write = Callable[[Path, list[np.ndarray]], None]
PIPELINES = Path(__file__).parents[3] / "pipelines"
RAIN100L = Path("/work/shared/data/benchmarks/Rain100L")
BSDS500 = Path("/work/shared/data/train/BSDS500")


def task(name: str, *, pairs: bool = False) -> TrainingTask:
    return TrainingTask(name=name, weight=1.0, degrade=None if pairs else lambda image, random: image)


TASKS = [task("denoise15"), task("denoise50"), task("derain", pairs=True), task("dehaze", pairs=True)]


def save(*files: Path, size: int = 20) -> None:
    for number, file in enumerate(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (size, size), (number, number, number)).save(file)


def mix_of(
    *arguments: str | Path, tasks: list[TrainingTask] = TASKS, hold_out: int = 0, exclude: tuple[str, ...] = ()
) -> Mix:
    sources = [DataSource.parse(str(argument)) for argument in arguments]
    return open_mix(tasks, sources, seed=0, hold_out=hold_out, exclude=exclude, stream=False, cache=Path("unused"))


def opened(argument: str | Path, tmp_path: Path, *, stream: bool = False) -> list:
    return open_source(DataSource.parse(str(argument)), stream=stream, cache=tmp_path / "cache")


@pytest.fixture
def promptir(tmp_path: Path) -> Path:
    """PromptIR's folder with two images for each task."""
    root = tmp_path / "Train"
    for n in (1, 2):
        save(root / f"Denoise/{n}.png")
        save(root / f"Derain/rainy/rain-{n}.png", root / f"Derain/gt/norain-{n}.png")
        save(root / f"Dehaze/synthetic/{n}_0.8_0.2.png", root / f"Dehaze/original/{n}.png")
    return root


@pytest.mark.parametrize(
    ("argument", "location", "weight", "named"),
    [
        ("set", "set", 1, None),
        ("set=3", "set", 3, None),
        ("derain:some/dir=0.5", "some/dir", 0.5, "derain"),
        ("low-light:/abs/a b", "/abs/a b", 1, "low-light"),
        ("org/name=2", "org/name", 2, None),
        ("derain:org/name", "org/name", 1, "derain"),
        ("hf://datasets/org/name", "hf://datasets/org/name", 1, None),
        (r"C:\data", r"C:\data", 1, None),
        ("./a:b", "./a:b", 1, None),
        ("rain:a:b", "a:b", 1, "rain"),
    ],
)
def test_a_source_has_a_location_a_task_and_a_weight(
    argument: str, location: str, weight: float, named: str | None
) -> None:
    assert DataSource.parse(argument) == DataSource(location, weight, named)


@pytest.mark.parametrize("argument", ["d=1e10", "d=1e308", "x=", "x=a", "x=0", "x=-1", "x=nan", "x=inf"])
def test_an_invalid_weight_is_an_error(argument: str) -> None:
    with pytest.raises(DataError, match="weight"):
        DataSource.parse(argument)


@pytest.mark.parametrize("argument", ["", "=2"])
def test_a_missing_location_is_an_error(argument: str) -> None:
    with pytest.raises(DataError, match="names neither a folder nor a dataset"):
        DataSource.parse(argument)


def test_the_content_of_a_folder_decides_how_it_is_read(tmp_path: Path, data_set: Path, promptir: Path) -> None:
    (built,) = opened(data_set, tmp_path)
    (streamed,) = opened(f"denoise15:{data_set}", tmp_path, stream=True)
    assert isinstance(built, HubSet)
    assert isinstance(streamed, StreamedSet)
    assert (len(built), built.task, len(streamed), streamed.task) == (12, None, 12, "denoise15")
    for stream in (False, True):
        parts = opened(promptir, tmp_path, stream=stream)
        assert all(isinstance(part, FolderSet) for part in parts)
        assert [(part.task, part.paired) for part in parts] == [(None, False), ("dehaze", True), ("derain", True)]


def test_images_are_read_as_they_were_written(data_set: Path, photographs: list[np.ndarray]) -> None:
    written = [photo[y : y + 128, 100:228].tobytes() for photo in photographs for y in (0, 80, 160)]
    (images,) = open_source(DataSource(str(data_set)), stream=False, cache=Path("unused"))
    found = [images.crop(row, 128, np.random.default_rng(0)).clean.tobytes() for row in range(12)]
    assert found == written


def test_a_streamed_dataset_has_the_same_rows_as_a_whole_one(tmp_path: Path, data_set: Path) -> None:
    whole, streamed = (opened(data_set, tmp_path, stream=stream)[0] for stream in (False, True))
    for row in range(12):
        cuts = [images.crop(row, 50, np.random.default_rng(row)).clean for images in (whole, streamed)]
        assert np.array_equal(*cuts)


def test_the_root_of_promptir_serves_noise_rain_and_haze(promptir: Path) -> None:
    mix = mix_of(promptir)
    assert {mix.example(step, 0, 16).task for step in range(60)} == {0, 1, 2, 3}


def test_folders_without_a_task_in_the_recipe_are_ignored_with_a_warning(
    promptir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        mix_of(promptir, tasks=TASKS[:3])
    assert [record.getMessage() for record in caplog.records] == [
        f"--data {promptir}: the recipe has no task for {promptir / 'Dehaze'}"
    ]


def test_a_source_without_a_task_is_an_error_that_lists_the_tasks(promptir: Path) -> None:
    wanted = "denoise15 (of clean images), denoise50 (of clean images), derain (of pairs), dehaze (of pairs)"
    for argument, what in (
        (f"noise:{promptir / 'Denoise'}", "clean images for task noise"),
        (f"rain:{promptir / 'Derain'}", "pairs for task rain"),
        (f"derain:{promptir / 'Denoise'}", "clean images for task derain"),
    ):
        with pytest.raises(DataError) as caught:
            mix_of(promptir, argument)
        assert str(caught.value).endswith(f"holds {what}, but the recipe's tasks are {wanted}")


@pytest.mark.parametrize("name", ["missing", "empty", "texts", "none"])
def test_a_location_that_is_no_dataset_is_a_one_line_error(name: str, tmp_path: Path, write_patches: Write) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("not pictures")
    write_patches(tmp_path / "none", [])
    with pytest.raises(DataError) as caught:
        opened(tmp_path / name, tmp_path)
    assert str(caught.value).startswith(f"--data {tmp_path / name}")
    assert "\n" not in str(caught.value)


def test_mismatched_pairs_are_an_error_that_names_the_argument(promptir: Path, tmp_path: Path) -> None:
    (promptir / "Derain/gt/norain-2.png").unlink()
    with pytest.raises(DataError) as caught:
        opened(promptir, tmp_path)
    assert str(caught.value) == f"--data {promptir}/Derain: 1 image without a clean one in gt/: rainy/rain-2.png"


def test_the_fingerprint_depends_on_images_and_weights_but_not_on_the_folder(
    tmp_path: Path, write_patches: Write
) -> None:
    patches = [np.full((16, 16, 3), value, np.uint8) for value in (0, 9)]
    write_patches(tmp_path / "a", patches)
    write_patches(tmp_path / "b", patches)
    write_patches(tmp_path / "more", [*patches, patches[0]])
    fingerprints = {name: mix_of(tmp_path / name, tasks=TASKS[:1]).fingerprint() for name in ("a", "b", "a=2", "more")}
    assert fingerprints["a"] == fingerprints["b"]
    assert len(set(fingerprints.values())) == 3


def test_images_from_listed_files_are_not_used(tmp_path: Path) -> None:
    save(*(tmp_path / "set" / name for name in ("a.png", "B.jpg", "c.png", "sub/A.png", "no#2.png")))
    listed = tmp_path / "list.txt"
    listed.write_text("# two of them\nb   # in the other case\n\n  a\nno#2\n", encoding="utf-8")
    mix = mix_of(tmp_path / "set", tasks=TASKS[:1], exclude=(str(listed),))
    levels = {int(mix.example(step, 0, 16).clean.mean()) for step in range(40)}
    assert levels == {2}


@pytest.mark.parametrize("content", [None, b"# nothing\n", b"\xff\xfe\xff"])
def test_an_unusable_list_is_an_error(content: bytes | None, tmp_path: Path, data_set: Path) -> None:
    file = tmp_path / "list.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(RecipeError, match=r"exclude: .*list\.txt (cannot be read|lists nothing)"):
        mix_of(data_set, tasks=TASKS[:1], exclude=(str(file),))


def test_the_shipped_list_has_the_images_that_the_comparison_of_pixels_found() -> None:
    found = json.loads((PIPELINES.parent / "benchmarks/results/leaks.json").read_text())
    parts = [
        part for test in ("Rain100L", "CBSD68") for name, part in found[test].items() if name.startswith("BSDS500")
    ]
    lines = (PIPELINES / "bsds500_test_pictures.txt").read_text().splitlines()
    listed = [line for line in lines if line and not line.startswith("#")]
    assert len(listed) == 67 + 68
    assert set(listed) == {Path(name).stem for part in parts for name in part}


@pytest.mark.parametrize(("name", "crops"), [("3task", 142_431), ("5task", 162_646), ("noise", 46_296)])
def test_weights_and_steps_are_the_published_crops_of_120_epochs(name: str, crops: int) -> None:
    recipe = load_recipe(PIPELINES / f"dynet_finetune_{name}.yaml", "finetune")
    assert isinstance(recipe, FinetuneRecipe)
    weights = {name: task.weight for name, task in recipe.tasks.items()}
    published = {"derain": 200 * 120, "dehaze": 72_135, "deblur": 2_103 * 5, "lowlight": 485 * 20}
    assert sum(weights.values()) == crops
    assert all(weights[f"denoise{sigma}"] == (4_744 + 400) * 3 for sigma in (15, 25, 50))
    assert all(weight == published[task] for task, weight in weights.items() if "noise" not in task)
    assert abs(recipe.steps - crops * 120 / 32) <= 0.5
    assert abs(recipe.warmup_steps - crops * 15 / 32) <= 0.5


@pytest.mark.parametrize("name", ["3task", "5task"])
def test_the_strict_recipe_differs_only_in_its_exclusions(name: str) -> None:
    published, strict = (
        yaml.safe_load((PIPELINES / f"dynet_finetune_{name}{form}.yaml").read_text()) for form in ("", "_strict")
    )
    assert strict == published | {"exclude": ["bsds500_test_pictures.txt"]}


@pytest.mark.skipif(not BSDS500.is_dir(), reason="the pictures of BSDS500 are not here")
def test_the_strict_recipe_excludes_the_test_images_of_bsds500(caplog: pytest.LogCaptureFixture) -> None:
    recipe = load_recipe(PIPELINES / "dynet_finetune_3task_strict.yaml", "finetune")
    with caplog.at_level(logging.INFO, "dynet"):
        mix = mix_of(BSDS500, tasks=TASKS[:1], exclude=recipe.exclude)
    assert "excludes 135 images" in caplog.text
    assert mix.fingerprint() != mix_of(BSDS500, tasks=TASKS[:1]).fingerprint()


@pytest.mark.skipif(not RAIN100L.is_dir(), reason="the pictures of Rain100L are not here")
def test_real_pairs_are_the_same_scene() -> None:
    mix = mix_of(f"derain:{RAIN100L}", tasks=TASKS[2:3], hold_out=8)
    held_out = mix.validation(0, 128)
    assert len(held_out) == 8
    for example in [*held_out, *(mix.example(step, 0, 128) for step in range(8))]:
        squared = (example.degraded.astype(float) - example.clean) ** 2
        assert 15 < 10 * np.log10(255**2 / squared.mean()) < 45


@pytest.mark.parametrize("name", ["nopics", "./nopics", "missing/folder/"])
def test_a_name_that_is_no_folder_and_no_repository_is_an_error_at_once(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "missing").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dynet.data.sources.HubSet.open", lambda *_: pytest.fail("the Hub was asked"))
    with pytest.raises(DataError, match=f"--data {name}: no such folder; a dataset on the Hub is user/name"):
        open_source(DataSource(name), stream=False, cache=tmp_path)
