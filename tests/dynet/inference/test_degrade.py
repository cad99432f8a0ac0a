"""`dynet degrade`: what it writes is what the page adds, for every kind; wrong arguments are one line."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dynet.degradations.registry import DEGRADATIONS
from dynet.degradations.strengths import CHOICES, AddedDegradation

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A photograph's worth of structure, 40 x 32 pixels."""
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    coarse.resize((40, 32), Image.Resampling.BICUBIC).save(tmp_path / "p.png")
    return tmp_path / "p.png"


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


@pytest.mark.parametrize("kind", CHOICES)
def test_each_kind_gives_what_the_page_gives(kind: str, picture: Path, tmp_path: Path, dynet_command: Command) -> None:
    value = CHOICES[kind].ends[1]
    code, said, err = dynet_command(
        "degrade", picture, "--out", tmp_path / "o", "--degradation", kind, "--strength", value, "--seed", 3
    )
    assert (code, said, err) == (0, f"{tmp_path / 'o' / 'p.png'}\n", "")
    expected = AddedDegradation(kind, 1.0, 3).apply(pixels(picture))
    assert np.array_equal(pixels(tmp_path / "o" / "p.png"), expected)
    assert not np.array_equal(expected, pixels(picture))


def test_without_options_it_is_noise_of_sigma_25(picture: Path, tmp_path: Path, dynet_command: Command) -> None:
    Image.fromarray(np.full((200, 200, 3), 128, np.uint8)).save(tmp_path / "grey.png")
    assert dynet_command("degrade", tmp_path / "grey.png", "--out", tmp_path / "o")[0] == 0
    assert pixels(tmp_path / "o" / "grey.png").std() == pytest.approx(25, abs=0.3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--degradation", "gausian_noise"), "did you mean 'gaussian_noise'"),
        (("--strength", "51"), "--strength 51: gaussian_noise takes 0 to 50 (σ, in levels of 8 bits)"),
        (("--strength", "nan"), "--strength nan: gaussian_noise takes 0 to 50"),
        (("--degradation", "jpeg", "--strength", "5"), "jpeg takes 10 to 60 (quality of the file)"),
        (("--seed", "-1"), "--seed"),
    ],
)
def test_wrong_options_are_one_line(
    options: tuple[str, ...], message: str, picture: Path, tmp_path: Path, dynet_command: Command
) -> None:
    code, said, err = dynet_command("degrade", picture, "--out", tmp_path / "o", *options)
    assert (code, said, err.count("\n")) == (2, "", 1)
    assert message in err
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(("mode", "colours"), [("RGB", b"RGB "), ("L", b"GRAY")])
def test_a_profile_of_colours_is_kept(tmp_path: Path, dynet_command: Command, mode: str, colours: bytes) -> None:
    profile = bytes(16) + colours + bytes(108)
    Image.new(mode, (8, 8)).save(tmp_path / "a.png", icc_profile=profile)
    assert dynet_command("degrade", tmp_path / "a.png", "--out", tmp_path / "o")[0] == 0
    kept = Image.open(tmp_path / "o" / "a.png").info.get("icc_profile")
    assert kept == (profile if mode == "RGB" else None)


def test_an_image_that_a_degradation_cannot_be_added_to_is_named(tmp_path: Path, dynet_command: Command) -> None:
    Image.new("RGB", (16_384, 1)).save(tmp_path / "long.png")
    code, said, err = dynet_command("degrade", tmp_path / "long.png", "--out", tmp_path / "o", "--degradation", "webp")
    assert (code, said) == (1, "")
    assert err == f"dynet: {tmp_path / 'long.png'}: WebP allows 16383 pixels a side, not 16384x1\n"


def test_no_file_is_replaced_unless_asked_and_no_input_is(
    picture: Path, tmp_path: Path, dynet_command: Command
) -> None:
    before = picture.read_bytes()
    assert dynet_command("degrade", picture, "--out", tmp_path)[0] == 2
    assert picture.read_bytes() == before
    assert dynet_command("degrade", picture, "--out", tmp_path / "o")[0] == 0
    code, _, err = dynet_command("degrade", picture, "--out", tmp_path / "o")
    assert (code, "already exists; --overwrite replaces it" in err) == (1, True)
    assert dynet_command("degrade", picture, "--out", tmp_path / "o", "--overwrite")[0] == 0


def test_what_dynet_degradations_lists_and_the_page_lacks_is_named(
    picture: Path, tmp_path: Path, dynet_command: Command
) -> None:
    for kind in DEGRADATIONS.keys() - CHOICES.keys():
        code, _, err = dynet_command("degrade", picture, "--out", tmp_path / "o", "--degradation", kind)
        assert (code, err.count("\n")) == (2, 1)
