"""Time and peak memory of `million-ird decide` for a synthetic ledger of a million rows.

Measured twice: gates only, and with the complete search for duplicates. 73 % of the rows pass the gates, and one in ten
of these is a near copy.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import describe
from synthetic import ledger_blocks

from million_ird import ledger
from million_ird.config.loading import load
from million_ird.runtime.storage import Folder

PASSING = 0.73


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    recipe = load("million_ird.yaml")
    gates_only = recipe.model_copy(
        update={"duplicates": recipe.duplicates.model_copy(update={"exact": False, "radius": None})}
    )
    result: dict[str, object] = {"machine": describe(), "rows": rows}
    with tempfile.TemporaryDirectory() as temporary:
        out = Folder(temporary)
        schema = ledger.ledger_schema(recipe.ledger_entries)
        ledger.save(out, ledger_blocks(0, rows, recipe, PASSING, schema), rows, schema)
        for name, chosen in (("gates only", gates_only), ("with duplicates", recipe)):
            out.write("recipe.yaml", chosen.dump().encode())
            seconds, peak, counted = timed(temporary)
            assert counted["candidates"] == rows
            assert 0 < counted["kept"] < rows
            copies = {reason: n for reason, n in counted["dropped"].items() if reason.startswith("duplicate")}
            result_line = f"{seconds:.1f} s from command to prompt, peak {peak:,.0f} MB, {counted['kept']:,} kept"
            print(f"{rows:,} rows, {name}: {result_line}, {copies}", flush=True)
            result[name] = {"seconds": seconds, "peak_MB": peak, "kept": counted["kept"], **copies}
    Path(__file__).parent.joinpath("results", "decide.json").write_text(json.dumps(result, indent=1))


def timed(folder: str) -> tuple[float, float, dict[str, Any]]:
    """Return seconds, peak MB and JSON result of deciding."""
    start = time.perf_counter()
    command = [str(Path(sys.executable).parent / "million-ird"), "decide", folder, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, high_water(process.pid))
        time.sleep(0.02)
    seconds = time.perf_counter() - start
    assert process.stdout is not None
    return seconds, peak, json.loads(process.stdout.read().splitlines()[-1])


def high_water(pid: int) -> float:
    """Return the peak resident memory of a process so far, in MB."""
    try:
        match = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0.0
    return int(match.group(1)) / 1e3 if match else 0.0


if __name__ == "__main__":
    main()
