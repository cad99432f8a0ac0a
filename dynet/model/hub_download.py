"""A model's file from the Hugging Face Hub: one clear line where there is none, within seconds where nobody answers.

`huggingface_hub` alone tries a Hub that does not answer for half a minute, and longer where connections hang, before
it says so of a mistyped name. So the Hub is asked first, by one small request that is tried three times.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from dynet.errors import WeightsError, reason_of

CONFIG_FILE = "config.json"
"""The file that is asked for first: by requests for it the Hub counts a model's downloads. It may be absent."""
PAUSES = (0.5, 2.0)
"""Seconds between the three tries."""
TIMEOUT = 10.0
"""Seconds without an answer after which a try counts as failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubAccess:
    """How files are fetched: arguments of `huggingface_hub.hf_hub_download`, under its names."""

    token: str | bool | None = None
    cache_dir: str | Path | None = None
    force_download: bool = False
    local_files_only: bool = False


class _Unanswered(Exception):
    """The Hub, or its store, could not be asked this time; the message says why."""


def download(repo_id: str, filename: str, revision: str | None, access: HubAccess) -> Path:
    """The file in the local cache, fetched if it is not there or has changed.

    Where the Hub cannot be asked, what the cache holds of the revision is taken.

    Raises:
        WeightsError: the Hub has no such model, revision or file, does not let this user have it, or could not be
            asked while the cache holds nothing. OSError: the disk is full.
    """
    reason = "only local files are allowed"
    if not access.local_files_only:
        try:
            return _persist(lambda: _fetch(repo_id, filename, revision, access))
        except _Unanswered as error:
            reason = str(error)
    cached = None if access.force_download else _cached(repo_id, filename, revision, access)
    if cached is None:
        raise WeightsError(
            f"{repo_id}: no such file or folder here, and the Hub could not be asked for a model of that name: {reason}"
        )
    return cached


def _persist(fetch: Callable[[], Path]) -> Path:
    for pause in PAUSES:
        try:
            return fetch()
        except _Unanswered:
            time.sleep(pause)
    return fetch()


def _fetch(repo_id: str, filename: str, revision: str | None, access: HubAccess) -> Path:
    """One try. Raises WeightsError for what no other try will change, else _Unanswered."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RemoteEntryNotFoundError,
    )

    # The root of the errors of the HTTP library that the client is built on, whichever that is.
    http_error = cast("type[Exception]", HfHubHTTPError.__bases__[0])
    try:
        try:
            url = hf_hub_url(repo_id, CONFIG_FILE, revision=revision)
            get_hf_file_metadata(url, token=access.token, timeout=TIMEOUT, library_name="dynet")
        except RemoteEntryNotFoundError:
            pass  # the model is there
        return Path(
            hf_hub_download(
                repo_id,
                filename,
                revision=revision,
                token=access.token,
                cache_dir=access.cache_dir,
                force_download=access.force_download,
                library_name="dynet",
            )
        )
    except HFValidationError as error:
        raise WeightsError(f"{repo_id}: no such file or folder, and no name that the Hub could have") from error
    except OfflineModeIsEnabled as error:
        raise _Unanswered("HF_HUB_OFFLINE is set") from error
    except HfHubHTTPError as error:
        raise _refused(error, repo_id, filename, revision) from error
    except (http_error, LocalEntryNotFoundError) as error:
        raise _Unanswered(reason_of(error)) from error


def _refused(error: Exception, repo_id: str, filename: str, revision: str | None) -> Exception:
    """What an answer other than the file means."""
    from huggingface_hub import get_token
    from huggingface_hub.errors import (
        GatedRepoError,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    status = int(error.response.status_code)  # type: ignore[attr-defined]
    if isinstance(error, GatedRepoError):
        return WeightsError(f"{repo_id}: is gated: ask for access on its page on the Hub, and run `hf auth login`")
    if isinstance(error, RepositoryNotFoundError):
        more = "for this token" if get_token() else "for who is not logged in (HF_TOKEN, or `hf auth login`)"
        return WeightsError(f"{repo_id}: no such file or folder here, and no model of that name on the Hub {more}")
    if isinstance(error, RevisionNotFoundError):
        return WeightsError(f"{repo_id}: the model on the Hub has no revision {revision!r}")
    if isinstance(error, RemoteEntryNotFoundError):
        return WeightsError(f"{repo_id}: the model on the Hub has no {filename}")
    if status == 401:
        return WeightsError(f"{repo_id}: the Hub does not take the token: renew HF_TOKEN, or run `hf auth login`")
    if status in (408, 429) or status >= 500:
        return _Unanswered(f"it answers {status}")
    return WeightsError(f"{repo_id}: the Hub refuses it with status {status}")


def _cached(repo_id: str, filename: str, revision: str | None, access: HubAccess) -> Path | None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(
            hf_hub_download(repo_id, filename, revision=revision, cache_dir=access.cache_dir, local_files_only=True)
        )
    except (LocalEntryNotFoundError, HFValidationError):
        return None
