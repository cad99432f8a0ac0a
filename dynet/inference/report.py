"""What `dynet restore` prints: results on stdout, faults and progress on stderr."""

import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from dynet.errors import InterruptedRun
from dynet.inference.inputs import Input
from dynet.inference.restore import Failed, Restoration, Restored, restore_all
from dynet.runtime.cost import MB
from dynet.runtime.progress import ProgressReport


def restore_and_report(inputs: Sequence[Input], how: Restoration, *, as_json: bool) -> bool:
    """Restore each file and print what became of it; True if none failed.

    Raises InterruptedRun after Ctrl-C: files that are finished are whole, and nothing is left of the one
    that was not.
    """
    sound, done = True, 0
    sizes = [_bytes_of(entry) for entry in inputs]
    with ProgressReport("restore", sum(sizes), as_percentage=True) as progress, _warnings_to(progress.say):
        work = _Work(progress, sizes)
        try:
            for result in restore_all(inputs, how, work.advance):
                done += 1
                work.finish(result.input.name)
                sound = sound and isinstance(result, Restored)
                _print(result, progress, as_json=as_json)
        except KeyboardInterrupt:
            raise InterruptedRun(f"interrupted: {done} of {len(inputs)} files are done, and whole") from None
    return sound


class _Work:
    """From the part of a file that is done to that of all, in which a file counts by its size on disk."""

    def __init__(self, progress: ProgressReport, sizes: Sequence[int]) -> None:
        self._progress, self._sizes = progress, sizes
        self._files, self._counted = 0, 0.0

    def advance(self, note: str, part: float) -> None:
        of_file = part * self._sizes[self._files]
        self._progress.advance(f"file {self._files + 1} of {len(self._sizes)}: {note}", of_file - self._counted)
        self._counted = of_file

    def finish(self, note: str) -> None:
        self.advance(note, 1.0)
        self._files, self._counted = self._files + 1, 0.0


def _print(result: Restored | Failed, progress: ProgressReport, *, as_json: bool) -> None:
    if isinstance(result, Failed):
        progress.say(f"dynet: {result.error}")
    elif not as_json:
        for output in result.outputs:
            how = f"in tiles of {output.tile}" if output.tile else "whole"
            sys.stdout.write(f"{output.path}  {output.variant}  {output.seconds:.1f} s  {how}\n")
        if result.sheet:
            sys.stdout.write(f"{result.sheet}\n")
    if as_json:
        sys.stdout.write(json.dumps(_as_object(result)) + "\n")
    sys.stdout.flush()


def _as_object(result: Restored | Failed) -> dict[str, object]:
    if isinstance(result, Failed):
        return {"input": str(result.input), "error": result.error}
    outputs = {
        output.variant: {
            "path": str(output.path),
            "seconds": output.seconds,
            "tile": output.tile,
            "peak_mb": None if output.peak_bytes is None else round(output.peak_bytes / MB, 1),
        }
        for output in result.outputs
    }
    described = {"input": str(result.input), "width": result.width, "height": result.height, "outputs": outputs}
    return described | {"compare": None if result.sheet is None else str(result.sheet)}


def _bytes_of(entry: Input) -> int:
    try:
        return max(1, entry.path.stat().st_size)
    except OSError:
        return 1  # gone meanwhile: its turn will say so


@contextmanager
def _warnings_to(say: Callable[[str], None]) -> Iterator[None]:
    """Within it, warnings of dynet's modules are lines above the progress bar."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say(f"dynet: {record.getMessage()}")

    handler, root = Handler(logging.WARNING), logging.getLogger("dynet")
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
