"""What `dynet publish` is asked for, checked before torch is loaded: the weights, the name, the evaluations."""

from collections.abc import Sequence
from pathlib import Path

from dynet.errors import RunError, UsageError, WeightsError, reason_of
from dynet.evaluation.result_files import JSON
from dynet.model.weights import FILE_NAME, parts_of
from dynet.training.checkpoints import last_step
from dynet.training.run_folder import RunFolder


def locate_release(source: Path) -> Path:
    """Return the weights file of a finished run or of a folder, or the file itself.

    Raises:
        RunError: The run is not finished.
        WeightsError: There is no such file.
    """
    run = source.parent.parent if source.parent.name == "checkpoints" else source
    if (run / "run.json").is_file() and not RunFolder(run).is_finished():
        step = last_step(RunFolder(run).checkpoints)
        steps = "1 step" if step == 1 else f"{step} steps"
        raise RunError(f"{run} is not finished (after {steps}): `dynet train … --resume` continues it")
    if source.is_dir():
        if not (source / FILE_NAME).is_file():
            hint = "publish a finished RUN or a weights file; `dynet join` turns parts into one file"
            raise WeightsError(f"{source} contains no {FILE_NAME}: {hint}")
        return source / FILE_NAME
    if not source.is_file():
        raise WeightsError(f"{source}: no such file or folder")
    if len(parts_of(source)) > 1:
        raise WeightsError(f"{source} is one part of several; `dynet join` turns them into one file")
    return source


def check_repo_id(repo_id: str) -> None:
    """Check that a name has the form user/name.

    Raises:
        UsageError: It has not, or contains characters that the Hub does not allow.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise UsageError(f"--repo-id {repo_id}: is not a valid name: {reason_of(error)}") from None
    if repo_id.count("/") != 1:
        raise UsageError(f"--repo-id {repo_id}: is not a valid name: it has the form user/name")


def check_evaluations(folders: Sequence[Path]) -> None:
    """Check that folders have results of `dynet evaluate --out`; what these say is read later.

    Raises:
        UsageError: One of them has none.
    """
    for folder in folders:
        if not (folder / JSON).is_file():
            raise UsageError(f"--evaluation {folder}: has no {JSON} of `dynet evaluate --out`")
