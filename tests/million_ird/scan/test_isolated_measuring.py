"""Pictures that kill what decodes them cost themselves and nothing else."""

import ctypes
import io
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import psutil
import pytest
from PIL import Image

from million_ird.candidate import Candidate, Failed
from million_ird.config.recipe import Recipe
from million_ird.images.encoded_image import EncodedImage
from million_ird.measure_types import Tier
from million_ird.measures.identity import MeasuringIdentity
from million_ird.measures.neural import BATCH
from million_ird.runtime import fork_server
from million_ird.scan import isolated_measuring
from million_ird.scan.cascade import Cascade
from million_ird.scan.isolated_measuring import IsolatedMeasurer, MeasureWorker


def encoded(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


class Poison:
    """A measure that pictures with a mark behind their last byte kill."""

    fields: ClassVar[tuple[str, ...]] = ("poison",)
    tier: ClassVar[Tier] = Tier.HEADER

    def measure(self, image: EncodedImage) -> Mapping[str, float | None]:
        mark = image.encoded[-5:]
        if mark == b"crash":
            ctypes.string_at(0)
        if mark == b"sleep":
            time.sleep(100)
        if mark == b"abort":
            os.abort()
        if mark == b"slain":
            os.kill(os.getpid(), 9)
        if mark == b"raise":
            raise ZeroDivisionError("by a measure")
        return {"poison": None}


class Network:
    """Stands for a quality network: its rows wait for each other."""

    name = "network"

    def measure_batch(self, pixels: list[np.ndarray]) -> list[float]:
        return [float(one.mean()) for one in pixels]


class PoisonedWorker(MeasureWorker):
    """The worker process, with that measure, and with a network if the models say so."""

    def __init__(self, recipe: Recipe, models: str | None, expected: MeasuringIdentity) -> None:
        super().__init__(recipe, None, expected)
        self._cascade._measures = {"poison": Poison(), **self._cascade._measures}
        self._cascade._networks = [Network()] if models else []  # type: ignore[list-item]


def killed_by_turn(counter: Path) -> None:
    """Kill this process as often as a file says."""
    left = int(counter.read_text())
    if left:
        counter.write_text(str(left - 1))
        os.kill(os.getpid(), 9)


class UnluckyNetwork(Network):
    def __init__(self, counter: Path) -> None:
        self.counter = counter

    def measure_batch(self, pixels: list[np.ndarray]) -> list[float]:
        killed_by_turn(self.counter)
        return super().measure_batch(pixels)


class UnluckyWorker(MeasureWorker):
    """The worker process, killed while it starts, or in the network, as often as the files in a folder say."""

    def __init__(self, recipe: Recipe, models: str, expected: MeasuringIdentity) -> None:
        killed_by_turn(Path(models, "starts"))
        super().__init__(recipe, None, expected)
        self._cascade._networks = [UnluckyNetwork(Path(models, "batches"))]  # type: ignore[list-item]


def rows(pictures: Mapping[str, bytes | Failed], models: str | None = None) -> dict[str, dict[str, object]]:
    recipe = Recipe.model_validate({"limits": {"seconds": 4}})
    candidates = [Candidate(key=f"{name:0>32}", source="s", uri=name, version="1") for name in pictures]
    found = IsolatedMeasurer(recipe, models).rows(candidates, lambda candidate: pictures[candidate.uri])
    return {str(row["uri"]): row for row in found}


@pytest.mark.parametrize(("starts", "batches", "lost"), [(5, 0, 0), (0, 2, 0), (3, 1, 0), (40, 0, 1), (0, 9, 1)])
def test_kills_cost_an_image_only_when_they_happen_again_and_again_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, starts: int, batches: int, lost: int
) -> None:
    real = isolated_measuring.worker_process
    factory = "tests.million_ird.scan.test_isolated_measuring:UnluckyWorker"
    monkeypatch.setattr(isolated_measuring, "worker_process", lambda _, *rest: real(factory, *rest))
    (tmp_path / "starts").write_text(str(starts))
    (tmp_path / "batches").write_text(str(batches))
    found = rows({"a": encoded(1)}, str(tmp_path))
    assert [row.get("failure_class") for row in found.values()] == ["killed" if lost else None]
    assert lost or (tmp_path / "starts").read_text() == "0"


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    real = isolated_measuring.worker_process

    def worker_process(factory: str, *rest: object) -> object:
        return real("tests.million_ird.scan.test_isolated_measuring:PoisonedWorker", *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(isolated_measuring, "worker_process", worker_process)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("models", [None, "network"])
@pytest.mark.full
def test_each_picture_that_kills_is_a_failed_row_and_the_others_are_measured(models: str | None) -> None:
    good = {f"good {i}": encoded(i) for i in range(BATCH + 3)}
    bad = {mark: encoded(99) + mark.encode() for mark in ("crash", "sleep", "abort", "raise", "slain")}
    mixed = (
        dict(zip([*good][:2], [*good.values()][:2], strict=True)) | bad | good | {"gone": Failed("missing", "it is")}
    )
    found = rows(mixed, models)
    assert found.keys() == mixed.keys()
    classes = {uri: row["failure_class"] for uri, row in found.items() if row.get("failure_class")}
    expected = {
        "crash": "crashed",
        "sleep": "hung",
        "abort": "crashed",
        "raise": "unexpected",
        "gone": "missing",
        "slain": "killed",
    }
    assert classes == expected
    assert "ZeroDivisionError: by a measure" in str(found["raise"]["failure_detail"])
    assert all(found[name]["phash"] for name in good)
    assert all((found[name].get("network") is not None) == bool(models) for name in good)


def test_rows_are_those_of_a_cascade_in_this_process() -> None:
    pictures: dict[str, bytes | Failed] = {f"{i}": encoded(i) for i in range(3)} | {"text": b"<html>", "none": b""}
    candidates = [Candidate(key=f"{name:0>32}", source="s", uri=name, version="1") for name in pictures]
    here = Cascade(Recipe()).rows(candidates, lambda candidate: pictures[candidate.uri])
    assert rows(pictures) == {str(row["uri"]): row for row in here}


@pytest.mark.full
@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("killed", ["the process", "its server"])
@pytest.mark.parametrize("models", [None, "network"])
def test_what_is_killed_between_two_pictures_costs_none(models: str | None, killed: str) -> None:
    pictures = {f"{number}": encoded(number) for number in range(6)}
    expected = rows(pictures, models)
    candidates = [Candidate(key=f"{name:0>32}", source="s", uri=name, version="1") for name in pictures]

    def fetch(candidate: Candidate) -> bytes:
        server = fork_server._server
        if candidate.uri in ("3", "4") and server is not None:
            of_server = psutil.Process(server._process.pid)
            for process in [of_server] if killed == "its server" else of_server.children():
                process.kill()
                process.wait()
        return pictures[candidate.uri]

    recipe = Recipe.model_validate({"limits": {"seconds": 4}})
    found = {str(row["uri"]): row for row in IsolatedMeasurer(recipe, models).rows(candidates, fetch)}
    assert found == expected
    assert not any(row.get("failure_class") for row in found.values())
    assert all((row.get("network") is not None) == bool(models) for row in found.values())
