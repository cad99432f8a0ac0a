"""What a publication did, and how it is told."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What a publication did, or would do."""

    repo_id: str
    revision: str
    url: str
    """Where the release can be seen; empty for a dry run."""
    commit: str
    """The commit that holds it; empty for a dry run."""
    uploaded: Mapping[str, int]
    """Names and sizes in bytes of the files that were new or changed; of all files for a dry run."""
    deleted: tuple[str, ...]
    """Names of the files that were taken away."""
    tag: str
    """The tag that was made, or empty."""
    dry_run: bool = False

    @property
    def did_nothing(self) -> bool:
        """Whether everything was there already."""
        return not (self.dry_run or self.uploaded or self.deleted or self.tag)

    @property
    def text(self) -> str:
        """What is said to a person."""
        size = f"{sum(self.uploaded.values()) / 1e6:,.1f} MB"
        where = f"{self.repo_id}@{self.revision}"
        if self.dry_run:
            lines = [f"{bytes:>16,}  {name}" for name, bytes in self.uploaded.items()]
            told = f"Would publish {len(lines):,} files, {size}, as {where}; those that are there already are not sent"
            return "\n".join([*lines, f"{told}, and other shards, records and pictures of the set there are deleted."])
        if self.did_nothing:
            return f"Nothing to publish: {where} holds this set already ({self.url})"
        told = f"{len(self.uploaded):,} files ({size}) published, {len(self.deleted):,} deleted: {self.url}"
        return f"{told}, commit {self.commit[:8]}" + (f", tag {self.tag}" if self.tag else "")

    def as_json(self) -> dict[str, object]:
        """The same as one JSON object."""
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
