"""What a publication did, and how it is told."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What a publication did, or would do."""

    repo_id: str
    revision: str
    url: str
    """Where the model can be seen; empty for a dry run."""
    commit: str
    """The commit that holds it; empty for a dry run."""
    files: Mapping[str, int]
    """Names and sizes in bytes of all files that the model then has of ours."""
    deleted: tuple[str, ...]
    """Names of files of an earlier publication that were taken away."""
    changed: bool
    """False where everything was there already."""
    card: str
    dry_run: bool = False

    @property
    def text(self) -> str:
        """What is said to a person."""
        where = f"{self.repo_id}@{self.revision}"
        size = f"{sum(self.files.values()) / 1e6:,.1f} MB"
        if self.dry_run:
            lines = [f"{size:>16,}  {name}" for name, size in self.files.items()]
            told = f"Would publish {len(self.files)} files, {size}, as {where}, with this card:"
            return "\n".join([*lines, told, "", self.card])
        if not self.changed:
            return f"Nothing to publish: {where} holds these weights already ({self.url})"
        told = f"{len(self.files)} files ({size}) published, {len(self.deleted)} deleted: {self.url}"
        return f"{told}, commit {self.commit[:8]}"

    def as_object(self) -> dict[str, object]:
        """The same for programs."""
        return {
            "repo_id": self.repo_id,
            "revision": self.revision,
            "url": self.url,
            "commit": self.commit,
            "files": dict(self.files),
            "deleted": list(self.deleted),
            "bytes": sum(self.files.values()),
            "changed": self.changed,
            "dry_run": self.dry_run,
            "card": self.card,
        }
