"""What a build did, and where its results are."""

import html
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from million_ird.dataset.layout import REPORT, hub_configs
from million_ird.dataset.shards import WriteSummary
from million_ird.errors import UsageError
from million_ird.ledger import Funnel
from million_ird.runtime.storage import Folder
from million_ird.scan.scan import ScanSummary
from million_ird.schema import TRAIN

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(slots=True)
class Result:
    """What a build, or the stages of it that ran, did."""

    funnel: Funnel
    out: str
    scan: ScanSummary = field(default_factory=ScanSummary)
    written: WriteSummary = field(default_factory=WriteSummary)
    seconds: float = 0.0
    reported: bool = False
    """Whether the report was written."""

    @property
    def did_nothing(self) -> bool:
        """Whether everything had been done by an earlier run; card and report may have been written again."""
        return self.scan.measured == 0 and self.written.new_shards == 0

    @property
    def is_current(self) -> bool:
        """Whether nothing at all was written, since nothing moved since an earlier run."""
        return self.did_nothing and not self.written.card and not self.reported

    @property
    def report(self) -> str:
        """The path of the HTML report."""
        return Folder(self.out).path(REPORT)

    def ledger(self) -> "Dataset":
        """Return all candidates with their numbers, verdicts and reasons."""
        return self.dataset("ledger")

    def dataset(self, config: str = "images", split: str = TRAIN) -> "Dataset":
        """Return what was written, as `datasets.load_dataset` loads it: the column `image` holds PIL images.

        Args:
            config: `images`, `patches` or `ledger`.
            split: `train` or `validation`.

        Raises:
            UsageError: There are no files of this configuration and split.
        """
        from datasets import Dataset, DatasetInfo, Features, load_dataset

        configs = hub_configs(Folder(self.out))
        rows = {(found.name, part.name): part.rows for found in configs for part in found.splits}
        if (config, split) not in rows:
            known = ", ".join(f"{name} ({part})" for name, part in rows)
            raise UsageError(f"{self.out}: has no {config!r} of the split {split!r}, only {known}")
        if not rows[config, split]:  # `load_dataset` refuses a split without rows
            schema = next(found.schema for found in configs if found.name == config)
            return Dataset(schema.empty_table(), DatasetInfo(features=Features.from_arrow_schema(schema)))
        loaded: Dataset = load_dataset(self.out, config, split=split)
        return loaded

    def _repr_html_(self) -> str:
        """Show the funnel in a notebook."""
        counts = [("candidates", self.funnel.candidates), ("kept", self.funnel.kept)]
        counts += [(f"dropped: {reason}", count) for reason, count in self.funnel.dropped.items()]
        counts += [(f"failed: {reason}", count) for reason, count in self.funnel.failures.items()]
        total = max(1, self.funnel.candidates)
        rows = [
            f"<tr><td>{html.escape(name)}</td><td>{count:,}</td><td>{count / total:.1%}</td></tr>"
            for name, count in counts
        ]
        return f"<table><caption>{html.escape(self.out)}</caption>{''.join(rows)}</table>"
