"""Download of a file of a model from the Hugging Face Hub, with a clear one-line error within seconds.

`huggingface_hub` alone retries for half a minute when the Hub does not answer, and longer when connections hang, even
for a mistyped name. So one small request, tried three times, comes first.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dynet.errors import WeightsError, reason_of
from dynet.runtime.hub_errors import access_problem, http_error, is_temporary, status_of

CONFIG_FILE = "config.json"
"""The file that is requested first: the Hub counts downloads of a model by requests for it. It may be absent."""
PAUSES = (0.5, 2.0)
"""Seconds between the three attempts."""
TIMEOUT = 10.0
"""Seconds without an answer after which an attempt counts as failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubAccess:
    """How to download: arguments of `huggingface_hub.hf_hub_download`, under the same names."""

    token: str | bool | None = None
    cache_dir: str | Path | None = None
    force_download: bool = False
    local_files_only: bool = False


class _NoAnswer(Exception):
    """The Hub, or its storage, gave no answer this time; the message says why."""


def download(repo_id: str, filename: str, revision: str | None, access: HubAccess) -> Path:
    """Return the path of the file in the local cache, downloaded if it is not there or has changed.

    If the Hub gives no answer, the cached file of the revision is used.

    Raises:
        WeightsError: The Hub has no such model, revision or file, or refuses it to this user, or gives no answer while
            the file is not in the cache.
        OSError: The disk is full.
    """
    reason = "only local files are allowed"
    if not access.local_files_only:
        try:
            return _retry(lambda: _fetch(repo_id, filename, revision, access))
        except _NoAnswer as error:
            reason = str(error)
    cached = None if access.force_download else _cached(repo_id, filename, revision, access)
    if cached is None:
        raise WeightsError(
            f"{repo_id}: no such file or folder here, and the Hub could not be asked for a model of that name: {reason}"
        )
    return cached


def _retry(fetch: Callable[[], Path]) -> Path:
    for pause in PAUSES:
        try:
            return fetch()
        except _NoAnswer:
            time.sleep(pause)
    return fetch()


def _fetch(repo_id: str, filename: str, revision: str | None, access: HubAccess) -> Path:
    """Try once. Raise WeightsError where another attempt cannot help, else _NoAnswer."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RemoteEntryNotFoundError,
    )

    try:
        try:
            url = hf_hub_url(repo_id, CONFIG_FILE, revision=revision)
            get_hf_file_metadata(url, token=access.token, timeout=TIMEOUT, library_name="dynet")
        except RemoteEntryNotFoundError:
            pass  # the model exists
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
        raise _NoAnswer("HF_HUB_OFFLINE is set") from error
    except HfHubHTTPError as error:
        raise _error_of_answer(error, repo_id, filename, revision) from error
    except (http_error(), LocalEntryNotFoundError) as error:
        raise _NoAnswer(reason_of(error)) from error


def _error_of_answer(error: Exception, repo_id: str, filename: str, revision: str | None) -> Exception:
    """Return the error for an answer that is not the file."""
    from huggingface_hub import get_token
    from huggingface_hub.errors import (
        GatedRepoError,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, RepositoryNotFoundError) and not isinstance(error, GatedRepoError):
        more = "for this token" if get_token() else "without a login (HF_TOKEN, or `hf auth login`)"
        return WeightsError(f"{repo_id}: no such file or folder here, and no model of that name on the Hub {more}")
    if isinstance(error, RevisionNotFoundError):
        return WeightsError(f"{repo_id}: the model on the Hub has no revision {revision!r}")
    if isinstance(error, RemoteEntryNotFoundError):
        return WeightsError(f"{repo_id}: the model on the Hub has no {filename}")
    if (problem := access_problem(error, repo_id)) is not None:
        return WeightsError(problem)
    status = status_of(error)
    if status is not None and is_temporary(status):
        return _NoAnswer(f"it answers {status}")
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
