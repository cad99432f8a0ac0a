"""Verification recomputes perceptual hashes with imagehash, not with the code that computed them."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import skimage.data
from PIL import Image

from million_ird.maintenance.verify import verify
from million_ird.marks import ledger_digest
from million_ird.runtime.storage import Folder
from tests.million_ird import scenes


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of a PNG, a JPEG that is decoded at reduced scale, and a JPEG that a camera turned."""
    folder, out = tmp_path_factory.mktemp("images"), tmp_path_factory.mktemp("built") / "out"
    Image.fromarray(skimage.data.astronaut()).save(folder / "astronaut.png")
    Image.fromarray(skimage.data.coffee()).resize((1500, 1000)).save(folder / "coffee.jpg", quality=90)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(skimage.data.chelsea()).resize((1353, 900)).save(folder / "cat.jpg", quality=95, exif=turned)
    scenes.make(folder, out, scenes.recipe(gates=[]))
    return out


@pytest.mark.full
def test_imagehash_agrees_with_our_own_phash_on_every_image(built: Path) -> None:
    report = verify(str(built))
    assert (report.faults, report.images) == ([], 3)


@pytest.mark.parametrize("bit", [0, 31, 63])
@pytest.mark.full
def test_one_flipped_bit_of_a_hash_is_found(built: Path, tmp_path: Path, bit: int) -> None:
    """Ledger, data and card agree with each other, and the scan is gone: only the image itself tells."""
    out = tmp_path / "out"
    shutil.copytree(built, out)
    shutil.rmtree(out / ".work")
    folder, card = Folder(str(out)), out / "README.md"
    before = ledger_digest(folder)
    name, right, wrong = "", "", ""
    for path in sorted((*out.glob("data/*.parquet"), *out.glob("ledger/*.parquet"))):
        table = pq.read_table(path)
        row = table["uri"].to_pylist().index("coffee.jpg")
        name, right = table["id"][row].as_py(), table["phash"][row].as_py()
        wrong = f"{int(right, 16) ^ (1 << bit):016x}"
        hashes = pa.array([wrong if i == row else text for i, text in enumerate(table["phash"].to_pylist())])
        table = table.set_column(table.column_names.index("phash"), table.schema.field("phash"), hashes)
        pq.write_table(table, path)
    assert verify(str(out)).stale  # the card is of another ledger
    card.write_text(card.read_text().replace(before, ledger_digest(folder)))
    assert verify(str(out)).faults == [f"images: {name}: imagehash computes the pHash {right}, not {wrong}"]
