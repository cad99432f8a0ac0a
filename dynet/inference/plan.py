"""What `dynet restore` is asked for, checked by names and headers before torch is loaded, which takes seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dynet.errors import ImageError, UsageError
from dynet.inference.encoding import Encoding
from dynet.inference.existing_results import find_existing_results
from dynet.inference.images import read_size
from dynet.inference.inputs import InputFile, OutputNaming, find_input_files
from dynet.inference.results import RestoreFailure
from dynet.model.file_kind import FoundWeights, find_any_weights
from dynet.model.variants import split_names
from dynet.runtime.atomic_files import check_output_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorePlan:
    """The files to restore, and the weights file to do it with."""

    files: tuple[InputFile, ...]
    existing: Mapping[Path, RestoreFailure]
    """The failures of files that have a result, which may not be replaced."""
    weights: FoundWeights

    def failures(self) -> list[RestoreFailure]:
        """Return why no file at all can be restored, one failure for each: it has a result, or no readable header.

        Nothing is returned as soon as one can be. The others may still fail: each is read when it is its turn.
        """
        failures = []
        for file in self.files:
            if file.path in self.existing:
                failures.append(self.existing[file.path])
                continue
            try:
                read_size(file.path)
            except ImageError as error:
                failures.append(RestoreFailure(file.path, str(error)))
            else:
                return []
        return failures


def plan_restoring(
    inputs: Sequence[str | Path],
    out: Path,
    weights: str,
    *,
    variants: str | None,
    encoding: Encoding,
    compare: bool,
    overwrite: bool,
) -> RestorePlan:
    """Check inputs, `--out`, weights and variants; nothing is written.

    Args:
        inputs: Files, folders and patterns.
        out: The folder for the results.
        weights: What `--weights` names.
        variants: Names of variants with commas; None is the deepest.
        encoding: Format and quality of the results.
        compare: Whether sheets are written, too.
        overwrite: Whether existing files may be replaced.

    Raises:
        UsageError: One of them cannot be used; `WeightsError` is of this kind.
    """
    names = ("",) if variants is None else split_names(variants)
    naming = OutputNaming(encoding=encoding, variants=tuple(dict.fromkeys(names)), compare=compare)
    files = find_input_files(inputs, out, naming, overwrite=overwrite)
    check_output_folder(out)
    found = find_any_weights(weights)
    found.check_variants(variants)
    existing = {} if overwrite else find_existing_results(files, naming)
    return RestorePlan(files=tuple(files), existing=existing, weights=found)


def check_options_of_dynet(weights: FoundWeights, *, bf16: bool, local_statistics: bool) -> None:
    """Refuse options of a DyNet for a network of another kind.

    Raises:
        UsageError: One of them is asked for.
    """
    if weights.header is not None:
        return
    if bf16:
        raise UsageError("--precision bf16: only for a DyNet; networks of other kinds compute in fp32")
    if local_statistics:
        raise UsageError("--local-statistics: only a DyNet has them, and these weights are of another network")
