"""Marks that many images of a source have at one place: found with nothing but the thumbnails of the ledger."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

import million_ird
from million_ird.decide import shared_marks
from million_ird.decide.shared_marks import FEWEST, find_shared_marks
from million_ird.measures.view import SIDE, VIEW, encode_thumbnail
from tests.million_ird.scenes import ledger_rows, make, recipe

Pixels = NDArray[np.uint8]
WIDTH, HEIGHT = 240, 160


def scene(seed: int, width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    """Return ellipses of any size and colour, one over the other, with noise: another scene for every seed."""
    random = np.random.default_rng(seed)
    image = np.full((height, width, 3), random.integers(0, 256, 3), np.uint8)
    for _ in range(150):
        centre = (int(random.integers(width)), int(random.integers(height)))
        axes = tuple(int(one) for one in width / random.uniform(4, 40, 2))
        colour = tuple(int(one) for one in random.integers(0, 256, 3))
        cv2.ellipse(image, centre, axes, float(random.uniform(0, 180)), 0, 360, colour, -1)
    return np.clip(image + random.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def star(side: int) -> NDArray[np.float32]:
    corners = [(side / 2) * (1 + (1 if k % 2 else 0.4) * np.exp(1j * np.pi * k / 5)) for k in range(10)]
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [np.array([(one.real, one.imag) for one in corners], np.int32)], 255)
    return mask.astype(np.float32) / 255


def rings(side: int) -> NDArray[np.float32]:
    mask = np.zeros((side, side), np.uint8)
    for radius in (0.45, 0.3, 0.15):
        cv2.circle(mask, (side // 2, side // 2), int(radius * side), 255, max(1, side // 14))
    return mask.astype(np.float32) / 255


def marked(image: Pixels, place: str, opacity: float, shape: Callable[[int], NDArray[np.float32]] = star) -> Pixels:
    """Return an image with a white mark of a sixth of its width in a corner, or of a quarter in the middle."""
    height, width = image.shape[:2]
    side = width // (4 if place == "middle" else 6)
    mask, gap = shape(side)[..., None] * opacity, width // 40
    rows = {"top": gap, "bottom": height - side - gap}.get(place.split()[0], (height - side) // 2)
    columns = {"left": gap, "right": width - side - gap}.get(place.split()[-1], (width - side) // 2)
    result = image.astype(np.float32)
    part = result[rows : rows + side, columns : columns + side]
    part[:] = part * (1 - mask) + 255 * mask
    return np.rint(result).astype(np.uint8)


def row(number: int, image: Pixels | None, source: str = "site", uri: str = "") -> dict[str, object]:
    """Return a row of a scan as deciding reads it."""
    digits = f"{np.random.default_rng(number).integers(1 << 62):016x}"
    height, width = (HEIGHT, WIDTH) if image is None else image.shape[:2]
    view = None if image is None else np.zeros((), VIEW).tobytes() + encode_thumbnail(image)
    keys = {"key": digits[::-1] * 2, "phash": digits, "view": view}
    return {**keys, "source": source, "uri": uri or f"{number}.jpg", "width": width, "height": height}


COLUMNS = {
    "key": pa.string(),
    "phash": pa.string(),
    "view": pa.binary(),
    "source": pa.string(),
    "uri": pa.string(),
    "width": pa.int32(),
    "height": pa.int32(),
}


def find(rows: Sequence[dict[str, object]], batch: int = 1000, selected: NDArray[np.bool_] | None = None) -> set[int]:
    table = pa.Table.from_pylist(list(rows), pa.schema(COLUMNS))

    def batches(names: Sequence[str]) -> Iterator[pa.Table]:
        for start in range(0, table.num_rows, batch):
            yield table.select(list(names)).slice(start, batch)

    found, clearness = find_shared_marks(batches, np.ones(len(rows), bool) if selected is None else selected)
    assert np.all(clearness >= 2.5)
    assert np.array_equal(found, np.unique(found))
    return set(found.tolist())


@pytest.fixture(scope="module")
def scenes() -> list[Pixels]:
    return [scene(seed) for seed in range(128)]


@pytest.mark.parametrize(
    ("place", "opacity", "shape", "with_mark"),
    [
        ("bottom right", 0.5, star, 128),
        ("bottom left", 0.5, rings, 96),
        ("top right", 0.35, rings, 128),
        ("top left", 0.8, star, 80),
        ("middle", 0.35, star, 128),
        ("middle", 0.6, rings, 80),
    ],
)
def test_a_mark_is_found_at_any_place_and_only_where_it_is(
    scenes: list[Pixels], place: str, opacity: float, shape: Callable[[int], NDArray[np.float32]], with_mark: int
) -> None:
    images = [marked(one, place, opacity, shape) if i < with_mark else one for i, one in enumerate(scenes)]
    found = find([row(i, one) for i, one in enumerate(images)])
    assert len(found & set(range(with_mark))) >= 0.9 * with_mark
    assert len(found - set(range(with_mark))) <= 1


def test_images_of_other_proportions_have_the_mark_at_the_same_corner() -> None:
    heights = np.random.default_rng(0).integers(130, 240, 96)
    images = [marked(scene(500 + i, WIDTH, int(height)), "bottom right", 0.6) for i, height in enumerate(heights)]
    assert len(find([row(i, one) for i, one in enumerate(images)])) >= 0.9 * len(images)


@pytest.mark.parametrize("count", [FEWEST, 64, 96, 128])
def test_scenes_without_a_mark_have_none(scenes: list[Pixels], count: int) -> None:
    for start in (0, 128 - count):
        assert not find([row(i, one) for i, one in enumerate(scenes[start : start + count])])


def test_the_order_of_the_rows_and_the_size_of_the_batches_change_nothing(
    scenes: list[Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [marked(one, "bottom right", 0.4) if i % 3 else one for i, one in enumerate(scenes)]
    rows = [row(i, one, f"site {i % 2}") for i, one in enumerate(images)]
    expected = find(rows)
    assert len(expected) > 60
    order = np.random.default_rng(1).permutation(len(rows))
    monkeypatch.setattr(shared_marks, "_GROUPS_AT_ONCE", 1)
    assert {int(order[i]) for i in find([rows[i] for i in order], batch=17)} == expected


def test_each_source_host_and_orientation_is_judged_by_its_own_images(scenes: list[Pixels]) -> None:
    images = [marked(one, "bottom right", 0.6) for one in scenes]
    few = FEWEST - 1
    hosts = ["https://a.example/{}.jpg"] * 64 + ["https://b.example/{}.jpg"] * few + ["https://c.example/{}.jpg"] * 17
    rows = [row(i, one, uri=uri.format(i)) for i, (one, uri) in enumerate(zip(images, hosts, strict=True))]
    found = find(rows)
    assert len(found & set(range(64))) >= 58
    assert not found - set(range(64))
    upright = [row(i, np.ascontiguousarray(np.rot90(one))) for i, one in enumerate(images[:few])]
    assert not find([*upright, *(row(200 + i, one) for i, one in enumerate(images[few : 2 * few]))])


def test_copies_of_one_image_have_one_vote(scenes: list[Pixels]) -> None:
    twelve = [row(i, one) for i, one in enumerate(scenes[:12])]
    assert not find([{**one, "key": f"{k}{i:031x}"} for k in range(8) for i, one in enumerate(twelve)])


def test_rows_that_are_not_selected_neither_vote_nor_fall(scenes: list[Pixels]) -> None:
    rows = [row(i, marked(one, "top left", 0.6)) for i, one in enumerate(scenes)]
    few = np.arange(len(rows)) < FEWEST - 1
    assert not find(rows, selected=few)
    half = np.arange(len(rows)) < 64
    found = find(rows, selected=half)
    assert len(found) >= 58
    assert max(found) < 64


def test_a_camera_that_stands_still_is_no_mark() -> None:
    random = np.random.default_rng(0)
    still = []
    for i in range(96):
        image = cv2.convertScaleAbs(scene(7), alpha=random.uniform(0.6, 1.1), beta=random.uniform(-20, 30))
        cv2.circle(image, tuple(int(one) for one in random.integers(20, 140, 2)), 14, (200, 30, 30), -1)
        still.append(row(i, np.asarray(image, np.uint8)))
    assert not find(still)


@pytest.mark.parametrize("size", [1.0, 0.6, 0.4])
@pytest.mark.parametrize("apart", [0.75, 1.5])
def test_aligned_faces_have_no_mark(scenes: list[Pixels], size: float, apart: float) -> None:
    assert not find([row(i, face(one, i, size, apart)) for i, one in enumerate(scenes)])


def face(image: Pixels, seed: int, size: float, apart: float) -> Pixels:
    """Return a drawing of a face before a scene; its parts are at one place within some pixels of a thumbnail."""
    random = np.random.default_rng(seed)
    side, shifts = 4 * SIDE, 4 * apart
    large = cv2.resize(image, (side, side))

    def at(x: float, y: float) -> tuple[int, int]:
        places = [side / 2 + (2 * one - side / 2) * size + random.normal(0, shifts) for one in (x, y)]
        return int(places[0]), int(places[1])

    def px(length: float) -> int:
        return max(1, int(2 * length * size))

    skin = random.uniform(90, 230)
    head = px(random.uniform(62, 72)), px(88)
    cv2.ellipse(large, at(112, 116), head, 0, 0, 360, (skin, skin * 0.8, skin * 0.7), -1)
    for x in (84, 140):
        cv2.ellipse(large, at(x, 100), (px(13), px(6)), 0, 0, 360, (240, 240, 240), -1)
        cv2.circle(large, at(x, 100), px(5), (40, 30, 20), -1)
        cv2.line(large, at(x - 14, 84), at(x + 14, 84), (50, 40, 30), px(4))
    cv2.line(large, at(112, 108), at(106, 136), (skin * 0.6, skin * 0.5, skin * 0.4), px(3))
    cv2.ellipse(large, at(112, 164), (px(24), px(7)), 0, 0, 360, (150, 50, 60), -1)
    return np.asarray(cv2.GaussianBlur(large, (0, 0), 1.5), np.uint8)


def test_rows_without_a_thumbnail_are_left_alone(scenes: list[Pixels]) -> None:
    rows = [row(i, marked(one, "bottom right", 0.6)) for i, one in enumerate(scenes)]
    rows += [
        row(500, None),
        {**row(501, None), "view": b"no view"},
        row(502, scene(3, 400, 60)),
        row(503, scene(3, 6, 4)),
    ]
    rows.append({**row(504, None), "width": None, "height": None, "phash": None})
    found = find(rows)
    assert len(found) >= 115
    assert max(found) < 128
    assert not find([])


def test_a_build_drops_marked_images_and_keeps_the_copy_without(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(FEWEST + 4):
        image = marked(scene(number), "bottom right", 0.7)
        cv2.imwrite(str(source / f"{number:03d}.png"), image)
    cv2.imwrite(str(source / "clean.png"), scene(0))
    out = tmp_path / "out"
    assert "shared_mark" not in make(source, out, recipe(gates=[])).funnel.dropped
    result = make(source, out, recipe(gates=[], shared_marks="drop"))
    rows = ledger_rows(out)
    dropped = {name for name, one in rows.items() if one["reason"] == "shared_mark"}
    assert result.funnel.dropped["shared_mark"] == len(dropped) >= FEWEST
    assert all(isinstance(rows[name]["measured"], float) for name in dropped)
    assert rows["clean.png"]["verdict"] == "kept"
    assert "shared_mark" in (out / "report" / "index.html").read_text()
    told = million_ird.explain(str(out), sorted(dropped)[0]).text
    assert "dropped: shared_mark: has a mark that many images of its source have at the same place" in told
    assert "shared_marks: drop" in (out / "recipe.yaml").read_text()
    report = million_ird.verify(str(out))
    assert not report.faults
