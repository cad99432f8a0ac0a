"""Upload a dataset to a branch on the Hugging Face Hub in one commit: readers see the old release or the new one.

Large files are uploaded first, by path and a few at a time. No listing shows them until the one commit that names them
all and deletes the files that are no longer in the dataset. So a run that is killed leaves the old release, and the
next run sends only what the Hub does not have yet.
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
from million_ird.hub.publish_result import DatasetPublishResult
from million_ird.hub.retry import HTTP_ERROR, DatasetHubRetry, is_absent
from million_ird.runtime.progress import Listener
from million_ird.runtime.storage import Folder

log = logging.getLogger(__name__)

REPO_TYPE: Literal["dataset"] = "dataset"
FOLDERS = ("", "data", "patches", "ledger", "benchmarks", "report", "releases", "card")
RELEASE_FILE = re.compile(
    r"README\.md|LICENSE\.md|recipe\.yaml|CHANGES\.md|removed\.[^/]+|report/index\.html"
    r"|(data|patches|ledger|benchmarks)/[^./][^/]*\.parquet|releases/[^./][^/]*|card/[^./][^/]*\.(png|svg)"
)
"""The files of a build's folder that belong to the release, here and on the Hub. Nothing else is sent or deleted."""
GROUP = 8
"""Files that one request announces; progress is shown after each group."""
THREADS = 4
"""Files that are sent at the same time."""
MANY_FILES = 5_000
"""Changes in one commit above which a warning is logged."""
MAX_FILES = 25_000
"""Changes that the Hub accepts in one commit."""


@dataclass(frozen=True, slots=True)
class _Branch:
    """A branch as it is now: its newest commit, and the size and content hash of each release file."""

    commit: str
    files: Mapping[str, RepoFile]


def release_files(folder: Folder) -> dict[str, int]:
    """Return the names of the release files in a build's folder, with their sizes in bytes."""
    names = (f"{part}/{name}".lstrip("/") for part in FOLDERS for name in folder.names(part))
    files = sorted(name for name in names if RELEASE_FILE.fullmatch(name) and os.path.isfile(folder.path(name)))
    return {name: os.path.getsize(folder.path(name)) for name in files}


def push(
    folder: Folder, repo_id: str, *, private: bool = False, branch: str = "main", listener: Listener | None = None
) -> DatasetPublishResult:
    """Make a branch hold the release files of `folder`: `publish` without its checks of the dataset.

    Whole files are never in memory. When the branch holds the files already, no commit is made.

    Raises:
        UsageError: As `publish`.
        BuildError: As `publish`.
    """
    api = HfApi(library_name="million-ird", library_version=metadata.version("million-ird"))
    retry = DatasetHubRetry(api.endpoint, repo_id)
    sizes = release_files(folder)
    with quiet_client():
        _open(api, retry, repo_id, private, branch)
        additions = {name: CommitOperationAdd(name, folder.path(name)) for name in sizes}
        uploaded: dict[str, int] = {}
        deleted: set[str] = set()
        for tries in count():
            # After a commit whose response was lost, or a commit by somebody else, this shows what is left to do.
            current = retry.call("reading the branch", lambda: _read_branch(api, repo_id, branch))
            changed = [name for name, file in additions.items() if not _is_on_hub(file, current.files.get(name))]
            surplus = sorted(current.files.keys() - sizes.keys())
            commit = current.commit
            if not changed and not surplus:
                break
            uploaded |= {name: sizes[name] for name in changed}
            deleted |= set(surplus)
            _upload(api, retry, repo_id, branch, [additions[name] for name in changed], len(surplus), listener)
            operations: list[CommitOperationAdd | CommitOperationDelete] = [additions[name] for name in changed]
            operations += map(CommitOperationDelete, surplus)
            with retry.attempt(tries, "the commit"):
                commit_info = api.create_commit(
                    repo_id,
                    operations,
                    commit_message=_message(folder),
                    repo_type=REPO_TYPE,
                    revision=branch,
                    parent_commit=commit,
                )
                commit = commit_info.oid
                break
        tag = _tag(api, retry, repo_id, folder, commit, bool(uploaded or deleted))
    return DatasetPublishResult(
        repo_id=repo_id,
        revision=branch,
        url=f"{api.endpoint}/datasets/{repo_id}/tree/{branch}",
        commit=commit,
        uploaded=uploaded,
        deleted=tuple(sorted(deleted)),
        tag=tag,
    )


