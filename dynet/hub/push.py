"""Upload of a release to the Hub in one commit: readers see either the old release or the new one.

The large file is uploaded first and appears in no listing until the commit that names it. So a publication that was
killed has changed nothing, and the next one only uploads what is missing. Unchanged files are not part of the commit,
and without any change no commit is made.
"""

import re

import huggingface_hub
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError

from dynet.errors import UsageError
from dynet.hub.publish_result import PublishResult
from dynet.hub.release import WeightsRelease
from dynet.hub.retry import HubRetry, is_absent
from dynet.version import __version__

RELEASE_FILES = re.compile(
    r"weights\.safetensors|config\.json|README\.md|recipe\.yaml|example\.png|results/[^/]+\.(json|csv)"
)
"""The names of a release's files. No other file on the Hub is ever deleted."""


def push(release: WeightsRelease, repo_id: str, *, private: bool, branch: str) -> PublishResult:
    """Create the model and the branch if they do not exist, and commit the release.

    Raises:
        UsageError: There is no login, the Hub refuses this user, or the model is public but should be private.
        WriteError: The Hub did not accept the release; another run continues.
    """
    if huggingface_hub.get_token() is None:
        raise UsageError("not logged in to the Hub: set HF_TOKEN, or run `hf auth login`")
    api = HfApi(library_name="dynet", library_version=__version__)
    retry = HubRetry(repo_id)
    _prepare_branch(api, retry, repo_id, private=private, branch=branch)
    sizes, deleted = release.sizes(), set[str]()

    def commit() -> str:
        """Commit onto the present head, read again at each attempt: an earlier commit's answer may have been lost."""
        head = api.model_info(repo_id, revision=branch)
        present = {file.rfilename for file in head.siblings or ()}
        obsolete = sorted(name for name in present - sizes.keys() if RELEASE_FILES.fullmatch(name))
        deleted.update(obsolete)
        oid: str = api.create_commit(
            repo_id,
            [
                *(CommitOperationAdd(name, content) for name, content in sorted(release.files.items())),
                *map(CommitOperationDelete, obsolete),
            ],
            commit_message="Publish weights",
            revision=branch,
            parent_commit=head.sha,
        ).oid
        return oid

    before = retry.call("reading the present state", lambda: api.model_info(repo_id, revision=branch)).sha
    oid = retry.call("the commit", commit)
    return PublishResult(
        repo_id=repo_id,
        revision=branch,
        url=f"{api.endpoint}/{repo_id}" + (f"/tree/{branch}" if branch != "main" else ""),
        commit=oid,
        files=sizes,
        deleted=tuple(sorted(deleted)),
        changed=oid != before,
        card=release.card,
    )


def _prepare_branch(api: HfApi, retry: HubRetry, repo_id: str, *, private: bool, branch: str) -> None:
    def exists_and_writable() -> bool:
        """Return whether the model exists; raise where this user may not write to it."""
        try:
            api.auth_check(repo_id, repo_type="model", write=True)
        except HfHubHTTPError as error:
            if not is_absent(error):
                raise
            return False
        return True

    def create() -> None:
        api.create_repo(repo_id, private=private or None, exist_ok=True)

    if not retry.call("checking access", exists_and_writable):
        retry.call("creating the model", create)
    public = retry.call("opening the model", lambda: api.model_info(repo_id).private is False)
    if private and public:
        raise UsageError(f"{repo_id}: is public; make it private in its settings, or omit --private")

    def create_branch() -> None:
        try:
            api.model_info(repo_id, revision=branch)
        except RevisionNotFoundError:
            api.create_branch(repo_id, branch=branch, exist_ok=True)

    retry.call(f"opening the branch {branch}", create_branch)
