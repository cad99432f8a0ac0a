"""A build that is killed before any of its file operations is accepted again, and ends in the same bytes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.killed_commands import NEVER, attempts_of, check_attempts
from tests.million_ird import scenes

BUILD_IMPORTS = ["scipy", "matplotlib.figure", "datasets", "million_ird.workflow"]


def _build(folder: Path, points: Sequence[int]) -> list[dict[str, Any]]:
    source = folder / "source"
    source.mkdir()
    for number in range(2):
        scenes.photograph(number).save(source / f"{number}.png")
    recipe = folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(scenes.RECIPE))
    arguments = ["build", "--sources", source, "--out", folder / "out", "--recipe", recipe, "--workers", 0]
    return attempts_of(
        folder,
        points,
        imports=BUILD_IMPORTS,
        program="million_ird.cli.app",
        arguments=[*map(str, arguments)],
        compare=["data", "patches", "ledger", "recipe.yaml", "README.md"],
    )


@pytest.mark.full
def test_a_build_killed_at_its_start_is_accepted_again(tmp_path: Path) -> None:
    attempts = _build(tmp_path, [3, 5, 9, 40, NEVER])
    check_attempts(attempts, attempts[-1]["digests"])


@pytest.mark.full
@pytest.mark.timeout(3000)
def test_a_build_killed_at_every_file_operation_ends_in_the_same_bytes(tmp_path: Path) -> None:
    attempts = _build(tmp_path, [])
    assert len(attempts) > 80
    check_attempts(attempts, attempts[-1]["digests"])
