"""Every error that the package raises on purpose.

MillionIRDError
├── UsageError             what the user asked for cannot be done (exit 2)
│   ├── RecipeError        a recipe is not readable, or a key or value in it is wrong
│   ├── SourceError        a source is missing, empty or of an unknown kind
│   ├── OutputError        the output folder holds something else, or another run holds it
│   ├── ModelUnavailable   the parameters of a score cannot be had
│   ├── StaleBuild         an earlier stage of a build has moved on, and a later one has not followed
│   ├── VersionMismatch    a worker or measuring process runs other code than this program
│   └── MissingExtra       a module is missing that an extra of this distribution installs
├── BuildError             a build stopped with something wrong (exit 1)
│   ├── LedgerError        a ledger is missing, of another schema version, or its counts do not add up
│   ├── MeasureFault       a measure returned other columns than it declares
│   ├── DamagedFile        a file of the build is not what was written
│   └── SourceChanged      a file is no longer what was measured
└── ReadError              one candidate could not be fetched, read or decoded (becomes `Failed`)
"""

from million_ird.public_addresses import public_text


class MillionIRDError(Exception):
    """The root of the tree: `except MillionIRDError` catches all that the package raises on purpose.

    Its message has no secrets of addresses: sources, and errors of other libraries, contain whole ones.
    """

    def __str__(self) -> str:
        return public_text(super().__str__())


class UsageError(MillionIRDError):
    """What the user asked for cannot be done; the message is one line that names the culprit."""


class RecipeError(UsageError):
    """A recipe is not readable, or a key or value in it is wrong."""


class SourceError(UsageError):
    """A source is missing, empty or of an unknown kind."""


class OutputError(UsageError):
    """The output folder holds something else, or another run holds it."""


class ModelUnavailable(UsageError):
    """The parameters or weights of a score cannot be had."""


class StaleBuild(UsageError):
    """An earlier stage of a build has moved on, and a later one has not followed; the message has the command."""


class VersionMismatch(UsageError):
    """A worker or measuring process runs other code than this program."""


class MissingExtra(UsageError):
    """A module is missing that an extra of this distribution installs; the message says how."""


class BuildError(MillionIRDError):
    """A build stopped with something wrong; what was written so far stays and is resumed from."""


class LedgerError(BuildError):
    """A ledger is missing, of another schema version, or its counts do not add up."""


class MeasureFault(BuildError):
    """A measure returned other columns than it declares, or something that is no number."""


class DamagedFile(BuildError):
    """A file of the build is not what was written; removed, the next build makes it anew."""


class SourceChanged(BuildError):
    """A source file is no longer the one that was measured."""


class ReadError(MillionIRDError):
    """One candidate could not be fetched, read or decoded.

    `failure_class` is a short name that the funnel counts by (`truncated`, `not_an_image`, …), `detail` one
    line for a person.
    """

    def __init__(self, failure_class: str, detail: str) -> None:
        super().__init__(f"{failure_class}: {detail}")
        self.failure_class = failure_class
        self.detail = detail

    def __reduce__(self) -> tuple[type["ReadError"], tuple[str, str]]:
        # Exceptions with two arguments do not unpickle by themselves, and these cross processes.
        return type(self), (self.failure_class, self.detail)


def one_line(error: BaseException, at_most: int = 160) -> str:
    """Return the message of another library's error as one line for a person, without secrets of addresses."""
    return public_text(" ".join(str(error).split()))[:at_most] or type(error).__name__
