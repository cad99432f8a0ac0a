"""What a program can read of a ledger that another one wrote."""

import random
from pathlib import Path

import pyarrow as pa
import pytest

from million_ird import ledger
from million_ird.errors import LedgerError
from million_ird.ledger import check_version, ledger_schema
from million_ird.measures.registry import MEASURES
from million_ird.runtime.storage import Folder


def test_a_ledger_of_a_program_with_other_measures_is_told_by_their_names() -> None:
    measures = (*MEASURES, "musiq", "caption:text")
    schema = ledger_schema(measures)
    assert check_version(schema, "here") == measures
    names = {b"million_ird.measures": ",".join((*measures, "sparkle")).encode()}
    with pytest.raises(
        LedgerError, match=r"^here: .* another version of this program: sparkle differs; run build with"
    ):
        check_version(schema.with_metadata({**schema.metadata, **names}), "here")


@pytest.mark.parametrize(("missing", "told"), [(1, "avif_quality differs"), (2, "avif_quality and 1 more differ")])
def test_a_ledger_without_a_newer_column_of_a_measure_is_told_by_its_name(missing: int, told: str) -> None:
    schema = ledger_schema([*MEASURES])
    for name in ("avif_quality", "camera")[:missing]:
        schema = schema.remove(schema.get_field_index(name))
    with pytest.raises(LedgerError, match=f"^here: .* {told}; run build with this one$"):
        check_version(schema, "here")


@pytest.mark.parametrize("cut", [1, 7, 50, 64, 1000])
def test_the_bytes_of_a_ledger_do_not_depend_on_the_batches_that_it_was_written_from(
    cut: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "ROWS_PER_GROUP", 50)
    schema = ledger_schema([*MEASURES][:3])
    draw = random.Random(0)

    def value(field: pa.Field) -> object:
        if field.nullable and draw.random() < 0.3:
            return None
        kinds = {pa.string(): str(draw.random()), pa.binary(): draw.randbytes(300), pa.bool_(): draw.random() < 0.5}
        return kinds.get(field.type, draw.randrange(100))

    rows = [{field.name: value(field) for field in schema} for _ in range(213)]
    out = Folder(str(tmp_path))
    tables = [pa.Table.from_pylist(rows[start : start + cut], schema) for start in range(0, len(rows), cut)]
    ledger.write_part(out, "some.parquet", tables, schema)
    ledger.write_part(out, "one.parquet", [pa.Table.from_pylist(rows, schema)], schema)
    assert out.read("some.parquet") == out.read("one.parquet")
    with out.parquet("some.parquet") as file:
        sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        assert sizes == [50, 50, 50, 50, 13]
        assert file.read().to_pylist() == rows
