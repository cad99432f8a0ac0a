"""Lines of logs without secrets of addresses or control characters, whichever library writes them."""

import logging
import sys
import traceback
from types import TracebackType

from million_ird.printable import printable, printable_lines
from million_ird.public_addresses import public_text


class PublicFormatter(logging.Formatter):
    """Formats the message, and a traceback, with every address as it may be published, on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line or lines of a record."""
        text = public_text(super().format(record))
        return printable_lines(text) if record.exc_info or record.stack_info else printable(text)


def print_public_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Write a traceback to stderr in the same way: the `sys.excepthook` of the program."""
    sys.stderr.write(public_text("".join(traceback.format_exception(kind, error, trace))))


def hide_secrets_in_logs() -> None:
    """Let all handlers of this process write published addresses only; each process does it for itself."""
    for handler in (*logging.getLogger().handlers, logging.lastResort):
        if handler is not None:
            handler.setFormatter(PublicFormatter())
