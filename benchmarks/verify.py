"""What `verify` gains from a second worker: `python benchmarks/verify.py`.

Patches of 512 pixels of the shared photographs, each turned and mirrored so that there are many; nothing is dropped.
1 worker and 2 workers alternately, whole calls, so the start of the workers counts. Run it without other load.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from machine import describe, photographs
from PIL import Image

from million_ird import build, verify
from million_ird.config.loading import parse
from million_ird.workflow import Options

RESULTS = Path(__file__).parent / "results" / "verify.json"
TURNS = (None, *Image.Transpose)
RECIPE = parse(
    {"name": "verify", "gates": [], "duplicates": {"exact": False, "radius": None, "crops": False}}, origin="benchmark"
)


def make(folder: Path, turns: int) -> None:
    """Write every photograph as it is and turned, as JPEG."""
    folder.mkdir()
    for path in photographs():
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        for number, turn in enumerate(TURNS[:turns]):
            turned = image if turn is None else image.transpose(turn)
            turned.save(folder / f"{path.stem}-{number}.jpg", quality=92)


def main() -> None:
    """Run, print and write `benchmarks/results/verify.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=8, choices=range(1, 9), help="versions of each photograph")
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    seconds: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as name:
        make(Path(name, "images"), arguments.turns)
        build(Path(name, "images"), Path(name, "set"), recipe=RECIPE, options=Options(workers=2))
        for _ in range(arguments.repeats):
            for workers, times in seconds.items():
                start = time.perf_counter()
                found = verify(Path(name, "set"), workers=workers)
                times.append(round(time.perf_counter() - start, 2))
                assert not found.faults, found.faults[:3]
                print(f"{found.patches:,} patches, {workers} workers: {times[-1]:.1f} s", flush=True)
    gain = min(seconds[1]) / min(seconds[2])
    print(f"2 workers are {gain:.2f} times as fast as 1")
    result = {"machine": describe(), "patches": found.patches, "seconds": seconds, "gain": round(gain, 3)}
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
