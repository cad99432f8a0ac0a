"""A folder that has all that the pages name: pictures, lists, archives, recipes; and what servers answer."""

import io
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from PIL import Image

from tests.docs_pages import ROOT

SMALL = {
    "network": {
        "dim": 4,
        "heads": [1, 1, 2, 2],
        "prompts": 3,
        "prompt_channels": [4, 4, 8],
        "prompt_sizes": [8, 4, 2],
        "refinement_blocks": 1,
    },
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
"""What makes of a shipped recipe of training one that a processor does in a second."""
PAIRS = {
    "Train/Derain": ("rainy/rain-{}.png", "gt/norain-{}.png"),
    "Train/Dehaze": ("synthetic/{}_0.8_0.2.png", "original/{}.png"),
    "Train/Deblur": ("blur/{}.png", "sharp/{}.png"),
    "Train/Enhance": ("low/{}.png", "high/{}.png"),
    "RainPairs": ("input/{}.png", "target/{}.png"),
    "benchmarks/Rain100L": ("input/{}.png", "target/{}.png"),
    "test/derain/Rain100L": ("input/{}.png", "target/{}.png"),
}
CLEAN = (
    "Train/Denoise",
    "benchmarks/CBSD68",
    "test/denoise/cbsd68",
    "data/CBSD68",
    "data/Rain100L",
    "data/Urban100",
    "data/my_test",
)


def lay_out(folder: Path, web: str) -> None:
    """Pictures, lists and recipes under the names that the pages use; listed addresses are of the server `web`."""
    import skimage.data

    bundled = Path(skimage.data.__file__).parent
    photographs = {"astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg"}
    for name in (*photographs, "page.png", "logo.png"):
        for where in ("photos", "Pictures"):
            save(folder / where / name, bundled / name)
        save(folder / ("keep" if name in photographs else "drop") / name, bundled / name)
    for name, taken in {
        "a.jpg": "rocket.jpg",
        "b.png": "coffee.png",
        "holiday.jpg": "rocket.jpg",
        "noisy.png": "coffee.png",
    }.items():
        save(folder / name, bundled / taken)
    (folder / "scans" / "album").mkdir(parents=True)
    Image.open(bundled / "coffee.png").convert("L").crop((0, 0, 96, 64)).save(folder / "scans" / "album" / "one.tif")
    pieces = [np.asarray(Image.open(bundled / name).convert("RGB")) for name in sorted(photographs)]
    pieces = [picture[y : y + 64, 100:164] for picture in pieces for y in (0, 80, 160)]
    for place, names in {**PAIRS, **dict.fromkeys(CLEAN, ("{}.png",))}.items():
        for name in names:
            for number, piece in enumerate(pieces[:4] if "enchmark" in place else pieces):
                save(folder / place / name.format(number), piece)
    lay_out_lists(folder, web, encoded(pieces[0]))
    for file in (ROOT / "pipelines").glob("dynet_*.yaml"):
        (folder / file.name).write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | SMALL))
    shutil.copyfile(ROOT / "pipelines" / "demo.yaml", folder / "million_ird.yaml")  # for pictures of 160 pixels


def lay_out_lists(folder: Path, web: str, piece: bytes) -> None:
    """Tables of addresses, shards of tar, and the names of a take-down."""
    addresses = [f"{web}/{name}" for name in ("one.jpg", "two.png", "gone.jpg")]
    table = {"url": addresses, "width": [640, 600, 800], "height": [427, 400, 600]}
    pq.write_table(pa.table(table), folder / "urls.parquet")
    (folder / "shards").mkdir()
    for number in range(128):
        with tarfile.open(folder / "shards" / f"{number:05d}.tar", "w") as tar:
            entry = tarfile.TarInfo(f"{number}.png")
            entry.size = len(piece)
            tar.addfile(entry, io.BytesIO(piece))
    (folder / "takedown.txt").write_text("astronaut.png\n")


def pages_of_the_web() -> dict[str, bytes | int]:
    """What the server answers beside its sitemap: the pictures of the table, one of which is gone."""
    import skimage.data

    bundled = Path(skimage.data.__file__).parent
    pictures = {"/one.jpg": "rocket.jpg", "/two.png": "coffee.png"}
    return {path: (bundled / name).read_bytes() for path, name in pictures.items()}


def sitemap(web: str) -> bytes:
    """A site with a page of one picture."""
    schemas = "http://www.sitemaps.org/schemas/sitemap/0.9", "http://www.google.com/schemas/sitemap-image/1.1"
    picture = f"<image:image><image:loc>{web}/two.png</image:loc></image:image>"
    page = f"<url><loc>{web}/page</loc>{picture}</url>"
    return f'<urlset xmlns="{schemas[0]}" xmlns:image="{schemas[1]}">{page}</urlset>'.encode()


def save(path: Path, picture: Path | np.ndarray) -> None:
    """A copy of a file, or a PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(picture, Path):
        shutil.copyfile(picture, path)
    else:
        path.write_bytes(encoded(picture))


def encoded(picture: np.ndarray) -> bytes:
    """A PNG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def rows_for_the_hub(picture: Path) -> bytes:
    """A parquet file of a data set with one picture in it."""
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    image = pa.array([{"bytes": picture.read_bytes(), "path": None}], kind)
    about = {"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}}}})}
    buffer = io.BytesIO()
    pq.write_table(pa.table({"image": image}).replace_schema_metadata(about), buffer)
    return buffer.getvalue()
