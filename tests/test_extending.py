"""docs/extending.md does what it says: its files and lines are put into a copy of the packages, and its commands run.

Only the recipes of training are made small, and the pictures are scikit-image's.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import lmdb
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from million_ird.export.export import export

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
SECTIONS = ("A measure", "A gate", "A source", "A degradation", "A task")
COPIED = ("million_ird", "dynet", "tests", "benchmarks", "pipelines", "cards", "pyproject.toml")
PROGRAMS = ("million-ird", "dynet", "python")
EXISTING_LINES = re.compile(r"^(?: {4}| {8})\.\.\.,?\n", re.MULTILINE)
SMALL = {
    "network": {
        "dim": 4,
        "heads": [1, 1, 2, 2],
        "prompts": 3,
        "prompt_channels": [4, 4, 8],
        "prompt_sizes": [8, 4, 2],
        "refinement_blocks": 1,
    },
    "variants": {"S": {"schedule": [1, 1, 1, 1]}, "L": {"schedule": [1, 2, 2, 2]}},
    "crop": 16,
    "batch": 2,
    "steps": 2,
    "warmup_steps": 0,
    "precision": "fp32",
    "workers": 0,
    "validation": {"every": 1, "pictures": 1},
    "log_every": 1,
    "preview_every": 2,
    "checkpoint_every": 1,
}


@dataclass(frozen=True)
class Block:
    """A fenced block, and the file that the text names right before it."""

    section: str
    path: str
    text: str

    @property
    def adds_lines(self) -> bool:
        """To a file that is there, not a file of its own."""
        return EXISTING_LINES.search(self.text) is not None


def blocks() -> list[Block]:
    """All of the page, in order; `path` is empty where none is named."""
    found = []
    fence = re.compile(r"(?:`([\w./]+\.(?:py|yaml))`:\n\n)?^```\w*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    for section in PAGE.split("\n## ")[1:]:
        title, _, text = section.partition("\n")
        found += [Block(title, path, body) for path, body in fence.findall(text)]
    return found


BLOCKS = blocks()
NEW_FILES = [block.path for block in BLOCKS if block.path.endswith(".py") and not block.adds_lines]
CHANGED_FILES = [block.path for block in BLOCKS if block.adds_lines]


def add_lines(source: str, block: str) -> str:
    """The file's text with the imports and the entries of the block, each entry at the end of what it belongs to."""
    for line in re.findall(r"^from .*\n", block, re.MULTILINE):
        package = line.partition(".")[0]
        others = re.findall(rf"^{package}\..*\n", source, re.MULTILINE)
        later = next(other for other in others if other.split(" import ")[0] > line.split(" import ")[0])
        source = source.replace(later, line + later, 1)
    table = r"^(\w[^\n]* = (?:[{(]|Literal\[|MappingProxyType\(\n    {)\n) +\.\.\.,?\n(.*?)^((?:    )?[})\]]\n)"
    added = re.compile(table, re.DOTALL | re.MULTILINE)
    for opening, entries, closing in added.findall(block):
        assert source.count(opening) == 1, opening
        start = source.index(opening)
        end = source.index(f"\n{closing}", start) + 1
        source = source[:end] + entries + source[end:]
    return source


def save(folder: Path, pictures: dict[str, np.ndarray]) -> None:
    for name, picture in pictures.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / name)


def lay_out_pictures(folder: Path) -> None:
    """Everything that the page's commands name."""
    data = pytest.importorskip("skimage.data")
    photos = {name: getattr(data, name)() for name in ("astronaut", "coffee", "cat", "rocket")}
    random = np.random.default_rng(0)

    def grainy(picture: np.ndarray) -> np.ndarray:
        return np.clip(np.rint(picture + random.normal(0, 25, picture.shape)), 0, 255).astype(np.uint8)

    save(folder, {"holiday.jpg": photos["rocket"], "photos/grainy.png": grainy(photos["cat"][:, ::-1])})
    save(folder / "photos", {f"{name}.png": picture for name, picture in photos.items()})
    save(folder / "grainy", {f"{name}.png": grainy(picture) for name, picture in photos.items()})
    pieces = {f"{name}.png": picture[40:104, 100:164] for name, picture in photos.items()}
    save(folder / "my-set", pieces)
    save(folder / "OldPrints" / "restored", pieces)
    save(folder / "OldPrints" / "worn", {name: grainy(piece) for name, piece in pieces.items()})


