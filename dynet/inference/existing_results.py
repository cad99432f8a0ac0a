"""Which inputs of `dynet restore` have a result already, found by names and headers, before torch is loaded."""

from collections.abc import Sequence
from pathlib import Path

from dynet.errors import ImageError
from dynet.inference.encoding import Encoding
from dynet.inference.file_encoding import file_suffix
from dynet.inference.file_header import possible_files
from dynet.inference.images import read_file
from dynet.inference.inputs import InputFile, OutputNaming, ReservedPaths
from dynet.inference.results import RestoreFailure


def claim_results(
    file: InputFile, suffix: str, naming: OutputNaming, reserved: ReservedPaths, *, overwrite: bool
) -> tuple[list[Path], Path | None]:
    """Reserve the paths of an input's results, whose suffix is known, and of its sheet, if there is one.

    Raises:
        ImageError: One of them exists and may not be replaced, or it is that of another file.
    """
    for path in naming.paths(file.target, suffix):
        reserved.reserve(file, path)
        if path.exists() and not overwrite:
            raise ImageError(f"{path} already exists; --overwrite replaces it")
    return naming.result_paths(file.target, suffix), naming.sheet_path(file.target) if naming.compare else None


def find_existing_results(inputs: Sequence[InputFile], naming: OutputNaming) -> dict[Path, RestoreFailure]:
    """Return the failures of the inputs that have a result, which would be replaced, by the path of the input.

    They are those that `claim_results` raises when an input is decoded. Here an input is decoded only if it may have a
    result and its header does not tell under which suffix. One that cannot be read is left to the run.
    """
    reserved, found = ReservedPaths(inputs, naming), {}
    for file in inputs:
        possible = naming.encoding.possible_suffixes(file.path.suffix)
        if not any(_any_exists(naming, file, suffix) for suffix in possible):
            continue
        suffix = _result_suffix(file.path, naming.encoding)
        if suffix is None or not _any_exists(naming, file, suffix):
            continue
        try:
            claim_results(file, suffix, naming, reserved, overwrite=False)
        except ImageError as error:
            found[file.path] = RestoreFailure(file.path, str(error))
    return found


def _any_exists(naming: OutputNaming, file: InputFile, suffix: str) -> bool:
    return any(path.exists() for path in naming.paths(file.target, suffix))


def _result_suffix(path: Path, encoding: Encoding) -> str | None:
    """Return the suffix of an input's results; None if it cannot be read, or not be stored in the chosen format."""
    try:
        first, *others = possible_files(path)
        suffix = file_suffix(first, encoding, path.suffix)
        if all(file_suffix(other, encoding, path.suffix) == suffix for other in others):
            return suffix
    except (ImageError, MemoryError):
        pass
    try:
        return file_suffix(read_file(path), encoding, path.suffix)
    except (ImageError, MemoryError):
        return None
