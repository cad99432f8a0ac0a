"""Count what the default recipe keeps and drops of the mix of bad images that `bad_pictures.py` trains on, by kind.

    python benchmarks/studies/mix_after_build.py

Datasets that `bad_pictures.py` has built are used; the others are built first.
"""

import argparse
import json

from pyarrow.dataset import dataset
from sets import Sets, kept_stems
from spoil import count_by_kind
from study import RESULTS, WORK, describe

PERCENTAGES = (50, 25)


def main() -> None:
    """Print a line for each kind, and write the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    sets, result = Sets(WORK / "cpu" / "sets"), {}
    stems = kept_stems(sets.folder_of("bsds"))
    for percent in PERCENTAGES:
        ledger = dataset(sets.folder_of(f"mix-{percent}-built") / "ledger", format="parquet")
        rows = ledger.to_table(columns=["uri", "reason"]).to_pylist()
        result[f"{percent} %"] = counts = count_by_kind(stems, percent / 100, rows)
        for kind, count in counts.items():
            words = ", ".join(f"{reason} {number}" for reason, number in count.items())
            print(f"{percent} %, {kind}, {sum(count.values())} images: {words}")
    file = RESULTS.parent / "mix_after_build.json"
    file.write_text(json.dumps({"machine": describe(), "counts": result}, indent=1) + "\n")


if __name__ == "__main__":
    main()
