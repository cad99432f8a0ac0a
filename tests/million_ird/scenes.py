"""Small images that measure like photographs, and builds of them."""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from million_ird.build_result import Result
from million_ird.config.loading import parse
from million_ird.config.recipe import Recipe
from million_ird.ledger import load
from million_ird.runtime.storage import Folder
from million_ird.workflow import Options, build

RECIPE = {
    "name": "small: a test",
    "gates": [
        {"field": "short_side", "min": 48, "reason": "small"},
        {"field": "sharpest_blocks", "min": 3, "reason": "blurred"},
    ],
    "patches": {"size": 32, "format": "png"},
    "limits": {"failed_share": 1.0},
}


def recipe(**changes: object) -> Recipe:
    """Return the recipe of these tests, with some keys replaced."""
    return parse({**RECIPE, **changes}, origin="test")


def gated(**limits: float) -> Recipe:
    """Return the recipe of these tests with other limits on the short side."""
    return recipe(gates=[{"field": "short_side", "reason": "small", **limits}, RECIPE["gates"][1]])


def photograph(seed: int, width: int = 80, height: int = 70) -> Image.Image:
    """Return smooth colours with noise, another image for every seed."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float64)
    return Image.fromarray(np.clip(smooth + random.normal(0, 14, smooth.shape), 0, 255).astype(np.uint8))


def lay_out(folder: Path, count: int = 5) -> Path:
    """Fill a folder: photographs, an exact and a re-encoded copy, a small, blurred and rotated image, 3 failures."""
    (folder / "deep").mkdir(parents=True)
    for number in range(count):
        photograph(number).save(folder / f"p{number:03d}.png")
    shutil.copyfile(folder / "p001.png", folder / "deep" / "copy of p001.png")
    photograph(2).save(folder / "deep" / "saved again.jpg", quality=80)
    photograph(100, 40, 40).save(folder / "small.png")
    photograph(101).resize((6, 6)).resize((80, 70), Image.Resampling.BICUBIC).save(folder / "blurred.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    photograph(102, 90, 60).save(folder / "turned.jpg", exif=exif, quality=97)
    (folder / "empty.jpg").touch()
    (folder / "text.png").write_text("no picture")
    (folder / "cut.png").write_bytes((folder / "p000.png").read_bytes()[:3000])
    (folder / "notes.txt").write_text("a side-car")
    (folder / ".hidden.png").write_bytes((folder / "p000.png").read_bytes())
    return folder


CANDIDATES = 5 + 5 + 3
KEPT = 5 + 1


def make(source: Path | list[Path], out: Path, by: Recipe | None = None, **options: object) -> Result:
    """Build in this process."""
    sources = [str(one) for one in (source if isinstance(source, list) else [source])]
    return build(sources, str(out), by or recipe(), Options(**{"workers": 0, **options}))  # type: ignore[arg-type]


def contents(out: Path) -> dict[str, bytes]:
    """Return the files of a build whose bytes must not change between runs, by name."""
    parts = [out / name for name in ("README.md", "LICENSE.md", "recipe.yaml", "card", "data", "patches", "ledger")]
    files = [path for part in parts for path in ([part] if part.is_file() else sorted(part.rglob("*")))]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def temporary(out: Path) -> list[Path]:
    """Return the files that a writer left under a temporary name."""
    return [path for path in out.rglob("*") if path.name.startswith(".tmp-")]


def ledger_rows(out: Path) -> dict[str, dict[str, object]]:
    """The ledger of a build, by uri."""
    return {str(row["uri"]): row for row in load(Folder(str(out))).to_pylist()}
