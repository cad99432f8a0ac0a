import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dynet.data.layouts import find_images, find_pairs, find_task_folders
from dynet.data.pair_names import match_names
from dynet.errors import DataError

RAIN100L = Path("/work/shared/data/benchmarks/Rain100L")
BSDS500 = Path("/work/shared/data/train/BSDS500")


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Makes empty files: layouts are known by names alone. The folder's own name has spaces and other letters."""

    def make(*files: str) -> Path:
        top = tmp_path / "Мои данные 数据"
        for file in files:
            (top / file).parent.mkdir(parents=True, exist_ok=True)
            (top / file).touch()
        return top

    return make


LAYOUTS = {
    "plain": (["input/b.png", "input/a.jpg", "target/a.png", "target/b.png"], None, {"a": "target/a.png"}),
    "plain in folders": (["input/x/a.png", "target/x/a.png"], None, {"x/a": "target/x/a.png"}),
    "real noise": (["noisy/b.png", "noisy/a.jpg", "clean/a.png", "clean/b.png"], None, {"a": "clean/a.png"}),
    "real noise with gt": (["noisy/x/a.png", "gt/x/a.png"], None, {"x/a": "gt/x/a.png"}),
    "PromptIR's Derain": (
        ["rainy/rain-1.png", "rainy/rain-10.png", "gt/norain-1.png", "gt/norain-10.png"],
        "derain",
        {"rain-1": "gt/norain-1.png", "rain-10": "gt/norain-10.png"},
    ),
    "a set inside Derain": (
        ["Derain/Rain100L/rainy/rain-7.png", "Derain/Rain100L/gt/norain-7.png"],
        "derain",
        {"rain-7": "Derain/Rain100L/gt/norain-7.png"},
    ),
    "Rain100L as published": (
        ["rain/rain-001.png", "norain/norain-001.png"],
        "derain",
        {"rain-001": "norain/norain-001.png"},
    ),
    "PromptIR's Dehaze": (
        [
            *("synthetic/part1/0001_0.8_0.2.jpg", "synthetic/part2/0001_1_0.04.jpg", "synthetic/0002_0.85_0.1.jpg"),
            *("original/0001.jpg", "original/0002.jpg"),
        ],
        "dehaze",
        {
            "part1/0001_0.8_0.2": "original/0001.jpg",
            "part2/0001_1_0.04": "original/0001.jpg",
            "0002_0.85_0.1": "original/0002.jpg",
        },
    ),
    "SOTS outdoor": (["hazy/0001_0.8_0.2.jpg", "gt/0001.png"], "dehaze", {"0001_0.8_0.2": "gt/0001.png"}),
    "SOTS indoor": (["hazy/1400_1.png", "clear/1400.png"], "dehaze", {"1400_1": "clear/1400.png"}),
    "PromptIR's test of haze": (
        ["input/0001_0.8_0.2.jpg", "target/0001.png"],
        None,
        {"0001_0.8_0.2": "target/0001.png"},
    ),
    "GoPro as published": (
        [
            *("train/GOPR01/blur/000047.png", "train/GOPR01/blur_gamma/000047.png", "train/GOPR01/sharp/000047.png"),
            *("train/GOPR02/blur/000047.png", "train/GOPR02/blur_gamma/000047.png", "train/GOPR02/sharp/000047.png"),
        ],
        "deblur",
        {
            "train/GOPR01/000047": "train/GOPR01/sharp/000047.png",
            "train/GOPR02/000047": "train/GOPR02/sharp/000047.png",
        },
    ),
    "AdaIR's Deblur": (["blur/a-1.png", "sharp/a-1.png"], "deblur", {"a-1": "sharp/a-1.png"}),
    "Restormer's GoPro in Deblur": (
        ["Deblur/input/a-1.png", "Deblur/target/a-1.png"],
        "deblur",
        {"a-1": "Deblur/target/a-1.png"},
    ),
    "LOL as published": (["our485/low/2.png", "our485/high/2.png"], "lowlight", {"2": "our485/high/2.png"}),
    "AdaIR's Enhance": (["low/2.png", "gt/2.png"], "lowlight", {"2": "gt/2.png"}),
}


