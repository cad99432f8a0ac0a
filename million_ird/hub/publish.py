"""Publish a built dataset on the Hugging Face Hub, after `verify` has found no fault and the Hub allows it."""

from datetime import date

import huggingface_hub
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from million_ird.build_folder import LOCK, open_build
from million_ird.checks import check_local_build
from million_ird.errors import BuildError, UsageError
from million_ird.hub.publish_result import DatasetPublishResult
from million_ird.hub.push import REPO_TYPE, push, quiet_client, release_files
from million_ird.hub.retry import DatasetHubRetry, is_absent
from million_ird.maintenance.releases import make_release, update_card
from million_ird.maintenance.verify import MAX_FAULTS, verify
from million_ird.reporting.formatting import plural
from million_ird.runtime.lock import locked
from million_ird.runtime.progress import Listener
from million_ird.stages import require_current


def publish(
    out: str,
    repo_id: str,
    *,
    private: bool = False,
    revision: str | None = None,
    dry_run: bool = False,
    listener: Listener | None = None,
) -> DatasetPublishResult:
    """Verify the build in the folder `out`, make a release of it, and upload that release to the dataset `repo_id`.

    Files there that have the names of release files, but are not part of this release, are deleted.

    Args:
        out: The output folder of a build, on a local disk.
        repo_id: `user/name` on the Hub; created if it does not exist.
        private: Create a new dataset as private; an existing public dataset is refused.
        revision: The branch, `main` by default; created if it does not exist.
        dry_run: Verify and list the files, without any network access.
        listener: Receives progress.

    Raises:
        UsageError: The name is invalid, `out` is not on a local disk or is locked by another process, nobody is logged
            in, or the Hub refuses this user.
        StaleBuild: A stage is due; the message has the command.
        BuildError: `verify` finds faults, or the upload failed; run again to continue.
    """
    branch = revision or "main"
    _check_name(repo_id)
    check_local_build(out)
    folder, _ = open_build(out)
    with quiet_client(), locked(folder, LOCK):
        require_current(folder, "published")
        if not dry_run:
            _check_access(repo_id)
        _check_dataset(out, listener)
        if not dry_run:
            if make_release(folder, today=date.today()) is not None:
                update_card(folder)
            return push(folder, repo_id, private=private, branch=branch, listener=listener)
        return DatasetPublishResult(
            repo_id=repo_id, revision=branch, url="", commit="", uploaded=release_files(folder), deleted=(), tag="",
            dry_run=True,
        )  # fmt: skip


def _check_name(repo_id: str) -> None:
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise UsageError(f"--repo-id {repo_id}: not a valid name: {error}".replace("\n", " ")) from None
    if repo_id.count("/") != 1:
        raise UsageError(f"--repo-id {repo_id}: not a valid name: write user/name")


def _check_access(repo_id: str) -> None:
    """Check that this user may write to the dataset, before the verification takes hours."""
    api = HfApi()
    if huggingface_hub.get_token() is None:
        raise UsageError("not logged in to the Hub: set HF_TOKEN, or run `hf auth login`")

    def check() -> None:
        try:
            api.auth_check(repo_id, repo_type=REPO_TYPE, write=True)
        except HfHubHTTPError as error:
            if not is_absent(error):
                raise

    DatasetHubRetry(api.endpoint, repo_id).call("checking access", check)


def _check_dataset(out: str, listener: Listener | None) -> None:
    if listener:
        listener.stage("verify", 1, "dataset")
    report = verify(out)
    faults = [*report.faults, *report.stale]
    if listener:
        listener.advance(1)
    if faults:
        number = plural(len(faults), "fault") if len(faults) <= MAX_FAULTS else f"over {MAX_FAULTS:,} faults"
        raise BuildError(f"{out}: not published: verify finds {number}; the first: {faults[0]}")
