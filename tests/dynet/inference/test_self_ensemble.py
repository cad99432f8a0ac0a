"""The mean of several orientations, against turning with NumPy, by every entry point."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import dynet
from dynet import DyNet
from dynet.errors import UsageError
from dynet.inference.restore import RestoreOptions, restore_rgb
from dynet.inference.self_ensemble import average_orientations
from dynet.inference.tiling import iter_blended_rows

Command = Callable[..., tuple[int, str, str]]
Turn = Callable[[np.ndarray], np.ndarray]
GROUPS: dict[int, list[tuple[int, bool]]] = {
    1: [(0, False)],
    2: [(turns, False) for turns in (0, 2)],
    4: [(turns, False) for turns in range(4)],
    8: [(turns, mirrored) for turns in range(4) for mirrored in (False, True)],
}
"""Quarter turns, and whether rows are mirrored before, by the number of orientations."""


def turned(image: np.ndarray, turns: int, mirrored: bool) -> np.ndarray:
    """Turn (H, W, 3)."""
    return np.rot90(image[:, ::-1] if mirrored else image, turns)


def turned_back(image: np.ndarray, turns: int, mirrored: bool) -> np.ndarray:
    """Turn (H, W, 3) back."""
    upright = np.rot90(image, -turns)
    return upright[:, ::-1] if mirrored else upright


def through(network: Callable[[torch.Tensor], torch.Tensor], image: np.ndarray) -> np.ndarray:
    """Give (H, W, 3) to a network."""
    with torch.inference_mode():
        tensor = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)[None]))
        return network(tensor)[0].permute(1, 2, 0).numpy()


@pytest.fixture
def network(tiny: DyNet) -> Callable[[torch.Tensor], torch.Tensor]:
    """A network whose results depend on the orientation."""
    return lambda image: tiny(image, tiny.variants[0])


@pytest.fixture
def image(photographs: list[np.ndarray]) -> np.ndarray:
    """(37, 22, 3) in [0, 1]: the network pads both sides."""
    return (photographs[0][40:77, 50:72] / 255).astype(np.float32)


def mean_of_orientations(network: Callable[[torch.Tensor], torch.Tensor], image: np.ndarray, count: int) -> np.ndarray:
    """Pad (H, W, 3) to multiples of 8, give it to a network in each orientation, and average what comes back."""
    height, width = image.shape[:2]
    padded = np.pad(image, ((0, -height % 8), (0, -width % 8), (0, 0)), mode="reflect")
    each = [turned_back(through(network, turned(padded, *way)), *way) for way in GROUPS[count]]
    return np.mean(each, axis=0)[:height, :width].astype(np.float32)


@pytest.mark.parametrize("count", GROUPS)
def test_the_mean_is_that_of_each_orientation_by_itself(
    network: Callable[[torch.Tensor], torch.Tensor], image: np.ndarray, count: int
) -> None:
    expected = mean_of_orientations(network, image, count)
    result = through(lambda tensor: average_orientations(network, tensor, count), image)
    np.testing.assert_allclose(result, expected, atol=2e-6)


@pytest.mark.parametrize("count", [2, 4, 8])
def test_the_result_turns_with_an_image_of_whole_strides(
    network: Callable[[torch.Tensor], torch.Tensor], image: np.ndarray, count: int
) -> None:
    image = image[:32, :16]

    def averaged(pixels: np.ndarray) -> np.ndarray:
        return through(lambda tensor: average_orientations(network, tensor, count), pixels)

    for way in GROUPS[count]:
        np.testing.assert_allclose(averaged(turned(image, *way)), turned(averaged(image), *way), atol=2e-6)
    assert np.abs(through(network, image[::-1, ::-1]) - through(network, image)[::-1, ::-1]).max() > 1e-3


def test_it_helps_a_denoiser_more_the_more_orientations(
    denoiser: DyNet, noisy_photograph: np.ndarray, photographs: list[np.ndarray]
) -> None:
    variant, clean = denoiser.variants[0], photographs[1][:200, :200] / 255
    errors = []
    for count in GROUPS:
        options = RestoreOptions(model=denoiser, variants=(variant,), device=torch.device("cpu"), self_ensemble=count)
        errors.append(float(np.square(restore_rgb(noisy_photograph[:200, :200], variant, options) - clean).mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.98 * errors[0]


@pytest.mark.parametrize("count", GROUPS)
def test_tiles_are_turned_one_by_one(tiny: DyNet, image: np.ndarray, count: int) -> None:
    variant = tiny.variants[0]
    large = np.ascontiguousarray(np.tile(image, (2, 4, 1)))  # (74, 88, 3)
    options = RestoreOptions(model=tiny, variants=(variant,), device=torch.device("cpu"), tile=40, self_ensemble=count)
    result = restore_rgb(large, variant, options)

    def restored(box: tuple[int, int, int, int]) -> torch.Tensor:
        top, left, bottom, right = box
        crop = large[top:bottom, left:right]
        mean = mean_of_orientations(lambda tensor: tiny(tensor, variant), crop, count)
        return torch.from_numpy(mean.transpose(2, 0, 1)[None])

    expected = torch.cat([rows for _, rows in iter_blended_rows(restored, 74, 88, 40, 5)], dim=2)
    np.testing.assert_allclose(result, expected[0].permute(1, 2, 0).numpy(), atol=2e-6)


@pytest.mark.parametrize("count", GROUPS)
def test_progress_tells_how_much_of_all_orientations_is_done(tiny: DyNet, count: int) -> None:
    variant, seen = tiny.variants[0], list[float]()
    options = RestoreOptions(model=tiny, variants=(variant,), device=torch.device("cpu"), self_ensemble=count)
    restore_rgb(np.zeros((32, 24, 3), np.float32), variant, options, lambda _, done: seen.append(done))
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1)
    assert seen[len(seen) // count - 1] == pytest.approx(1 / count)


def every_count(command: Command, *arguments: object) -> Iterator[tuple[int, str]]:
    """Run a command with each number of orientations; yield it with what was printed."""
    for count in GROUPS:
        code, out, err = command(*arguments, "--self-ensemble", count, "--json")
        assert code == 0, err
        yield count, out


def test_every_entry_point_averages_the_same(
    tiny_weights: Path, tmp_path: Path, photographs: list[np.ndarray], dynet_command: Command
) -> None:
    pixels = photographs[2][60:109, 100:133]
    folder = tmp_path / "clean"
    folder.mkdir()
    Image.fromarray(pixels).save(folder / "a.png")
    files, arrays = {}, {}
    for count, _ in every_count(
        dynet_command, "restore", folder / "a.png", "--out", tmp_path / "out", "--weights", tiny_weights,
        "--variants", "S", "--precision", "fp32", "--overwrite",
    ):  # fmt: skip
        files[count] = np.array(Image.open(tmp_path / "out" / "a.png"))
        arrays[count] = dynet.restore(pixels, tiny_weights, "S", self_ensemble=count, precision="fp32")  # type: ignore[arg-type]
    for count in GROUPS:
        assert np.array_equal(files[count], arrays[count])
    assert len({files[count].tobytes() for count in GROUPS}) == 4
    scores = {}
    for count, out in every_count(
        dynet_command, "evaluate", "--weights", tiny_weights, "--benchmark", f"C={folder}", "--protocol", "strict",
        "--variants", "S", "--sigma", 5,
    ):  # fmt: skip
        results = json.loads(out)
        scores[count] = results["results"][1]["psnr"]["mean"]
        report = dynet.evaluate(
            tiny_weights, {"C": folder}, "strict", variants="S", sigma=5, self_ensemble=count  # type: ignore[arg-type]
        )  # fmt: skip
        assert results["self_ensemble"] == report.as_object()["self_ensemble"] == count
        assert report.as_object()["results"][1]["psnr"]["mean"] == scores[count]
        assert (f"mean of {count} orientations" in " ".join(report.as_markdown().split())) == (count > 1)
    assert len(set(scores.values())) == 4


@pytest.mark.parametrize("count", [0, 3, 16, True, 2.5, "8", None])
def test_other_numbers_are_one_clear_line(
    count: object, tiny_weights: Path, tmp_path: Path, photographs: list[np.ndarray], dynet_command: Command
) -> None:
    for call in (
        lambda: dynet.restore(photographs[0], tiny_weights, self_ensemble=count),  # type: ignore[arg-type]
        lambda: dynet.evaluate(tiny_weights, {"A": tmp_path}, self_ensemble=count),  # type: ignore[arg-type]
    ):
        with pytest.raises(UsageError, match=r"self_ensemble: .* is none of 1, 2, 4, 8"):
            call()
    if count != "8":
        command = ("restore", tmp_path, "--out", tmp_path / "out", "--self-ensemble", str(count))
        code, _, err = dynet_command(*command)
        assert code == 2
        assert "--self-ensemble" in err
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("count", GROUPS)
@pytest.mark.parametrize(("height", "width"), [(32, 48), (33, 48), (29, 47), (5, 3)])
def test_blocks_of_a_jpeg_stay_where_the_network_expects_them(height: int, width: int, count: int) -> None:
    def network(image: torch.Tensor) -> torch.Tensor:
        """Brighten the borders of blocks of 8×8, which begin at the upper left corner."""
        down, across = (torch.arange(side) % 8 for side in image.shape[-2:])
        return image + ((down % 7 == 0)[:, None] | (across % 7 == 0))

    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(average_orientations(network, image, count), network(image))


def test_it_helps_the_shipped_weights(photographs: list[np.ndarray]) -> None:
    clean = photographs[0][:96, :96].astype(float)
    noisy = np.clip(np.rint(clean + np.random.default_rng(0).normal(0, 15, clean.shape)), 0, 255).astype(np.uint8)
    once, averaged = dynet.restore(noisy), dynet.restore(noisy, self_ensemble=8)
    assert np.square(averaged - clean).mean() < np.square(once - clean).mean()
