"""Publishes a built data set on the Hugging Face Hub: only one that `verify` finds sound, and only by who may."""

from datetime import date

import huggingface_hub
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from million_ird.build_folder import LOCK, open_build
from million_ird.errors import BuildError, UsageError
from million_ird.hub.publish_result import Published
from million_ird.hub.push import KIND, contents, push, quiet
from million_ird.hub.retry import Persistence, is_absent
from million_ird.maintenance.releases import make, name_in_card
from million_ird.maintenance.verify import MOST_FAULTS, verify
from million_ird.runtime.lock import owned
from million_ird.runtime.progress import Listener
from million_ird.runtime.storage import Folder


def publish(
    out: str,
    repo_id: str,
    *,
    private: bool = False,
    revision: str | None = None,
    dry_run: bool = False,
    listener: Listener | None = None,
) -> Published:
    """Verifies the build in the folder `out`, makes a release of it, and has the data set `repo_id` hold that release.

    Of the names that a release has, the data set then holds no others.

    Args:
        out: the output folder of a build, on a disk of this machine.
        repo_id: `user/name` on the Hub; made when it is not there.
        private: makes a new data set private; one that is there and public is refused.
        revision: the branch, `main` by default; made when it is not there.
        dry_run: verifies and lists, and asks nothing of any network.
        listener: is told of progress.

    Raises:
        UsageError: the name is invalid, `out` is not on a disk or held by another process, nobody is logged in, or the
            Hub refuses this user.
        BuildError: `verify` finds faults, or the Hub could not be brought to take it; run again to go on.
    """
    branch = revision or "main"
    _check_name(repo_id)
    if not Folder(out).local:
        raise UsageError(f"{out}: only a folder on a disk can be published; copy it to one first")
    folder, _ = open_build(out)
    with quiet(), owned(folder, LOCK):
        if not dry_run:
            _check_access(repo_id)
        _check_set(out, listener)
        if not dry_run:
            if make(folder, today=date.today()) is not None:
                name_in_card(folder)
            return push(folder, repo_id, private=private, branch=branch, listener=listener)
        return Published(
            repo_id=repo_id, revision=branch, url="", commit="", uploaded=contents(folder), deleted=(), tag="",
            dry_run=True,
        )  # fmt: skip


def _check_name(repo_id: str) -> None:
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise UsageError(f"--repo-id {repo_id}: no valid name: {error}".replace("\n", " ")) from None
    if repo_id.count("/") != 1:
        raise UsageError(f"--repo-id {repo_id}: no valid name: it is user/name")


def _check_access(repo_id: str) -> None:
    """Whether this user may write there, before hours go into the verification."""
    api = HfApi()
    if huggingface_hub.get_token() is None:
        raise UsageError("not logged in to the Hub: set HF_TOKEN, or run `hf auth login`")

    def check() -> None:
        try:
            api.auth_check(repo_id, repo_type=KIND, write=True)
        except HfHubHTTPError as error:
            if not is_absent(error):
                raise

    Persistence(api.endpoint, repo_id).ask("asking for access", check)


def _check_set(out: str, listener: Listener | None) -> None:
    if listener:
        listener.stage("verify", 1, "data set")
    faults = verify(out).faults
    if listener:
        listener.advance(1)
    if faults:
        number = f"{len(faults):,}" if len(faults) <= MOST_FAULTS else f"over {MOST_FAULTS:,}"
        raise BuildError(f"{out}: not published: verify finds {number} faults, the first: {faults[0]}")
