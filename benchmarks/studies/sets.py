"""The datasets that the studies train on, each built by `million-ird`, and the folders of test sets."""

import os
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from PIL import Image, UnidentifiedImageError
from pyarrow.dataset import dataset, field

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from machine import ROOT, SHARED
from spoil import replace

BSDS = SHARED / "train" / "BSDS500"
POOL = tuple(SHARED / part for part in ("photos", "duplicates", "negatives", "real"))
"""A small crawl: photographs, re-saved copies of them, and other images as found on the web."""
TESTS = {"CBSD68": SHARED / "benchmarks" / "CBSD68", "Rain100L": SHARED / "benchmarks" / "Rain100L"}
CLEAN = {"CBSD68": TESTS["CBSD68"], "Rain100L": TESTS["Rain100L"] / "target"}
SMALLEST = 256  # short side in pixels: a patch of 96 fits at half the size
OF_SMALL: dict[str, Any] = {"size": 160}
OF_LARGE: dict[str, Any] = {"size": 96, "scales": [0.5, 0.25]}
DROP_NOTHING = {"exact": False, "radius": None, "turned": False, "crops": False}


@dataclass(frozen=True)
class DatasetPlan:
    """The sources of a dataset, and the changes to the default recipe."""

    sources: tuple[Path, ...]
    changes: dict[str, Any]
    smallest: int = SMALLEST
    without_test_images: bool = True


PLANS = {
    # BSD400 and the photographs, without images of test sets: all studies fine-tune on these.
    "bsds": DatasetPlan((BSDS / "train", BSDS / "test"), {"patches": OF_SMALL}),
    "photos": DatasetPlan((SHARED / "photos",), {"patches": OF_LARGE}),
    "photos_large": DatasetPlan((SHARED / "photos",), {"patches": {"size": 256, "scales": [0.25]}}),  # for full width
    # BSD400 as it is usually used.
    "leaky": DatasetPlan((BSDS / "train", BSDS / "test"), {"patches": OF_SMALL}, without_test_images=False),
    "curated": DatasetPlan(POOL, {"patches": OF_LARGE}, smallest=1024),
    # As many images drawn at random from the same pool, when the dataset is built.
    "uncurated": DatasetPlan((), {"patches": OF_LARGE, "gates": [], "duplicates": DROP_NOTHING}),
}


class Sets:
    """Builds each dataset when it is first needed; a finished one is kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def folder_of(self, name: str) -> Path:
        """Return the folder of a dataset of PLANS, built if necessary."""
        out = self._folder / name
        if not (out / "README.md").is_file():  # a build writes it last
            plan = PLANS[name] if name in PLANS else self._spoiled(name)
            sources = plan.sources or self._draw_files(len(image_ids(self.folder_of("curated"))))
            self._build(out, plan, sources)
        return out

    def _spoiled(self, name: str) -> DatasetPlan:
        """Return the plan of `KIND-PERCENT` or `KIND-PERCENT-built`: photographs of which some are replaced.

        Nothing is dropped from the first; the second is what the default recipe keeps of it.
        """
        kind, percent, *built = name.split("-")
        bsds = {path.stem: path for part in ("train", "test") for path in (BSDS / part).iterdir()}
        files = [bsds[stem] for stem in kept_stems(self.folder_of("bsds"))]
        replaced = self._folder / f"{kind}-{percent}-images"
        replace(kind, int(percent) / 100, files, replaced, SHARED / "negatives")
        changes = {"patches": OF_SMALL} | ({} if built else {"gates": [], "duplicates": DROP_NOTHING})
        return DatasetPlan((replaced,), changes)

    def _draw_files(self, count: int) -> tuple[Path, ...]:
        files = sorted(path for part in POOL for path in part.rglob("*") if path.is_file())
        random.Random(0).shuffle(files)
        return tuple([path for path in files if _short_side(path) >= SMALLEST][:count])

    def _build(self, out: Path, plan: DatasetPlan, sources: tuple[Path, ...]) -> None:
        for source in (*sources, *CLEAN.values()):
            if not source.exists():
                sys.exit(f"{source}: the images that the studies need are missing")
        recipe = yaml.safe_load((ROOT / "pipelines" / "million_ird.yaml").read_text()) | {"name": out.name}
        for gate in recipe["gates"]:
            if gate["field"] == "short_side":
                gate["min"] = plan.smallest
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / f"{out.name}.yaml"
        file.write_text(yaml.safe_dump(recipe | plan.changes, sort_keys=False))
        command = ["--recipe", file, "--out", out]
        for source in sources:
            command += ["--sources", source]
        for name, folder in CLEAN.items() if plan.without_test_images else ():
            command += ["--exclude-benchmark", f"{name}={folder}"]
        run_program("million-ird", "build", *map(str, command))


def image_ids(built: Path) -> list[str]:
    """Return the ids of the images of a built dataset."""
    from datasets import load_dataset

    ids: list[str] = load_dataset(str(built), split="train")["id"][:]
    return ids


def kept_stems(built: Path) -> list[str]:
    """Return the file names, without ending, of the images of a built dataset, sorted."""
    ledger = dataset(built / "ledger", format="parquet").to_table(columns=["uri"], filter=field("verdict") == "kept")
    return sorted(Path(uri).stem for uri in ledger["uri"].to_pylist())


def _short_side(path: Path) -> int:
    try:
        with Image.open(path) as image:
            return min(image.size)
    except (UnidentifiedImageError, OSError):
        return 0


def run_program(program: str, *arguments: str, threads: int | None = None) -> str:
    """Run one of the two programs of this environment and return its stdout; exit with its error if it fails."""
    environment = dict(os.environ) if threads is None else os.environ | {"OMP_NUM_THREADS": str(threads)}
    script = Path(sys.executable).with_name(program)  # if nothing is installed, the module of the checkout
    start = [str(script)] if script.is_file() else [sys.executable, "-m", program]
    command = [*start, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stdout
