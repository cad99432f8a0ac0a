"""The output of `dynet restore`: results on stdout, errors and progress on stderr."""

import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dynet.errors import InterruptedRun
from dynet.inference.inputs import InputFile
from dynet.inference.results import RestoredFile, RestoreFailure
from dynet.runtime.printable import printable
from dynet.runtime.progress import ProgressReport

if TYPE_CHECKING:
    from dynet.inference.restore import RestoreOptions


def restore_and_print(
    inputs: Sequence[InputFile], options: "RestoreOptions", known: Mapping[Path, RestoreFailure], *, as_json: bool
) -> bool:
    """Restore each file and print its result; for one whose failure is known, print that.

    Returns:
        Whether every file was restored.

    Raises:
        InterruptedRun: After Ctrl-C. Finished files are complete, and nothing is left of the unfinished one.
    """
    from dynet.inference.restore import restore_all

    all_restored, done = True, 0
    sizes = [_file_size(file) for file in inputs]
    with ProgressReport("restore", sum(sizes), as_percentage=True) as progress, _warnings_to(progress.print_line):
        overall = _OverallProgress(progress, sizes)
        try:
            for result in restore_all(inputs, options, overall.advance, known):
                done += 1
                overall.finish_file(result.input.name)
                all_restored = all_restored and isinstance(result, RestoredFile)
                _print(result, progress, as_json=as_json)
        except KeyboardInterrupt:
            files = f"{len(inputs)} file" + ("" if len(inputs) == 1 else "s")
            raise InterruptedRun(f"interrupted: {done} of {files} finished and complete") from None
    return all_restored


def print_failures(failures: Sequence[RestoreFailure], *, as_json: bool) -> None:
    """Print failures as `restore_and_print` does, for files of which none can be restored."""
    with ProgressReport("restore", len(failures)) as progress:
        for failure in failures:
            _print(failure, progress, as_json=as_json)


class _OverallProgress:
    """The progress over all files, in which a file counts by its size on disk."""

    def __init__(self, progress: ProgressReport, sizes: Sequence[int]) -> None:
        self._progress, self._sizes = progress, sizes
        self._files, self._reported = 0, 0.0

    def advance(self, note: str, fraction: float) -> None:
        done = fraction * self._sizes[self._files]
        self._progress.advance(f"file {self._files + 1} of {len(self._sizes)}: {note}", done - self._reported)
        self._reported = done

    def finish_file(self, note: str) -> None:
        self.advance(note, 1.0)
        self._files, self._reported = self._files + 1, 0.0


def _print(result: RestoredFile | RestoreFailure, progress: ProgressReport, *, as_json: bool) -> None:
    if isinstance(result, RestoreFailure):
        progress.print_line(f"dynet: {result.error}")
    elif not as_json:
        for output in result.outputs:
            tiles = f"in tiles of {output.tile}" if output.tile else "whole"
            sys.stdout.write(f"{printable(output.path)}  {output.variant}  {output.seconds:.1f} s  {tiles}\n")
        if result.sheet:
            sys.stdout.write(f"{printable(result.sheet)}\n")
    if as_json:
        sys.stdout.write(json.dumps(_as_object(result)) + "\n")
    sys.stdout.flush()


def _as_object(result: RestoredFile | RestoreFailure) -> dict[str, object]:
    if isinstance(result, RestoreFailure):
        return {"input": str(result.input), "error": result.error}
    from dynet.runtime.cost import MB  # loads torch, as restoring has done

    outputs = {
        output.variant: {
            "path": str(output.path),
            "seconds": output.seconds,
            "tile": output.tile,
            "peak_mb": None if output.peak_bytes is None else round(output.peak_bytes / MB, 1),
        }
        for output in result.outputs
    }
    return {
        "input": str(result.input),
        "width": result.width,
        "height": result.height,
        "images": result.images,
        "outputs": outputs,
        "compare": None if result.sheet is None else str(result.sheet),
    }


def _file_size(file: InputFile) -> int:
    try:
        return max(1, file.path.stat().st_size)
    except OSError:
        return 1  # it has disappeared: restoring it will report that


@contextmanager
def _warnings_to(say: Callable[[str], None]) -> Iterator[None]:
    """Print the warnings of dynet's modules as lines above the progress bar."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say(f"dynet: {record.getMessage()}")

    handler, root = Handler(logging.WARNING), logging.getLogger("dynet")
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
