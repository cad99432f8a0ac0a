"""A restoration that is killed before any of its file operations ends in the same files, run again."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.killed_commands import attempts_of, check_attempts


@pytest.mark.full
@pytest.mark.timeout(3000)
def test_a_restoration_killed_at_every_file_operation_ends_in_the_same_files(
    tmp_path: Path, tiny_weights: Path
) -> None:
    (tmp_path / "in").mkdir()
    noise = np.random.default_rng(0)
    for number, suffix in enumerate(("png", "jpg", "tif")):
        Image.fromarray(noise.integers(0, 256, (48, 64, 3), np.uint8)).save(tmp_path / "in" / f"{number}.{suffix}")
    arguments = ["restore", tmp_path / "in", "--weights", tiny_weights, "--out", tmp_path / "out", "--device", "cpu"]
    attempts = attempts_of(
        tmp_path,
        [],
        imports=["dynet.inference.restore"],
        program="dynet.cli.app",
        arguments=[*map(str, arguments), "--overwrite"],
        compare=["."],
    )
    assert len(attempts) > 8
    check_attempts(attempts, attempts[-1]["digests"])
