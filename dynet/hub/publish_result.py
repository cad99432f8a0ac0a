"""The result of a publication, as text and as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishResult:
    """What a publication did, or would do."""

    repo_id: str
    revision: str
    url: str
    """The page of the model; empty for a dry run."""
    commit: str
    """The commit that holds the release; empty for a dry run."""
    files: Mapping[str, int]
    """Names and sizes in bytes of all files of the release."""
    deleted: tuple[str, ...]
    """Names of deleted files of an earlier release."""
    changed: bool
    """False where everything was there already."""
    card: str
    dry_run: bool = False

    @property
    def text(self) -> str:
        """The message for a person."""
        target = f"{self.repo_id}@{self.revision}"
        size = f"{sum(self.files.values()) / 1e6:,.1f} MB"
        files = f"{len(self.files)} file" + ("" if len(self.files) == 1 else "s")
        if self.dry_run:
            lines = [f"{size:>16,}  {name}" for name, size in self.files.items()]
            return "\n".join([*lines, f"Would publish {files}, {size}, as {target}, with this card:", "", self.card])
        if not self.changed:
            return f"Nothing to publish: {target} already holds these weights ({self.url})"
        return f"{files} ({size}) published, {len(self.deleted)} deleted: {self.url}, commit {self.commit[:8]}"

    def as_object(self) -> dict[str, object]:
        """Return the result as a JSON object."""
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
