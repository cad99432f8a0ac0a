"""Brings a model on the Hub to hold a release, in one commit: who reads it sees the old one or the new one.

The large file goes up first and stands in no listing until the commit that names it, so that a publication that was
killed has changed nothing, and the next one sends only what the Hub has not got. What is there already, unchanged, is
no part of the commit; where nothing is left, none is made.
"""

import re

import huggingface_hub
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError

import dynet
from dynet.errors import UsageError
from dynet.hub.publish_result import Published
from dynet.hub.release import Release
from dynet.hub.retry import Persistence, is_absent

OURS = re.compile(r"weights\.safetensors|config\.json|README\.md|recipe\.yaml|example\.png|results/[^/]+\.(json|csv)")
"""What of a model belongs to a release. Nothing else on the Hub is deleted."""


def push(release: Release, repo_id: str, *, private: bool, branch: str) -> Published:
    """Make model and branch where they are not there, and the one commit.

    Raises:
        UsageError: nobody is logged in, the Hub refuses this user, or the model is public and is to be private.
        WriteError: the Hub could not be brought to take it; run again to go on.
    """
    if huggingface_hub.get_token() is None:
        raise UsageError("not logged in to the Hub: set HF_TOKEN, or run `hf auth login`")
    api = HfApi(library_name="dynet", library_version=dynet.__version__)
    firmly = Persistence(repo_id)
    _open(api, firmly, repo_id, private=private, branch=branch)
    sizes, deleted = release.sizes(), set[str]()

    def commit() -> str:
        """Looks anew at each try: the answer to a commit that was made may have been lost."""
        head = api.model_info(repo_id, revision=branch)
        there = {one.rfilename for one in head.siblings or ()}
        gone = sorted(name for name in there - sizes.keys() if OURS.fullmatch(name))
        deleted.update(gone)
        made: str = api.create_commit(
            repo_id,
            [
                *(CommitOperationAdd(name, content) for name, content in sorted(release.files.items())),
                *map(CommitOperationDelete, gone),
            ],
            commit_message="Publish weights",
            revision=branch,
            parent_commit=head.sha,
        ).oid
        return made

    before = firmly.ask("reading what is there", lambda: api.model_info(repo_id, revision=branch)).sha
    oid = firmly.ask("the commit", commit)
    return Published(
        repo_id=repo_id,
        revision=branch,
        url=f"{api.endpoint}/{repo_id}" + (f"/tree/{branch}" if branch != "main" else ""),
        commit=oid,
        files=sizes,
        deleted=tuple(sorted(deleted)),
        changed=oid != before,
        card=release.card,
    )


def _open(api: HfApi, firmly: Persistence, repo_id: str, *, private: bool, branch: str) -> None:
    def may_write() -> bool:
        """Whether the model is there; raises where this user may not write to it."""
        try:
            api.auth_check(repo_id, repo_type="model", write=True)
        except HfHubHTTPError as error:
            if not is_absent(error):
                raise
            return False
        return True

    def create() -> None:
        api.create_repo(repo_id, private=private or None, exist_ok=True)

    if not firmly.ask("asking for access", may_write):
        firmly.ask("making the model", create)
    public = firmly.ask("opening the model", lambda: api.model_info(repo_id).private is False)
    if private and public:
        raise UsageError(f"{repo_id}: is public; make it private in its settings, or leave --private out")

    def branch_out() -> None:
        try:
            api.model_info(repo_id, revision=branch)
        except RevisionNotFoundError:
            api.create_branch(repo_id, branch=branch, exist_ok=True)

    firmly.ask(f"opening the branch {branch}", branch_out)
