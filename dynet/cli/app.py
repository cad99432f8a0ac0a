"""The command line of `dynet`: it collects the commands, and turns errors into one line and an exit code."""

import logging
import os
import sys
import threading
from typing import Annotated, Any

import typer
from rich.console import Console

from dynet.cli import degrading, listing, restoring, training, weights
from dynet.cli.metavars import name_values
from dynet.errors import DyNetError, UsageError, disk_error
from dynet.extras import missing_extra
from dynet.runtime.lost_interrupts import lost_interrupts_raised
from dynet.runtime.printable import printable
from dynet.runtime.sigterm import Interruptible
from dynet.version import __version__

INTERRUPTED = 130
_TRACEBACK = "Traceback (most recent call last):\n"

app = typer.Typer(
    name="dynet",
    help="Train DyNet on image datasets, and restore images with it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for commands in (training, restoring, degrading, weights, listing):
    app.add_typer(commands.app)
name_values(app)


def _version(is_given: bool) -> None:
    if is_given:
        print(f"dynet {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Handle the options before the command."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 an error in data or on disk, 2 unusable arguments, 130 interrupted."""
    # Threads that spin while they wait for work make two processes at once ten times slower than one after the other.
    # torch reads the variable when it is loaded, so it is set before; a setting of the user has priority.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Without it cuBLAS may sum in another order at each call, and a resumed run would differ.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_LineFormatter())
    threading.excepthook = _thread_failed
    sys.exit(_run(sys.argv[1:] if arguments is None else arguments))


def _thread_failed(failure: threading.ExceptHookArgs) -> None:
    # TensorBoard writes in a thread, and raises the error of its disk again where the training writes next.
    if not isinstance(failure.exc_value, OSError):
        threading.__excepthook__(failure)


class _LineFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(f"dynet: {record.getMessage()}")


def _run(arguments: list[str]) -> int:
    with lost_interrupts_raised(), Interruptible() as signals:
        try:
            return _exit_code(arguments)
        except Exception:
            if signals.received:  # some libraries turn KeyboardInterrupt into another exception
                return _say("interrupted", INTERRUPTED)
            raise


def _exit_code(arguments: list[str]) -> int:
    try:
        code = app(arguments, prog_name="dynet", standalone_mode=False)
    except DyNetError as error:
        return _say(_one_line(error), error.exit_code)
    except _usage_errors() as error:
        message = _one_line(error)  # empty after help alone
        return _say(message, UsageError.exit_code) if message else UsageError.exit_code
    except ImportError as error:
        missing = missing_extra(error)
        if missing is None:
            raise
        return _say(str(missing), missing.exit_code)
    except OSError as error:
        of_disk = disk_error(error)
        return _say(str(of_disk), of_disk.exit_code)
    except MemoryError:
        return _say("out of memory: the sizes in the recipe, or the images, are too large for this machine", 1)
    if code == INTERRUPTED:  # typer turns Ctrl-C into this code
        return _say("interrupted", INTERRUPTED)
    return code if isinstance(code, int) else 0


def _usage_errors() -> Any:
    """Return the base class of typer's usage errors, which is click's in some versions and typer's own in others."""
    return next(parent for parent in typer.BadParameter.__mro__ if parent.__name__ == "ClickException")


def _one_line(error: Exception) -> str:
    describe = getattr(error, "format_message", None)
    if describe is not None:  # an error of typer: some have a line for each allowed value
        return " ".join(str(describe()).split()).replace("Value error, ", "")  # the words of pydantic
    text = str(error).strip()
    if _TRACEBACK in text:  # an error of a data-loading process begins with its traceback
        text = text.rpartition(f"{type(error).__module__}.{type(error).__qualname__}: ")[2]
    return text or repr(error)  # a name of a file may have several lines, of which none may be missing


def _say(message: str, code: int) -> int:
    Console(stderr=True).print(printable(f"dynet: {message}"), markup=False, highlight=False, soft_wrap=True)
    return code
