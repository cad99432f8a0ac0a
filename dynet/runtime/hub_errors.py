"""Errors of the client of the Hugging Face Hub: what they mean for a user, and whether another attempt can help."""


def http_error() -> type[Exception]:
    """Return the base class of the client's own errors and of the errors of the HTTP library that it uses."""
    from huggingface_hub.errors import HfHubHTTPError

    root = HfHubHTTPError.__bases__[0]
    assert issubclass(root, Exception)
    return root


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status of the answer, or None for an error without one."""
    from huggingface_hub.errors import HfHubHTTPError

    return int(error.response.status_code) if isinstance(error, HfHubHTTPError) else None


def is_temporary(status: int) -> bool:
    """Return whether another attempt may succeed after an answer with this HTTP status."""
    return status in (408, 429) or status >= 500


def access_problem(error: BaseException, repo_id: str) -> str | None:
    """Return the message for a refusal that concerns this user's access, or None for any other error."""
    from huggingface_hub.errors import GatedRepoError

    if isinstance(error, GatedRepoError):
        return f"{repo_id}: is gated: ask for access on its page on the Hub, and run `hf auth login`"
    if status_of(error) == 401:
        return f"{repo_id}: the Hub rejects the token: renew HF_TOKEN, or run `hf auth login`"
    return None
