"""Deciding that is killed anywhere: decided once more, the same ledger, and nothing of it is left in the folder."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from million_ird.runtime.storage import Folder
from tests.million_ird.decide import deciding
from tests.million_ird.decide.test_stream import ledger_bytes, random_rows, write_scan
from tests.million_ird.decide.test_verdicts import RECIPE
from tests.million_ird.stopping import NEVER, raise_stopped, stop_before

PROGRAM = Path(deciding.__file__)


@pytest.mark.parametrize(
    ("seed", "moments"), [(0, 1), *(pytest.param(seed, 5, marks=pytest.mark.full) for seed in range(1, 7))]
)
def test_deciding_that_is_killed_ends_in_the_same_bytes_and_leaves_nothing(
    seed: int, moments: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for (module, constant), value in deciding.SPILLS.items():
        monkeypatch.setattr(module, constant, value)
    scan = tmp_path / "scan"
    write_scan(Folder(str(scan)), random_rows(120, seed), RECIPE, vanished=4)
    expected = Folder(str(shutil.copytree(scan, tmp_path / "expected")))
    with pytest.MonkeyPatch.context() as patch:
        operations = stop_before(NEVER, raise_stopped, patch.setattr, deciding.PLACES)
        deciding.decide_locked(expected)
    present = sorted(name for name, _ in expected.find(""))
    assert operations[0] > 30
    random = np.random.default_rng(seed)
    for at in random.choice(operations[0], moments, replace=False).tolist():
        folder = shutil.copytree(scan, tmp_path / f"killed before {at}")
        killed = subprocess.run([sys.executable, PROGRAM, folder, str(at)], check=False, cwd=PROGRAM.parents[3])
        assert killed.returncode == -signal.SIGKILL, at
        out = Folder(str(folder))
        deciding.decide_locked(out)
        assert ledger_bytes(out) == ledger_bytes(expected), at
        assert sorted(name for name, _ in out.find("")) == present, at
        assert {path.name for path in (Path(folder) / ".work").iterdir()} == {
            path.name for path in (tmp_path / "expected" / ".work").iterdir()
        }
