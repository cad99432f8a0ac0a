"""Brings a branch on the Hugging Face Hub to hold a data set, in one commit: the old release is there or the new one,
never a mixture of both.

Large files go up first, by path and a few at a time, and stand in no listing until the one commit that names them all
and takes away what is no longer in the set. So a run that is killed leaves the old release, and the next one sends only
what the Hub has not got yet.
"""

import hashlib
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from itertools import count, islice
from typing import Literal

import huggingface_hub
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

from million_ird.dataset.layout import RELEASES
from million_ird.errors import BuildError, UsageError
from million_ird.hub.publish_result import Published
from million_ird.hub.retry import HTTP_ERROR, Persistence, is_absent
from million_ird.runtime.progress import Listener
from million_ird.runtime.storage import Folder

log = logging.getLogger(__name__)

KIND: Literal["dataset"] = "dataset"
FOLDERS = ("", "data", "patches", "ledger", "benchmarks", "report", "releases", "card")
OURS = re.compile(
    r"README\.md|LICENSE\.md|recipe\.yaml|CHANGES\.md|removed\.[^/]+|report/index\.html"
    r"|(data|patches|ledger|benchmarks)/[^./][^/]*\.parquet|releases/[^./][^/]*|card/[^./][^/]*\.(png|svg)"
)
"""What of a build's folder belongs to the release, here and on the Hub. Nothing else is sent or deleted."""
GROUP = 8
"""Files that are handed in by one request; progress shows after each group."""
THREADS = 4
"""Files that are sent at the same time."""
MANY_FILES = 5_000
"""Changes in a commit of which the log says that they are many."""
MOST_FILES = 25_000
"""Files that the Hub takes in one commit."""


@dataclass(frozen=True, slots=True)
class _Remote:
    """A branch as it stands: its commit, and of each file of ours the size and the name of its content."""

    commit: str
    files: Mapping[str, RepoFile]


def contents(folder: Folder) -> dict[str, int]:
    """The files of the release in a build's folder, by name: their sizes in bytes."""
    names = (f"{part}/{name}".lstrip("/") for part in FOLDERS for name in folder.names(part))
    found = sorted(name for name in names if OURS.fullmatch(name) and os.path.isfile(folder.path(name)))
    return {name: os.path.getsize(folder.path(name)) for name in found}


def push(
    folder: Folder, repo_id: str, *, private: bool = False, branch: str = "main", listener: Listener | None = None
) -> Published:
    """Brings a branch to hold the files of `folder`, whatever they are: `publish` without its checks of the set.

    Whole files are never in memory. When the branch holds them already, no commit is made.

    Raises:
        UsageError, BuildError: as `publish`.
    """
    api = HfApi(library_name="million-ird", library_version=metadata.version("million-ird"))
    firmly = Persistence(api.endpoint, repo_id)
    sizes = contents(folder)
    with quiet():
        _open(api, firmly, repo_id, private, branch)
        additions = {name: CommitOperationAdd(name, folder.path(name)) for name in sizes}
        uploaded: dict[str, int] = {}
        deleted: set[str] = set()
        for tries in count():
            # After a commit whose answer was lost, or one by somebody else, this shows what is left to do.
            remote = firmly.ask("reading what is there", lambda: _look(api, repo_id, branch))
            changed = [name for name, one in additions.items() if not _is_there(one, remote.files.get(name))]
            gone = sorted(remote.files.keys() - sizes.keys())
            commit = remote.commit
            if not changed and not gone:
                break
            uploaded |= {name: sizes[name] for name in changed}
            deleted |= set(gone)
            _upload(api, firmly, repo_id, branch, [additions[name] for name in changed], len(gone), listener)
            operations: list[CommitOperationAdd | CommitOperationDelete] = [additions[name] for name in changed]
            operations += map(CommitOperationDelete, gone)
            with firmly.attempt(tries, "the commit"):
                made = api.create_commit(
                    repo_id,
                    operations,
                    commit_message=_message(folder),
                    repo_type=KIND,
                    revision=branch,
                    parent_commit=commit,
                )
                commit = made.oid
                break
        tag = _tag(api, firmly, repo_id, folder, commit, bool(uploaded or deleted))
    return Published(
        repo_id=repo_id,
        revision=branch,
        url=f"{api.endpoint}/datasets/{repo_id}/tree/{branch}",
        commit=commit,
        uploaded=uploaded,
        deleted=tuple(sorted(deleted)),
        tag=tag,
    )


