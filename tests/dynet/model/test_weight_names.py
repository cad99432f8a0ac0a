"""Weights that come with the package: which name means which folder, and that the folder travels."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from dynet import DyNet
from dynet.errors import WeightsError
from dynet.model import shipped_weights
from dynet.model.shipped_weights import SHIPPED, find_shipped, shipped_names
from dynet.model.weights import FILE_NAME, locate_weights

ROOT = Path(__file__).parents[3]
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The folders of weights in a wheel and in a checkout, both empty; the working folder is another one."""
    found = tmp_path / "wheel", tmp_path / "checkout"
    monkeypatch.setattr(shipped_weights, "_places", lambda: found)
    monkeypatch.setattr("dynet.model.weights.download", lambda *_: pytest.fail("the Hub was asked"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return found


def put(model: DyNet, folder: Path) -> Path:
    """Save weights as shipped ones are kept, and return their file."""
    model.save_pretrained(folder)
    return folder / FILE_NAME


def test_places_are_those_of_a_wheel_and_of_this_checkout() -> None:
    assert shipped_weights._places() == (ROOT / "dynet" / "weights", ROOT / "weights")


def test_a_name_is_found_in_the_wheel_or_else_in_the_checkout(tiny: DyNet, places: tuple[Path, Path]) -> None:
    assert find_shipped("laptop") is None
    in_checkout = put(tiny, places[1] / "dynet-laptop")
    assert locate_weights("laptop") == in_checkout
    in_wheel = put(tiny, places[0] / "dynet-laptop")
    assert locate_weights("laptop") == in_wheel
    assert find_shipped("dynet-laptop") is None  # the folder is not the name
    assert find_shipped("..") is None


def test_a_folder_with_a_card_and_no_weights_is_not_shipped(places: tuple[Path, Path]) -> None:
    (places[0] / "dynet-laptop").mkdir(parents=True)
    (places[0] / "dynet-laptop" / "README.md").write_text("soon")
    assert shipped_names() == ()
    with pytest.raises(WeightsError, match="'laptop': no such file or folder"):
        locate_weights("laptop")


def test_what_exists_at_the_path_comes_first(tiny: DyNet, places: tuple[Path, Path]) -> None:
    put(tiny, places[0] / "dynet-laptop")
    own = put(tiny, Path("laptop"))
    assert locate_weights("laptop") == own
    own.unlink()
    with pytest.raises(WeightsError, match=r"laptop holds no weights\.safetensors"):  # the user's folder is meant
        locate_weights("laptop")


def test_an_unknown_name_is_answered_with_the_names_there_are(tiny: DyNet, places: tuple[Path, Path]) -> None:
    with pytest.raises(WeightsError) as before:
        locate_weights("labtop")
    assert str(before.value) == "'labtop': no such file or folder; a model on the Hub is named user/name"
    put(tiny, places[1] / "dynet-laptop")
    with pytest.raises(WeightsError) as after:
        locate_weights("labtop")
    assert str(after.value) == "'labtop': no such file or folder (did you mean 'laptop', which comes with the package?)"
    with pytest.raises(WeightsError, match=r"named user/name, shipped weights laptop$"):
        locate_weights("mine")
    with pytest.raises(WeightsError, match=r"'no/such/place': no such file or folder$"):
        locate_weights("no/such/place")


def test_every_command_and_python_take_the_name(
    tiny: DyNet, places: tuple[Path, Path], dynet_command: Command, tmp_path: Path
) -> None:
    """`demo` loads by the same function as `restore` and `evaluate`."""
    put(tiny, places[0] / "dynet-laptop")
    loaded = DyNet.from_pretrained("laptop").state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tiny.state_dict().items())
    (tmp_path / "in").mkdir()
    Image.new("RGB", (40, 32), (90, 120, 150)).save(tmp_path / "in" / "a.png")
    own = ("--weights", "laptop", "--device", "cpu")
    for arguments in (
        ("restore", tmp_path / "in", "--out", tmp_path / "restored", *own),
        (
            "evaluate",
            "--protocol",
            "strict",
            "--benchmark",
            f"A={tmp_path / 'in'}",
            "--sigma",
            "25",
            "--out",
            tmp_path / "evaluated",
            *own,
        ),
        ("join", "laptop", tmp_path / "joined.safetensors"),
    ):
        code, _, error = dynet_command(*arguments)
        assert code == 0, error
    assert (tmp_path / "restored" / "a.png").is_file()
    raw = json.loads((tmp_path / "evaluated" / "results.json").read_text())
    assert Path(raw["weights"]["file"]) == places[0] / "dynet-laptop" / FILE_NAME
    assert (tmp_path / "joined.safetensors").is_file()


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_shipped_weights_are_small_and_travel_in_every_distribution(name: str) -> None:
    folder = find_shipped(name)
    if folder is None:
        pytest.skip(f"weights/{SHIPPED[name]} holds no weights yet")
    assert folder == ROOT / "weights" / SHIPPED[name]
    assert (folder / FILE_NAME).stat().st_size <= 8e6
    settings = (ROOT / "pyproject.toml").read_text()
    for file in (FILE_NAME, "README.md"):
        assert (folder / file).is_file()
        inside = f"weights/{SHIPPED[name]}/{file}"
        assert f'"{inside}" = "dynet/{inside}"' in settings
    assert '"weights"' in settings[settings.index("[tool.hatch.build.targets.sdist]") :]
