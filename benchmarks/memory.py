"""Peak memory of a worker that measures one large photograph completely: JPEG with 24 and 100 megapixels, 8 bits."""

import argparse
import io
import json
import subprocess
import sys
from pathlib import Path

from machine import describe, photographs
from PIL import Image

SIZES = {24: (6000, 4000), 100: (11600, 8700)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    path_to_measure = parser.parse_args().measure
    if path_to_measure is not None:
        measure(path_to_measure)
        return
    rows = {}
    for megapixels, size in SIZES.items():
        path = Path(f"/tmp/photograph-{megapixels}.jpg")
        Image.open(photographs()[0]).convert("RGB").resize(size, Image.Resampling.BICUBIC).save(path, quality=92)
        command = [sys.executable, __file__, "--measure", str(path)]
        rows[megapixels] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        path.unlink()
        print(f"{megapixels:>4} megapixels: peak {rows[megapixels]['peak_MB']:,.0f} MB, of which the program itself "
              f"{rows[megapixels]['before_MB']:,.0f} MB")  # fmt: skip
    result = {"machine": describe(), "rows": rows}
    Path(__file__).parent.joinpath("results", "memory.json").write_text(json.dumps(result, indent=1))


def measure(path: Path) -> None:
    from million_ird.candidate import Candidate
    from million_ird.config.recipe import Recipe
    from million_ird.runtime.threads import single_threaded
    from million_ird.scan.cascade import Cascade

    def peak() -> float:
        # getrusage would include the process before it ran this program.
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1e3

    with single_threaded():
        cascade = Cascade(Recipe(measure_all=True))
        small = io.BytesIO()
        Image.effect_noise((200, 200), 50).convert("RGB").save(small, "JPEG")  # compiles the loops before measuring
        candidate = Candidate(key="", source="", uri="", version="")
        list(cascade.rows([candidate], lambda _: small.getvalue()))
        before = peak()
        (row,) = cascade.rows([candidate], lambda _: path.read_bytes())
        assert row["phash"] is not None
    print(json.dumps({"before_MB": before, "peak_MB": peak()}))


if __name__ == "__main__":
    main()
