"""Lines of logs without secrets of addresses, whichever library writes them."""

import logging

from million_ird.public_addresses import public_text


class PublicFormatter(logging.Formatter):
    """Formats the message, and a traceback, with every address as it may be published."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line or lines of a record."""
        return public_text(super().format(record))


def hide_secrets_in_logs() -> None:
    """Let all handlers of this process write published addresses only; each process does it for itself."""
    for handler in (*logging.getLogger().handlers, logging.lastResort):
        if handler is not None:
            handler.setFormatter(PublicFormatter())
