"""The errors that a user can meet, and the exit code of each.

DyNetError                 1
├── UsageError             2   arguments that cannot be used
│   ├── RecipeError        2   a recipe file with an unknown key or an unusable value
│   ├── DataError          2   a dataset that is missing, or that cannot be trained on
│   │   └── UnusableImage  2   one image of it: damaged, too small, or not of the same size as its pair
│   ├── WeightsError       2   weights that are missing, damaged or of another network
│   ├── MissingExtra       2   a module is missing that an extra of this distribution installs
│   └── RunError           2   a RUN folder that is in use, finished, or of another run
├── ImageError             1   one image that cannot be read or written
├── DivergedError          1   the loss is not a number, or larger than any image can cause
├── OutOfMemory            1   the device has too little memory for the recipe
├── LoaderDied             1   a process that makes crops ended, for example because memory ran out
├── WriteError             1   a file that could not be written, such as on a full disk
└── InterruptedRun       130   stopped by a signal; the checkpoint is written

Every message is one line that names the key, file or value that is wrong. The command line prints it as it is.
"""

import errno


def reason_of(error: BaseException) -> str:
    """Return the message of a library's error as one line of at most 200 characters."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def disk_error(error: OSError) -> "DyNetError":
    """Return the error to raise for one of the system: a UsageError for a path that is wrong or not allowed."""
    if error.errno == errno.ENOSPC:
        return WriteError(f"the disk is full: {error.filename or error.strerror}")
    if error.errno == errno.EIO or error.filename is None:
        return WriteError(f"{error.filename or 'reading or writing'}: {error.strerror or reason_of(error)}")
    return UsageError(f"{error.filename}: {error.strerror}")


class DyNetError(Exception):
    """The base class of all errors that dynet raises on purpose."""

    exit_code = 1


class UsageError(DyNetError):
    """Arguments that cannot be used."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe with an unknown key or an unusable value."""


class MissingExtra(UsageError):
    """A module is missing that an extra of this distribution installs; the message says how."""


class DataError(UsageError):
    """A dataset that is missing, or that cannot be trained on."""


class UnusableImage(DataError):
    """One image of a dataset that gives no crop; training skips it with a warning."""


class WeightsError(UsageError):
    """Weights that are missing, damaged or of another network."""


class RunError(UsageError):
    """A RUN folder that is in use, finished, or of another run."""


class ImageError(DyNetError):
    """One image that cannot be read or written; other images are not affected."""


class DivergedError(DyNetError):
    """Training whose loss is not a finite number, or larger than the distance between black and white."""


class OutOfMemory(DyNetError):
    """A training step for which the device has too little memory."""


class LoaderDied(DyNetError):
    """A process that makes the crops of a training run ended before it should."""


class WriteError(DyNetError):
    """A file that could not be written completely; an older file of that name is unchanged."""


class InterruptedRun(DyNetError):
    """A run stopped by SIGINT or SIGTERM after its checkpoint was written."""

    exit_code = 130