@dataclass(frozen=True)
class Checkout:
    """A copy of the packages with all that the page adds."""

    folder: Path

    def run(self, command: str) -> str:
        """What a command says, run as the page shows it."""
        bin_folder = str(Path(sys.executable).parent)
        environment = {
            **os.environ,
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.folder),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "160",
        }
        words = shlex.split(command)
        words[0] = f"{bin_folder}/{words[0]}"
        done = subprocess.run(
            words, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=280
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout + done.stderr

    def run_section(self, section: str) -> list[str]:
        """What the commands of a section say, one after the other."""
        text = "".join(block.text for block in BLOCKS if block.section == section and not block.path)
        commands = [line for line in text.replace("\\\n", " ").splitlines() if line.split(" ")[0] in PROGRAMS]
        assert commands
        return [self.run(command) for command in commands]

    def ledger(self, out: str) -> list[dict[str, object]]:
        return pq.read_table(self.folder / out / "ledger").to_pylist()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    folder = tmp_path_factory.mktemp("extending") / "checkout"
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name)  # with __pycache__, where numba keeps what it compiled
        else:
            shutil.copy(ROOT / name, folder / name)
    base = yaml.safe_load((ROOT / "pipelines" / "dynet_finetune_3task.yaml").read_text())
    for block in BLOCKS:
        target = folder / block.path
        if block.adds_lines:
            target.write_text(add_lines(target.read_text(), block.text))
        elif block.path.endswith(".py"):
            assert not target.exists(), f"{block.path}: the page shows as new what is there"
            target.write_text(block.text)
        elif block.path:
            content = yaml.safe_load(block.text)
            target.write_text(yaml.safe_dump(base | SMALL | content) if "tasks" in content else block.text)
    lay_out_pictures(folder)
    return Checkout(folder)


@pytest.fixture(scope="module")
def quiet(checkout: Checkout) -> list[str]:
    """What the commands of the gate's section say; they build the set `quiet`."""
    return checkout.run_section("A gate")


@pytest.fixture(scope="module")
def database(checkout: Checkout, quiet: list[str]) -> set[str]:
    """The keys of the database that the page reads: an export of the set `quiet`."""
    export(str(checkout.folder / "quiet"), "lmdb", config="images", to=str(checkout.folder / "sets"))
    place = (checkout.folder / "sets" / "train" / "train.lmdb").rename(checkout.folder / "sets" / "photos.lmdb")
    with lmdb.open(str(place), readonly=True, lock=False) as opened, opened.begin() as reading:
        return {key.decode() for key, _ in reading.cursor()}


def test_the_page_shows_what_it_promises() -> None:
    assert tuple(section.partition("\n")[0] for section in PAGE.split("\n## ")[1:]) == SECTIONS
    assert len(NEW_FILES) == 6
    assert len(CHANGED_FILES) == 6


@pytest.mark.full
def test_the_measure_is_measured(checkout: Checkout) -> None:
    score, calibrated = checkout.run_section("A measure")
    assert re.fullmatch(r"holiday\.jpg  noise_sigma [12]\.\d+\n", score)
    proposed = next(line for line in calibrated.splitlines() if "noise_sigma" in line)
    assert "100" in proposed


