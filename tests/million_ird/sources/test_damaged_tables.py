"""Parquet tables with bytes replaced or missing end in candidates or in an error of one line, never in a crash."""

import io
import os
import random
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from million_ird.config.rules import WebSettings
from million_ird.errors import SourceError
from million_ird.sources.tables import TableSource
from million_ird.sources.web.links import LinkFetcher

ROOT = Path(__file__).parents[3]
FETCHER = LinkFetcher(web=WebSettings(), max_bytes=10**6)
FOOTER = 1200
"""The last bytes, most of which are structure: half of all changes are there."""


def table_bytes() -> bytes:
    columns = {"url": [f"{n}.png" for n in range(300)], "width": list(range(300)), "caption": ["text"] * 300}
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def damaged(whole: bytes, number: int) -> bytes:
    drawn = random.Random(number)
    content = bytearray(whole)
    for _ in range(drawn.choice([1, 2, 8])):
        begin = drawn.choice([0, len(content) - FOOTER])
        content[drawn.randrange(begin, len(content))] = drawn.randrange(256)
    if number % 10 == 0:
        del content[drawn.randrange(len(content)) :]
    return bytes(content)


READ = """
import sys
from tests.million_ird.sources.test_damaged_tables import damaged, outcome, table_bytes
whole = table_bytes()
for number in range(int(sys.argv[2])):
    print(number, outcome(damaged(whole, number), sys.argv[1]), flush=True)
"""


def outcome(content: bytes, path: str) -> str:
    """Read all candidates of a table; how that ended."""
    Path(path).write_bytes(content)
    try:
        source = TableSource("bad", path, FETCHER, ())
        source.check()
        [candidate for chunk in source.chunks() for candidate in source.candidates(chunk)]
    except SourceError as error:
        return "refused" if "\n" not in str(error) and path in str(error) else f"unclear: {error}"
    return "read"


@pytest.mark.parametrize("count", [60, pytest.param(3000, marks=pytest.mark.full)])
def test_a_damaged_parquet_table_is_read_or_refused_in_one_line(tmp_path: Path, count: int) -> None:
    command = [sys.executable, "-c", READ, str(tmp_path / "bad.parquet"), str(count)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    outcomes = [line.split(" ", 1)[1] for line in done.stdout.splitlines()]
    assert (done.returncode, len(outcomes)) == (0, count), f"input {len(outcomes)} crashed: {done.stderr[-1000:]}"
    assert set(outcomes) == {"read", "refused"}
