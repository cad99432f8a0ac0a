"""Verification of a built dataset: everything is read again and compared with the recipe and the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from million_ird import ledger as ledgers
from million_ird.build_folder import open_build
from million_ird.dataset.columns import image_columns
from million_ird.dataset.layout import CARD, data_files, hub_configs, linked_files, read_front_matter, split_rows
from million_ird.errors import DamagedFile, LedgerError, one_line
from million_ird.ledger_stream import LedgerStream
from million_ird.maintenance.verify_images import ImagesFound, verify_images
from million_ird.maintenance.verify_ledger import ledger_faults
from million_ird.printable import printable
from million_ird.reporting.formatting import plural
from million_ird.runtime.executor import Executor
from million_ird.runtime.progress import Listener
from million_ird.runtime.storage import Folder
from million_ird.stages import IN_DATASET, IN_LEDGER, BuildStages, Stage, find_stages

MAX_FAULTS = 1000
"""Number of faults after which no more are listed."""


@dataclass(slots=True)
class VerifyReport:
    """The result of a verification."""

    faults: list[str] = field(default_factory=list)
    images: int = 0
    patches: int = 0
    stale: list[str] = field(default_factory=list)
    """The stages that are due, each with the reason and the command. Data that a due stage will write is not compared:
    its differences are no faults."""

    @property
    def is_current(self) -> bool:
        """Whether the dataset is without faults, and that of its recipe, scan and ledger."""
        return not (self.faults or self.stale)

    @property
    def text(self) -> str:
        """The faults, one per line, and the counts, for people."""
        lines = [*map(printable, self.faults), *(f"stale: {printable(line)}" for line in self.stale)]
        if self.stale:
            return "\n".join(
                [*lines, "The images and patches were not compared with the ledger; verify again after this"]
            )
        images, patches = plural(self.images, "image"), plural(self.patches, "patch", "patches")
        return "\n".join([*lines, f"{images} and {patches} read: {plural(len(self.faults), 'fault')}"])

    def as_json(self) -> dict[str, object]:
        """Return the report as a JSON object."""
        return {"faults": self.faults, "stale": self.stale, "images": self.images, "patches": self.patches}

    def add(self, fault: str) -> None:
        """Add a fault; after `MAX_FAULTS` only note that there are more."""
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(fault)
        elif len(self.faults) == MAX_FAULTS:
            self.faults.append("… and more")


def verify(
    out: str, workers: int | None = 0, scheduler: str | None = None, listener: Listener | None = None
) -> VerifyReport:
    """Verify a build from its files.

    The findings do not depend on the number of workers.

    Where a stage is due, the report says so, and what that stage will write is not compared.

    Ledger: kept + dropped + failed = candidates; keys are unique; deciding again gives the same verdicts; the rows are
    those of the scan. Images: each kept image is in the data exactly once, and nothing else; its bytes have its sha256;
    imagehash computes its pHash; its other columns are those of the ledger, with the same split; it has no private
    metadata where the recipe removes it. Patches: each patch that passes the gates is there exactly once, and nothing
    else, with exactly the pixels of its box in its parent. Card: it lists the files and the right counts.

    Args:
        out: The output folder of a build.
        workers: Worker processes that check images and patches; 0 works in this process, None takes one per core.
        scheduler: The address of a dask scheduler, used instead of `workers`.
        listener: Receives the progress.

    Raises:
        OutputError: There is no build.
        UsageError: The scheduler does not answer, or has no workers.
        LedgerError: It has no ledger.
        DamagedFile: The ledger cannot be read.
    """
    folder, recipe = open_build(out)
    report = VerifyReport()
    ledger = LedgerStream.of_build(folder)
    measures = ledgers.check_version(ledger.schema, f"{folder.url}/{ledgers.FOLDER}")
    for name in ledgers.files(folder):
        if not folder.read_schema(name).equals(ledgers.ledger_schema(measures)):
            raise LedgerError(f"{folder.url}/{name}: does not have the columns of a ledger")
    stages = find_stages(folder, recipe)
    report.stale = _due(stages, IN_LEDGER)
    if report.stale:
        return report
    with Executor(workers, scheduler) as executor:
        for fault in ledger_faults(folder, recipe, executor, MAX_FAULTS + 1):
            report.add(fault)
        report.stale = [] if report.faults else _due(stages, IN_DATASET)  # a damaged ledger was not decided again
        if report.stale:
            return report
        kept = ledger.kept_table([*image_columns(measures), "split"])
        _add_images(verify_images(folder, kept, recipe, executor, listener), report)
    _check_card(folder, ledger.num_rows, report)
    return report


def _due(stages: BuildStages, among: Sequence[Stage]) -> list[str]:
    return [stages.line(stage) for stage in among if stage in stages.due][:1]


def _add_images(found: ImagesFound, report: VerifyReport) -> None:
    report.images, report.patches = found.images, found.patches
    for fault in found.faults:
        report.add(fault)


def _check_card(folder: Folder, candidates: int, report: VerifyReport) -> None:
    if not folder.exists(CARD):
        report.add(f"{CARD}: is missing")
        return
    card = folder.read(CARD).decode(errors="replace")
    try:
        front_matter = read_front_matter(card)
        configs = hub_configs(folder)
    except ValueError as error:
        report.add(f"{CARD}: cannot be read: {one_line(error)}")
        return
    except DamagedFile:  # already reported
        return
    counts = {"images": report.images, "patches": report.patches, "ledger": candidates}
    for config in configs:
        if data_files(front_matter, config.name) != config.data_files():
            report.add(f"{CARD}: does not list the files of {config.folder}")
        rows = {split.name: split.rows for split in config.splits}
        in_table = all(f"| `{config.name}` | {count:,} | {split} |" in card for split, count in rows.items())
        if not in_table or split_rows(front_matter, config.name) != rows or sum(rows.values()) != counts[config.name]:
            report.add(f"{CARD}: does not state that there are {counts[config.name]} {config.name}")
    for absent in counts.keys() - {config.name for config in configs}:
        report.add(f"{CARD}: there are no files of {absent}")
    for name in linked_files(card):
        if not folder.exists(name):
            report.add(f"{CARD}: links to {name}, which does not exist")
