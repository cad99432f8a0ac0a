"""All that is odd or evil in ../shared/data/hostile, through a real build."""

from pathlib import Path

import pytest

from million_ird.config.recipe import Recipe
from million_ird.ledger import load
from million_ird.maintenance.verify import verify
from million_ird.runtime.storage import Folder
from million_ird.workflow import Options, build


@pytest.mark.full
def test_every_hostile_file_has_a_row_and_none_stops_the_build(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "hostile"
    recipe = Recipe.model_validate({"limits": {"failed_share": 1, "max_pixels": 50_000_000, "seconds": 60}})
    out = tmp_path / "out"
    result = build([str(folder)], str(out), recipe, Options(workers=2))
    sidecars = (".txt", ".json", ".md", ".csv", ".html", ".xml", ".yml", ".yaml", ".py", ".log")
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    rows = load(Folder(str(out))).to_pylist()
    assert {row["uri"] for row in rows} == {
        path.relative_to(folder).as_posix() for path in files if path.suffix.lower() not in sidecars
    }
    assert result.funnel.candidates == len(rows)
    for fault in ("crashed", "hung", "killed", "out_of_memory", "unexpected"):
        assert not [row["uri"] for row in rows if row["failure_class"] == fault]
    assert verify(str(out)).faults == []


@pytest.mark.full
def test_a_bomb_of_pixels_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    import struct
    import zlib

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(60_000 * 3 + 1) * 2000, 9)
    folder = tmp_path / "bombs"
    folder.mkdir()
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    (folder / "bomb.png").write_bytes(bomb)
    recipe = Recipe.model_validate({"limits": {"failed_share": 1}})
    result = build([str(folder)], str(tmp_path / "out"), recipe, Options(workers=0))
    assert result.funnel.failures == {"too_large": 1}