def _open(api: HfApi, firmly: Persistence, repo_id: str, private: bool, branch: str) -> None:
    """Makes data set and branch where they are not there."""

    def is_public() -> bool:
        try:
            return api.dataset_info(repo_id).private is False
        except HfHubHTTPError as error:
            if not is_absent(error):
                raise
            api.create_repo(repo_id, repo_type=KIND, private=private or None, exist_ok=True)
            return api.dataset_info(repo_id).private is False

    if firmly.ask("opening the data set", is_public) and private:
        raise UsageError(f"{repo_id}: is public; make it private in its settings, or leave --private out")

    def branch_out() -> None:
        try:
            api.dataset_info(repo_id, revision=branch)
        except RevisionNotFoundError:
            api.create_branch(repo_id, branch=branch, repo_type=KIND, exist_ok=True)

    firmly.ask(f"opening the branch {branch}", branch_out)


def _look(api: HfApi, repo_id: str, branch: str) -> _Remote:
    commit = api.dataset_info(repo_id, revision=branch).sha
    assert commit is not None
    found = api.list_repo_tree(repo_id, recursive=True, revision=commit, repo_type=KIND)
    return _Remote(commit, {one.path: one for one in found if isinstance(one, RepoFile) and OURS.fullmatch(one.path)})


def _is_there(addition: CommitOperationAdd, remote: RepoFile | None) -> bool:
    """Whether the Hub's file of that name has these bytes; a large file is hashed once in a run at most."""
    if remote is None or remote.size != addition.upload_info.size:
        return False
    if remote.lfs is not None:
        return addition.upload_info.sha256.hex() == remote.lfs.sha256
    found = hashlib.sha1(b"blob %d\0" % remote.size)
    with addition.as_file() as file:
        while chunk := file.read(2**20):
            found.update(chunk)
    return found.hexdigest() == remote.blob_id


def _upload(
    api: HfApi,
    firmly: Persistence,
    repo_id: str,
    branch: str,
    additions: list[CommitOperationAdd],
    deletions: int,
    listener: Listener | None,
) -> None:
    """Hands in the large files among the additions; those that the Hub has already are not sent again."""
    changes = len(additions) + deletions
    if changes > MOST_FILES:
        raise UsageError(
            f"{repo_id}: {changes:,} changed files are more than the {MOST_FILES:,} that the Hub takes in one commit; "
            "make shards larger (shards.bytes of the recipe) and build again"
        )
    if changes > MANY_FILES:
        log.warning("%s: one commit of %d files is much for the Hub; larger shards make fewer", repo_id, changes)
    if listener:
        listener.stage("upload", len(additions), "files")
    waiting = iter(additions)
    while group := list(islice(waiting, GROUP)):
        send = partial(
            api.preupload_lfs_files,
            repo_id,
            group,
            repo_type=KIND,
            revision=branch,
            num_threads=THREADS,
            free_memory=False,
        )
        firmly.ask(f"uploading {group[0].path_in_repo} …", lambda send=send: _apart(send))  # type: ignore[misc]
        if listener:
            listener.advance(len(group))


def _apart(call: Callable[[], object]) -> None:
    """Runs it in a thread, so that Ctrl-C is heard at once and not when the files in flight have arrived."""
    done: Future[object] = Future()

    def run() -> None:
        try:
            done.set_result(call())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, name="upload", daemon=True).start()
    done.result()


def _message(folder: Folder) -> str:
    version = _version(folder)
    return f"Release v{version}" if version is not None else "Publish the data set"


def _version(folder: Folder) -> int | None:
    """The version of the newest release record, if there are any."""
    records = folder.read_json(RELEASES)
    if records is None:
        return None
    try:
        return int(records[-1]["version"])
    except (TypeError, LookupError, ValueError):
        raise BuildError(f"{folder.path(RELEASES)}: its last entry has no version") from None


def _tag(api: HfApi, firmly: Persistence, repo_id: str, folder: Folder, commit: str, changed: bool) -> str:
    """Tags the commit as its release, unless that tag is there; a tag never moves."""
    version = _version(folder)
    if version is None:
        return ""
    tag = f"v{version}"
    refs = firmly.ask("reading the tags", lambda: api.list_repo_refs(repo_id, repo_type=KIND))
    if any(one.name == tag for one in refs.tags):
        if changed:
            log.warning("%s: the tag %s was there before and stays with its commit", repo_id, tag)
        return ""
    firmly.ask(
        f"making the tag {tag}",
        lambda: api.create_tag(repo_id, tag=tag, revision=commit, repo_type=KIND, exist_ok=True),
    )
    return tag


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps the client's own lines and bars out of terminal and logs: they quote signed addresses, and we have ours."""
    loudness = huggingface_hub.logging.get_verbosity()
    requests = logging.getLogger(HTTP_ERROR.__module__.partition(".")[0])
    level = requests.level
    huggingface_hub.logging.set_verbosity(logging.ERROR)
    requests.setLevel(logging.WARNING)
    try:
        with disable_progress_bars():
            yield
    finally:
        requests.setLevel(level)
        huggingface_hub.logging.set_verbosity(loudness)
