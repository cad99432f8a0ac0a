"""What publishing a dataset did."""

from collections.abc import Mapping
from dataclasses import dataclass

from million_ird.reporting.formatting import plural


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetPublishResult:
    """What publishing a dataset did, or would do."""

    repo_id: str
    revision: str
    url: str
    """Address of the release; empty for a dry run."""
    commit: str
    """The commit that holds it; empty for a dry run."""
    uploaded: Mapping[str, int]
    """Names and sizes in bytes of the files that were new or changed; of all files for a dry run."""
    deleted: tuple[str, ...]
    """Names of the files that were deleted."""
    tag: str
    """The tag that was created, or empty."""
    dry_run: bool = False

    @property
    def did_nothing(self) -> bool:
        """Whether the Hub had this release already."""
        return not (self.dry_run or self.uploaded or self.deleted or self.tag)

    @property
    def text(self) -> str:
        """The result for a person."""
        files, size = plural(len(self.uploaded), "file"), f"{sum(self.uploaded.values()) / 1e6:,.1f} MB"
        branch = f"{self.repo_id}@{self.revision}"
        if self.dry_run:
            lines = [f"{n_bytes:>16,}  {name}" for name, n_bytes in self.uploaded.items()]
            lines.append(
                f"Would publish {files}, {size}, as {branch}. Files that the Hub has already are not sent again; "
                "other shards, records and figures of the dataset there are deleted."
            )
            return "\n".join(lines)
        if self.did_nothing:
            return f"Nothing to publish: {branch} holds this dataset already ({self.url})"
        summary = f"{files} ({size}) published, {len(self.deleted):,} deleted: {self.url}, commit {self.commit[:8]}"
        return summary + (f", tag {self.tag}" if self.tag else "")

    def as_json(self) -> dict[str, object]:
        """Return the result as one JSON object."""
        return {
            "repo_id": self.repo_id,
            "revision": self.revision,
            "url": self.url,
            "commit": self.commit,
            "uploaded": dict(self.uploaded),
            "deleted": list(self.deleted),
            "bytes": sum(self.uploaded.values()),
            "tag": self.tag,
            "dry_run": self.dry_run,
        }
