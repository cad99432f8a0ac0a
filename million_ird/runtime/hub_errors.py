"""What the Hugging Face Hub refuses, in words: the same ones for reading datasets and for publishing them."""


def describe_refusal(error: BaseException) -> str | None:
    """Return why the Hub refuses a repository, to be read after its name; None for an error of another kind.

    The text quotes nothing of the request: it holds no token and no signed address.
    """
    import huggingface_hub
    from huggingface_hub import errors

    if isinstance(error, errors.OfflineModeIsEnabled):
        return "cannot be reached: HF_HUB_OFFLINE is set"
    if isinstance(error, errors.GatedRepoError):
        return "is gated: ask for access on its page, and set HF_TOKEN"
    status = error.response.status_code if isinstance(error, errors.HfHubHTTPError) else None
    if status == 401 and huggingface_hub.get_token() is not None:
        return "the Hub does not accept the token; renew HF_TOKEN, or run `hf auth login`"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "is not on the Hub, or is private and the token, if there is one, gives no access"
    if isinstance(error, errors.RevisionNotFoundError):
        return "has no such revision"
    return None