@pytest.mark.full
def test_the_gate_drops_with_its_reason_and_explain_names_it(checkout: Checkout, quiet: list[str]) -> None:
    rows = {row["uri"]: row for row in checkout.ledger("quiet")}
    noisy = rows.pop("grainy.png")
    assert (noisy["verdict"], noisy["reason"], noisy["limit"]) == ("dropped", "noisy", 13)
    in_luma = 25 * np.hypot(np.hypot(0.299, 0.587), 0.114)  # BT.601's weights on independent noise in each channel
    assert noisy["measured"] == noisy["noise_sigma"] == pytest.approx(in_luma, rel=0.1)
    assert {row["verdict"] for row in rows.values()} == {"kept"}
    built, explained = quiet
    assert re.search(r"noisy\W+1\b", built)
    assert f"dropped: noisy, measured {noisy['measured']:.6g}, limit 13" in explained
    assert "breaks noisy: at most 13 (tier pixels)" in explained
    for page in ("README.md", "report/index.html"):
        assert "Standard deviation of the luma" in (checkout.folder / "quiet" / page).read_text()


@pytest.mark.full
def test_the_sources_pictures_arrive(checkout: Checkout, database: set[str]) -> None:
    _, verified = checkout.run_section("A source")
    rows = checkout.ledger("from-lmdb")
    assert {row["uri"] for row in rows} == database
    assert len(rows) == 4
    assert {row["verdict"] for row in rows} == {"kept"}
    assert {row["id"] for row in rows} == {row["id"] for row in checkout.ledger("quiet") if row["verdict"] == "kept"}
    assert verified.startswith("4 images")
    assert "0 faults" in verified


@pytest.mark.full
def test_the_degradation_is_trained_on_and_shown(checkout: Checkout) -> None:
    checkout.run_section("A degradation")
    run = checkout.folder / "runs" / "fringes"
    (degradation,) = yaml.safe_load((run / "config.yaml").read_text())["tasks"]["fringes"]["degradations"]
    assert (degradation["kind"], degradation["shift"]) == ("chromatic_aberration", [0.5, 6])
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 2
    with Image.open(checkout.folder / "sheet.png") as sheet:
        assert sheet.width > 4 * 400


@pytest.mark.full
def test_the_task_trains_on_degraded_pictures_and_on_pairs(checkout: Checkout) -> None:
    _, evaluated = checkout.run_section("A task")
    validation = (checkout.folder / "runs" / "old" / "validation.jsonl").read_text()
    assert "old_photos" in validation
    assert "prints" in validation
    assert "OldPrints" in evaluated


@pytest.mark.full
def test_the_tests_beside_the_files_pass(checkout: Checkout) -> None:
    shown = [path for path in NEW_FILES if path.startswith("tests/")]
    assert len(shown) == 3
    output = checkout.run(f"python -m pytest -n 0 {' '.join(shown)}")
    assert "failed" not in output


@pytest.mark.full
def test_what_holds_of_every_degradation_holds_of_the_new_one(checkout: Checkout) -> None:
    said = checkout.run(
        "python -m pytest -n 0 tests/dynet/degradations/test_registry.py -k 'chromatic_aberration or table or process'"
    )
    assert "failed" not in said


def test_the_files_are_in_the_style_of_the_house(checkout: Checkout) -> None:
    checkout.run(f"ruff check {' '.join([*NEW_FILES, *CHANGED_FILES])}")
    checkout.run(f"ruff format --check {' '.join([*NEW_FILES, *CHANGED_FILES])}")


@pytest.mark.full
@pytest.mark.timeout(900)
def test_the_files_are_typed(checkout: Checkout) -> None:
    if (ROOT / ".mypy_cache").is_dir():  # saves most of the time, where `make lint` has left it
        shutil.copytree(ROOT / ".mypy_cache", checkout.folder / ".mypy_cache")
    packages = [path for path in (*NEW_FILES, *CHANGED_FILES) if path.startswith(("million_ird/", "dynet/", "grain"))]
    checkout.run(f"mypy --strict {' '.join(packages)}")