def _open(api: HfApi, retry: DatasetHubRetry, repo_id: str, private: bool, branch: str) -> None:
    """Create the dataset and the branch where they do not exist."""

    def is_public() -> bool:
        try:
            return api.dataset_info(repo_id).private is False
        except HfHubHTTPError as error:
            if not is_absent(error):
                raise
            api.create_repo(repo_id, repo_type=REPO_TYPE, private=private or None, exist_ok=True)
            return api.dataset_info(repo_id).private is False

    if retry.call("opening the dataset", is_public) and private:
        raise UsageError(f"{repo_id}: is public; make it private in its settings, or omit --private")

    def create_branch() -> None:
        try:
            api.dataset_info(repo_id, revision=branch)
        except RevisionNotFoundError:
            api.create_branch(repo_id, branch=branch, repo_type=REPO_TYPE, exist_ok=True)

    retry.call(f"opening the branch {branch}", create_branch)


def _read_branch(api: HfApi, repo_id: str, branch: str) -> _Branch:
    commit = api.dataset_info(repo_id, revision=branch).sha
    assert commit is not None
    entries = api.list_repo_tree(repo_id, recursive=True, revision=commit, repo_type=REPO_TYPE)
    files = (entry for entry in entries if isinstance(entry, RepoFile) and RELEASE_FILE.fullmatch(entry.path))
    return _Branch(commit, {file.path: file for file in files})


def _is_on_hub(addition: CommitOperationAdd, remote: RepoFile | None) -> bool:
    """Return whether the Hub's file of that name has these bytes; a large file is hashed at most once in a run."""
    if remote is None or remote.size != addition.upload_info.size:
        return False
    if remote.lfs is not None:
        return addition.upload_info.sha256.hex() == remote.lfs.sha256
    blob_hash = hashlib.sha1(b"blob %d\0" % remote.size)
    with addition.as_file() as file:
        while chunk := file.read(2**20):
            blob_hash.update(chunk)
    return blob_hash.hexdigest() == remote.blob_id


def _upload(
    api: HfApi,
    retry: DatasetHubRetry,
    repo_id: str,
    branch: str,
    additions: list[CommitOperationAdd],
    deletions: int,
    listener: Listener | None,
) -> None:
    """Upload the large files among the additions; those that the Hub has already are not sent again."""
    changes = len(additions) + deletions
    if changes > MAX_FILES:
        raise UsageError(
            f"{repo_id}: {changes:,} changed files are more than the {MAX_FILES:,} that the Hub accepts in one commit; "
            "make shards larger (shards.bytes of the recipe) and build again"
        )
    if changes > MANY_FILES:
        log.warning("%s: a commit of %d files is large for the Hub; larger shards make fewer files", repo_id, changes)
    if listener:
        listener.stage("upload", len(additions), "files")
    remaining = iter(additions)
    while group := list(islice(remaining, GROUP)):
        send = partial(
            api.preupload_lfs_files,
            repo_id,
            group,
            repo_type=REPO_TYPE,
            revision=branch,
            num_threads=THREADS,
            free_memory=False,
        )
        retry.call(f"uploading {group[0].path_in_repo} …", lambda send=send: _run_in_thread(send))  # type: ignore[misc]
        if listener:
            listener.advance(len(group))


def _run_in_thread(call: Callable[[], object]) -> None:
    """Run a call in a thread, so that Ctrl-C takes effect at once, not after the files in flight have arrived."""
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
    return f"Release v{version}" if version is not None else "Publish the dataset"


def _version(folder: Folder) -> int | None:
    """Return the version of the newest release record, if there is one."""
    records = folder.read_json(RELEASES)
    if records is None:
        return None
    try:
        return int(records[-1]["version"])
    except (TypeError, LookupError, ValueError):
        raise BuildError(f"{folder.path(RELEASES)}: its last entry has no version") from None


def _tag(api: HfApi, retry: DatasetHubRetry, repo_id: str, folder: Folder, commit: str, changed: bool) -> str:
    """Tag the commit with its release, unless the tag exists; a tag never moves."""
    version = _version(folder)
    if version is None:
        return ""
    tag = f"v{version}"
    refs = retry.call("reading the tags", lambda: api.list_repo_refs(repo_id, repo_type=REPO_TYPE))
    if any(ref.name == tag for ref in refs.tags):
        if changed:
            log.warning("%s: the tag %s exists and stays at its commit", repo_id, tag)
        return ""
    retry.call(
        f"creating the tag {tag}",
        lambda: api.create_tag(repo_id, tag=tag, revision=commit, repo_type=REPO_TYPE, exist_ok=True),
    )
    return tag


@contextmanager
def quiet_client() -> Iterator[None]:
    """Silence the client's own log lines and progress bars: they quote signed addresses, and duplicate ours."""
    verbosity = huggingface_hub.logging.get_verbosity()
    requests = logging.getLogger(HTTP_ERROR.__module__.partition(".")[0])
    level = requests.level
    huggingface_hub.logging.set_verbosity(logging.ERROR)
    requests.setLevel(logging.WARNING)
    try:
        with disable_progress_bars():
            yield
    finally:
        requests.setLevel(level)
        huggingface_hub.logging.set_verbosity(verbosity)
