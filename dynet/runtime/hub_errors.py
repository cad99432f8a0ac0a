"""What the client of the Hugging Face Hub raises, whichever HTTP library it is built on."""


def http_error() -> type[Exception]:
    """Return the base class of the client's own errors and of the errors of the HTTP library that it uses."""
    from huggingface_hub.errors import HfHubHTTPError

    root = HfHubHTTPError.__bases__[0]
    assert issubclass(root, Exception)
    return root