@pytest.mark.parametrize("swap", [False, True], ids=["", "in the other case"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_recognised_by_its_structure(name: str, swap: bool, folder: Callable[..., Path]) -> None:
    files, task, expected = LAYOUTS[name]
    case = str.swapcase if swap else str
    top = folder(*map(case, files))
    (part,) = find_task_folders(top)
    clean_of = {pair.name: pair.clean.relative_to(top).as_posix() for pair in part.pairs}
    assert part.task == task
    assert part.images == ()
    for pair, clean in expected.items():
        assert clean_of[case(pair)] == case(clean)
    degraded = [pair.degraded.relative_to(top).as_posix() for pair in find_pairs(top)]
    sides = {"input", "noisy", "rainy", "rain", "synthetic", "hazy", "blur", "low"}
    assert sorted(degraded) == sorted(file for file in map(case, files) if sides & set(file.casefold().split("/")))


def test_letter_case_of_names_and_formats_does_not_matter(folder: Callable[..., Path]) -> None:
    top = folder("Input/Éa 1.PNG", "TARGET/éA 1.jPeG")
    (pair,) = find_pairs(top)
    assert (pair.name, pair.degraded, pair.clean) == ("Éa 1", top / "Input/Éa 1.PNG", top / "TARGET/éA 1.jPeG")


def test_pairs_are_sorted_by_name(folder: Callable[..., Path]) -> None:
    names = ["a", "a b", "a/b"]
    top = folder(*(f"{side}/{name}.png" for side in ("input", "target") for name in names))
    assert [pair.name for pair in find_pairs(top)] == names


def test_the_root_of_promptir_has_a_folder_for_each_task(
    folder: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    top = folder(
        *("Denoise/a.bmp", "Denoise/sub/b.jpg", "Derain/rainy/rain-1.png", "Derain/gt/norain-1.png"),
        *("Dehaze/synthetic/1_0.8_0.2.jpg", "Dehaze/original/1.jpg", "Enhance/low/1.png", "Enhance/gt/1.png"),
        *("Deblur/input/1.png", "Deblur/target/1.png", "more.png", "notes.txt"),
    )
    parts = find_task_folders(top)
    assert [(part.folder.name, part.task, len(part.images), len(part.pairs)) for part in parts] == [
        ("Denoise", None, 2, 0),
        ("Deblur", "deblur", 0, 1),
        ("Dehaze", "dehaze", 0, 1),
        ("Derain", "derain", 0, 1),
        ("Enhance", "lowlight", 0, 1),
    ]
    assert [record.getMessage() for record in caplog.records] == [
        f"{top}: ignored 1 image outside of its pairs: more.png"
    ]


def test_images_outside_of_the_two_sides_cause_a_warning(
    folder: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    top = folder("input/1.png", "target/1.png", "beside.png", "more/b.png")
    (part,) = find_task_folders(top)
    assert len(part.pairs) == 1
    assert [record.getMessage() for record in caplog.records] == [
        f"{top}: ignored 2 images outside of its pairs: beside.png, more/b.png"
    ]


def test_clean_images_are_sorted_by_path(folder: Callable[..., Path]) -> None:
    top = folder(
        "b.JPG",
        "a/2.png",
        "a/10.png",
        "a.webp",
        "a/.hidden.png",
        ".cache/x.png",
        "x.txt",
        "a/._2.png",
        "__MACOSX/a.png",
    )
    assert [file.relative_to(top).as_posix() for file in find_images(top)] == [
        "a.webp",
        "a/10.png",
        "a/2.png",
        "b.JPG",
    ]
    (part,) = find_task_folders(top)
    assert (part.task, part.images, part.pairs) == (None, find_images(top), ())


def test_the_order_of_a_directory_listing_does_not_matter(
    folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [f"{root}/{side}/{name}.png" for root in ("p", "q") for side in ("blur", "sharp") for name in "abc"]
    top = folder(*files, "denoise/x/1.png", "denoise/y/2.png", "denoise/3.png")
    before = find_task_folders(top)
    scandir = os.scandir

    @contextmanager
    def backwards(path: Path) -> Iterator[Iterator[os.DirEntry[str]]]:
        with scandir(path) as entries:
            yield iter(sorted(entries, key=lambda entry: entry.name, reverse=True))

    monkeypatch.setattr("dynet.data.layouts.os.scandir", backwards)
    assert find_task_folders(top) == before


MISMATCHES = {
    "an input without a target": (
        ["input/a.png", "input/b.png", "target/a.png"],
        "1 image without a clean one in target/: input/b.png",
    ),
    "many, of which three are named": (
        [*(f"input/{n}.png" for n in range(9)), "target/5.png"],
        "8 images without a clean one in target/: input/0.png, input/1.png, input/2.png, …",
    ),
    "a rule that holds for some": (
        ["rainy/rain-1.png", "rainy/rain-2.png", "rainy/other.png", "gt/norain-1.png", "gt/norain-2.png"],
        "1 image without a clean one in gt/: rainy/other.png",
    ),
    "names that only begin alike": (
        ["input/a_1.png", "input/b_1.png", "target/a_1.png", "target/b.png"],
        "input/b_1.png",
    ),
    "two targets": (
        ["input/a.png", "target/a.png", "target/A.jpg"],
        "A.jpg and a.png have the same name (1 ambiguous name)",
    ),
    "two inputs": (["input/a.png", "input/a.jpg", "target/a.png"], "a.jpg and a.png have the same name"),
    "one side": (
        ["x/rainy/rain-1.png", "x/clean/norain-1.png"],
        "rainy has no clean images next to it: expected a folder gt/",
    ),
    "an empty side": (["input/a.txt", "target/a.png"], "input holds no images"),
}


@pytest.mark.parametrize("name", MISMATCHES)
def test_mismatches_are_named(name: str, folder: Callable[..., Path]) -> None:
    files, message = MISMATCHES[name]
    top = folder(*files)
    for find in (find_pairs, find_task_folders):
        with pytest.raises(DataError) as caught:
            find(top)
        assert str(caught.value).startswith(str(top))
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_clean_images_without_a_degraded_one_cause_a_warning(
    folder: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        pairs = find_pairs(folder("input/a.png", "target/a.png", "target/b.png"))
    assert [pair.name for pair in pairs] == ["a"]
    assert "1 clean image without a degraded one: target/b.png" in caplog.text


def test_only_the_pairs_of_the_given_split_are_used(
    folder: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    top = folder("LOL/our485/low/1.png", "LOL/our485/high/1.png", "LOL/eval15/low/2.png", "LOL/eval15/high/2.png")
    assert [pair.degraded.name for pair in find_pairs(top, "train")] == ["1.png"]
    assert [pair.degraded.name for pair in find_pairs(top, "test")] == ["2.png"]
    (part,) = find_task_folders(top, "train")
    assert [pair.degraded.name for pair in part.pairs] == ["1.png"]
    assert "ignored 2 images outside of its pairs: LOL/eval15/high/2.png" in caplog.text
    with pytest.raises(DataError, match="LOL has pairs for training and for testing: name one of its folders"):
        find_pairs(top)


def test_clean_images_of_all_splits_are_used(folder: Callable[..., Path]) -> None:
    top = folder("train/1.png", "test/2.png")
    assert len(find_task_folders(top, "train")[0].images) == 2


def test_a_video_is_one_scene_and_other_pairs_are_separate(folder: Callable[..., Path]) -> None:
    top = folder(*(f"{film}/{side}/{n}.png" for film in "ab" for side in ("blur", "sharp") for n in range(3)))
    assert [pair.scene for pair in find_pairs(top)] == ["a"] * 3 + ["b"] * 3
    assert {pair.scene for pair in find_pairs(top / "a")} == {""}


def test_links_are_followed_but_not_in_circles(folder: Callable[..., Path], tmp_path: Path) -> None:
    top = folder("real/input/a.png", "real/target/a.png", "set/x.txt")
    elsewhere = tmp_path / "elsewhere"
    (top / "real").rename(elsewhere)
    (top / "set/linked").symlink_to(elsewhere)
    (top / "set/circle").symlink_to(top)
    assert [pair.degraded for pair in find_pairs(top)] == [top / "set/linked/input/a.png"]
    assert len(find_images(top)) == 2


def test_a_folder_without_pairs_and_a_missing_folder_are_errors(folder: Callable[..., Path]) -> None:
    top = folder("a.png")
    with pytest.raises(DataError, match="holds no pairs: none of input/ \\+ target/"):
        find_pairs(top)
    with pytest.raises(DataError, match="missing cannot be read: No such file"):
        find_pairs(top / "missing")


def test_only_names_of_hazy_images_are_reduced_to_their_scene() -> None:
    hazy = ["0001_0.8_0.2", "0001_1_0.08", "1400_1", "x_y_0.2", "1_2_3_4"]
    matched = match_names(hazy, {"0001", "1400", "x", "1"})
    assert matched.clean_of == {"0001_0.8_0.2": "0001", "0001_1_0.08": "0001", "1400_1": "1400"}
    assert matched.unmatched == ("1_2_3_4", "x_y_0.2")


@pytest.mark.skipif(not RAIN100L.is_dir(), reason="the pictures of Rain100L are not here")
def test_rain100l_has_a_hundred_pairs() -> None:
    pairs = find_pairs(RAIN100L)
    assert len(pairs) == 100
    assert all(pair.degraded.name == pair.clean.name and pair.degraded.is_file() for pair in pairs)


@pytest.mark.skipif(not BSDS500.is_dir(), reason="the pictures of BSDS500 are not here")
def test_bsds500_has_five_hundred_clean_images() -> None:
    assert [len(part.images) for part in find_task_folders(BSDS500, "train")] == [500]


@pytest.mark.parametrize("run", ["run", "a/runs/1", "target/run"])
def test_a_training_below_its_data_adds_nothing_to_it(run: str, folder: Callable[..., Path]) -> None:
    for data in (["a/1.png", "b.jpg"], ["input/1.png", "target/1.png"]):
        top = folder(*data)
        before = find_task_folders(top, "train")
        for file in ("run.json", "config.yaml", "previews/step-00000002.png", "input/x.png", "target/x.png"):
            folder(f"{run}/{file}")
        assert find_task_folders(top, "train") == before
        assert find_task_folders(top / run, "train")  # a run that is named itself is read
        shutil.rmtree(top)
