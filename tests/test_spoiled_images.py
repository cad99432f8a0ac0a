"""benchmarks/studies/spoil.py: which training images are replaced, and by what."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.studies.spoil import CHARTS, GOOD, KEPT, KINDS, count_by_kind, replace


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Path]:
    """Return 28 photographs of 321x261 pixels: parts of two of scikit-image."""
    data = pytest.importorskip("skimage.data")
    folder = tmp_path_factory.mktemp("photographs")
    for number in range(28):
        whole = (data.astronaut, data.coffee)[number % 2]()
        part = whole[number * 4 :][:261, number * 5 :][:, :321]
        Image.fromarray(part).save(folder / f"{number:02}.jpg", quality=95)
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def negatives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a small transparent image of one colour for each of CHARTS."""
    folder = tmp_path_factory.mktemp("negatives")
    for place, name in enumerate(CHARTS):
        (folder / name).mkdir()
        Image.new("RGBA", (100, 60), (40 * place, 0, 0, 255)).save(folder / name / "one.png")
    return folder


def _pixels(folder: Path) -> dict[str, np.ndarray]:
    return {path.stem: np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.iterdir())}


@pytest.mark.full
@pytest.mark.parametrize("share", [0.25, 0.5])
@pytest.mark.parametrize("kind", [*KINDS, "mix"])
def test_a_share_of_the_images_is_replaced_and_the_others_stay_files_as_they_were(
    kind: str, share: float, files: Sequence[Path], negatives: Path, tmp_path: Path
) -> None:
    replace(kind, share, files, tmp_path / "one", negatives)
    written = {path.stem: path for path in (tmp_path / "one").iterdir()}
    replaced = {stem for stem, path in written.items() if path.suffix == ".png"}
    assert len(replaced) == round(share * len(files))
    assert len(written) == len(files)
    for file in files:
        if file.stem not in replaced:
            assert written[file.stem].read_bytes() == file.read_bytes()
        elif kind != "repeated":
            before, after = (Image.open(path).convert("RGB") for path in (file, written[file.stem]))
            assert not np.array_equal(np.asarray(before), np.asarray(after))
    replace("blurred", share, files, tmp_path / "other", negatives)
    assert replaced == {path.stem for path in (tmp_path / "other").glob("*.png")}


def test_half_is_a_quarter_and_more(files: Sequence[Path], negatives: Path, tmp_path: Path) -> None:
    for share in (0.25, 0.5):
        replace("enlarged", share, files, tmp_path / str(share), negatives)
    few, many = ({path.name for path in (tmp_path / str(share)).glob("*.png")} for share in (0.25, 0.5))
    assert few < many


def test_the_mix_has_as_many_of_each_kind(files: Sequence[Path], negatives: Path, tmp_path: Path) -> None:
    for kind in (*KINDS, "mix"):
        replace(kind, 0.5, files, tmp_path / kind, negatives)
    mixed = _pixels(tmp_path / "mix")
    replaced = {path.stem for path in (tmp_path / "mix").glob("*.png")}
    equal = {}
    for kind in KINDS:
        if kind != "charts":  # which of them it is depends on how many came before
            own = _pixels(tmp_path / kind)
            equal[kind] = sum(np.array_equal(mixed[stem], own[stem]) for stem in replaced)
    assert equal == dict.fromkeys(equal, 2)
    assert sum(not mixed[stem][..., 1:].any() for stem in replaced) == 2  # two charts, enlarged to the size of a patch


def test_a_second_run_writes_the_same_images(files: Sequence[Path], negatives: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        replace("mix", 0.5, files, tmp_path / name, negatives)
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two


def test_the_ledger_of_a_mix_is_counted_by_kind(files: Sequence[Path], negatives: Path, tmp_path: Path) -> None:
    replace("mix", 0.5, files, tmp_path / "mix", negatives)
    ledger = [
        {"uri": f"/a/{path.name}", "reason": "drawn" if path.suffix == ".png" else None}
        for path in (tmp_path / "mix").iterdir()
    ]
    counts = count_by_kind([file.stem for file in files], 0.5, ledger)
    assert counts == {GOOD: {KEPT: 14}} | {kind: {"drawn": 2} for kind in KINDS}
