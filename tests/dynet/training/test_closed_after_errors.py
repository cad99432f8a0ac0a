"""Whatever ends a training, no thread, process or open file is left, even while the error is kept."""

import multiprocessing
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState
from accelerate.tracking import TensorBoardTracker

import dynet
from dynet.data.mix import Mix
from dynet.errors import DataError, DivergedError, DyNetError
from dynet.training.metrics_log import LineLog
from dynet.training.trainer import Trainer

Text = Callable[..., str]
Patch = Callable[[pytest.MonkeyPatch], None]


def _out_of_reach(patch: pytest.MonkeyPatch) -> None:
    make = Mix.example

    def fail_at_step_2(self: Mix, step: int, *arguments: object) -> object:
        if step >= 2:
            raise DataError("an image is out of reach")
        return make(self, step, *arguments)  # type: ignore[arg-type]

    patch.setattr(Mix, "example", fail_at_step_2)


def _raises(owner: type, name: str, error: BaseException) -> Patch:
    def fail(*arguments: object, **named: object) -> None:
        raise error

    return lambda patch: patch.setattr(owner, name, fail)


FULL = OSError(28, "No space left on device")
FAULTS: dict[str, tuple[Patch, dict[str, object], type[BaseException]]] = {
    "diverged": (lambda _: None, {"learning_rate": 1e9, "warmup_steps": 0}, DivergedError),
    "image": (_out_of_reach, {}, DataError),
    "image of a worker": (_out_of_reach, {"workers": 2}, DataError),
    "step of a run with workers": (_raises(Trainer, "_train_step", ValueError("odd")), {"workers": 2}, ValueError),
    "metrics": (_raises(LineLog, "append", FULL), {}, DyNetError),
    "preview": (_raises(Trainer, "_write_preview", FULL), {"preview_every": 1}, DyNetError),
    "curves": (_raises(TensorBoardTracker, "log", FULL), {}, DyNetError),
    "Ctrl-C": (_raises(Trainer, "_train_step", KeyboardInterrupt()), {}, KeyboardInterrupt),
}


def _open_files(folder: Path) -> list[str]:
    """Return the files below a folder that this process has open."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(entry)
        except OSError:  # that of the listing itself
            continue
        if target.startswith(f"{folder}/"):
            found.append(target)
    return found


@pytest.mark.parametrize("fault", FAULTS)
def test_a_training_that_fails_leaves_nothing_open(
    fault: str, data_set: Path, tmp_path: Path, recipe_text: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_it, keys, expected = FAULTS[fault]
    AcceleratorState._reset_state()
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(recipe_text("finetune", **{"steps": 4, "warmup_steps": 0} | keys))
    threads = set(threading.enumerate())
    break_it(monkeypatch)
    with pytest.raises(expected) as kept:
        dynet.train(data_set, tmp_path / "run", recipe, device="cpu")
    assert kept.value.__traceback__ is not None
    left = [thread for thread in set(threading.enumerate()) - threads if thread.name != "tqdm_monitor"]  # the process's
    for thread in left:
        thread.join(30)  # those of closed queues end by themselves, on a busy machine a little later
    assert not [thread for thread in left if thread.is_alive()]
    assert multiprocessing.active_children() == []
    assert _open_files(tmp_path) == []
