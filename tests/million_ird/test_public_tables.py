"""The recipes for public tables of addresses, on tables with the columns of these and a server on loopback."""

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from million_ird.config.loading import load, shipped
from million_ird.ledger import load as load_ledger
from million_ird.maintenance.plan import plan
from million_ird.runtime.storage import Folder
from million_ird.workflow import Options, build
from tests.million_ird.web_server import Site, serving

PHOTOS = Path(__file__).parents[3] / "shared" / "data" / "photos"
SMALL = 300
HERE = Options(workers=0, allow_private_hosts=True)
CC0 = "https://creativecommons.org/publicdomain/zero/1.0/"


def pd12m(photos: list[Path], site: Site) -> list[dict[str, object]]:
    small = range(SMALL)
    rows: list[dict[str, object]] = [
        {"url": site.url(f"/small/{number}.jpg"), "width": 800, "height": 600 + number} for number in small
    ]
    for photo in photos:
        width, height = Image.open(photo).size
        rows.append({"url": site.url(f"/{photo.name}"), "width": width, "height": height})
    for number, row in enumerate(rows):
        digest = hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()
        row |= {"id": digest, "mime_type": "image/jpeg", "hash": digest, "caption": f"A scene, {number}"}
        row |= {"license": CC0, "source": "wikimedia"}
    return rows


def laion(photos: list[Path], site: Site) -> list[dict[str, object]]:
    names = {"url": "URL", "width": "WIDTH", "height": "HEIGHT", "caption": "TEXT", "hash": "hash"}
    rows = [{names[key]: row[key] for key in names} for row in pd12m(photos, site)]
    for number, row in enumerate(rows):
        row |= {"similarity": 0.3, "pwatermark": 0.1, "punsafe": None if number % 2 else 0.01, "AESTHETIC": 5.0}
    marked = rows[-1] | {"URL": site.url("/marked.jpg"), "pwatermark": 0.9}
    unsafe = rows[-1] | {"URL": site.url("/unsafe.jpg"), "punsafe": 0.8}
    return [*rows, marked, unsafe]


@pytest.mark.full
@pytest.mark.parametrize(("name", "make"), [("pd12m", pd12m), ("laion_hr", laion)])
def test_a_table_of_addresses_gives_what_a_folder_gives_and_asks_for_nothing_else(
    name: str, make: object, tmp_path: Path
) -> None:
    if not PHOTOS.is_dir():
        pytest.skip(f"needs {PHOTOS}")
    photos = sorted(PHOTOS.iterdir(), key=lambda path: path.stat().st_size)[:4]
    with serving({f"/{photo.name}": photo.read_bytes() for photo in photos}) as site:
        rows = make(photos, site)  # type: ignore[operator]
        (tmp_path / "metadata").mkdir()
        for part in range(3):
            pq.write_table(pa.Table.from_pylist(rows[part::3]), tmp_path / "metadata" / f"part.{part:03}.parquet")
        tables = str(tmp_path / "metadata" / "*.parquet")
        recipe = load(name)
        foreseen = plan([tables], str(tmp_path / "web"), recipe)
        assert not site.asked
        build([tables], str(tmp_path / "web"), recipe, HERE)
        asked = {path for path in site.asked if path != "/robots.txt"}
    assert asked == {f"/{photo.name}" for photo in photos}
    ledger = load_ledger(Folder(str(tmp_path / "web"))).to_pylist()
    assert len(ledger) == len(rows) == foreseen.candidates
    folder = tmp_path / "folder"
    folder.mkdir()
    for photo in photos:
        (folder / photo.name).symlink_to(photo)
    build([str(folder)], str(tmp_path / "plain"), load("million_ird"), Options(workers=0, follow_links=True))
    plain = {row["uri"]: row["reason"] for row in load_ledger(Folder(str(tmp_path / "plain"))).to_pylist()}
    reasons = {row["uri"].rpartition("/")[2]: row["reason"] for row in ledger if "small" not in row["uri"]}
    assert {photo: reasons[photo] for photo in plain} == plain
    assert None in plain.values()
    assert [row["reason"] for row in ledger if "small" in row["uri"]] == ["small"] * SMALL
    if name == "laion_hr":
        assert (reasons["marked.jpg"], reasons["unsafe.jpg"]) == ("watermark", "unsafe")
    else:
        assert {row["licence"] for row in ledger} == {CC0}
        assert all(row["caption"].startswith("A scene") for row in ledger)


@pytest.mark.parametrize("name", ["pd12m.yaml", "laion_hr.yaml"])
def test_the_gates_after_the_table_are_those_of_the_default_recipe(name: str) -> None:
    recipe, default = load(shipped()[name]), load("million_ird")
    assert recipe.gates[-len(default.gates) :] == default.gates
    assert {gate.field for gate in recipe.gates[: -len(default.gates)]} <= set(recipe.columns)
    assert recipe.patches == default.patches
