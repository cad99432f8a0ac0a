"""The command line: arguments in, one call of the library, results out. No logic lives here."""

import io
import logging
import os
import signal
import sys
from types import FrameType
from typing import Annotated

import typer
from typer.exceptions import TyperException

from million_ird.cli import building, inspecting, listing, measuring, releasing
from million_ird.cli.metavars import name_values
from million_ird.errors import MillionIRDError, UsageError
from million_ird.extras import missing_extra
from million_ird.printable import printable
from million_ird.public_addresses import public_text
from million_ird.runtime.lost_interrupts import lost_interrupts_raised
from million_ird.runtime.public_logs import hide_secrets_in_logs, print_public_traceback

INTERRUPTED = 130

app = typer.Typer(
    name="million-ird",
    help="Build datasets for image restoration: keep sharp, textured photographs, and record why others are dropped.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for commands in (building, inspecting, measuring, releasing, listing):
    app.add_typer(commands.app)
name_values(app)


def _print_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        typer.echo(f"million-ird {version('million-ird')}")
        raise typer.Exit


@app.callback()
def _global_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Read the options that come before the command."""


def main() -> None:
    """Run the command line; an error becomes one line on stderr and an exit code."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    hide_secrets_in_logs()
    sys.excepthook = print_public_traceback
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _answer_and_interrupt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names need not be valid text
    with lost_interrupts_raised():
        sys.exit(_run())


def _run() -> int:
    try:
        code = app(prog_name="million-ird", standalone_mode=False)
        if code != INTERRUPTED:
            return code if isinstance(code, int) else 0
    except UsageError as error:
        return _fail(str(error), 2)
    except MillionIRDError as error:
        return _fail(str(error), 1)
    except TyperException as error:
        return _fail(error.format_message() if hasattr(error, "format_message") else str(error), 2)
    except (KeyboardInterrupt, typer.Abort):  # some versions of typer turn Ctrl-C into the code instead
        pass
    except BrokenPipeError:  # the reader of our output, such as `head`, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except ImportError as error:
        missing = missing_extra(error)
        if missing is None:
            raise
        return _fail(str(missing), 2)
    except OSError as error:
        return _fail(f"{error.filename or 'file'}: {error.strerror or error}", 1)
    return _fail("interrupted; run the same command again to continue", INTERRUPTED)


def _fail(text: str, code: int) -> int:
    sys.stderr.write(f"million-ird: {printable(public_text(' '.join(text.split())))}\n")
    return code


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _answer_and_interrupt(signum: int, frame: FrameType | None) -> None:
    """Answer the first Ctrl-C at once, since workers take a moment to stop; the second one ends the program now."""
    signal.signal(signal.SIGINT, _stop_now)
    if sys.stderr.isatty():  # in a log, one line says it all
        os.write(sys.stderr.fileno(), b"\r\nmillion-ird: stopping; again to stop now\r\n")
    raise KeyboardInterrupt


def _stop_now(signum: int, frame: FrameType | None) -> None:
    show_cursor = b"\x1b[?25h\r\n" if sys.stderr.isatty() else b""  # a bar has hidden it
    os.write(sys.stderr.fileno(), show_cursor + b"million-ird: stopped; run the same command again to continue\n")
    os._exit(INTERRUPTED)
