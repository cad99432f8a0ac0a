"""Inner loops are compiled wherever the program runs."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_everything_compiles_where_no_cache_folder_can_be_written() -> None:
    """As from a read-only install of a user without a home: each process compiles for itself."""
    code = (
        "import numba.core.caching, numpy as np\n"
        "numba.core.caching.CacheImpl._locator_classes = []\n"
        "import million_ird.workflow, million_ird.calibrate, million_ird.maintenance.takedown\n"
        "from million_ird.dedup.hamming.kernels import count_within\n"
        "from million_ird.sources.keyset import KeySet\n"
        "from million_ird.measures.nss_planes import luma\n"
        "print(luma(np.full((2, 2, 3), 9, np.uint8)).tolist())\n"
        "print(count_within(np.array([7, 8], np.uint64), np.uint64(15), 1))\n"
        "print(KeySet().add(['0' * 31 + '1'] * 2).tolist())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["[[9, 9], [9, 9]]", "1", "[True, False]"], done.stderr
