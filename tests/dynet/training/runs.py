"""Small runs: what the tests of training read from a RUN folder."""

import json
from pathlib import Path

import torch

from dynet import DyNet


def load_weights(run: Path) -> dict[str, torch.Tensor]:
    return DyNet.from_pretrained(run).state_dict()


def same_weights(one: Path, two: Path) -> bool:
    a, b = load_weights(one), load_weights(two)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def tensorboard_curve(run: Path, name: str) -> dict[int, float]:
    """The values of a curve by step, as TensorBoard reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    return {point.step: point.value for point in events.Scalars(name)}


def logged_steps(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
