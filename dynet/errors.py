"""What can go wrong for a user, and the exit code that each ending has.

DyNetError                 1
├── UsageError             2   arguments that cannot work
│   ├── RecipeError        2   a recipe file with an unknown key or an unusable value
│   ├── DataError          2   a data set that is missing or holds something else
│   │   └── UnusablePicture    one picture of it: broken, too small, or not of its pair's size
│   ├── WeightsError       2   weights that are missing, broken or of another network
│   ├── MissingExtra       2   a module is missing that an extra of this distribution installs
│   └── RunError           2   a RUN folder that is held, finished or another run's
├── ImageError             1   one image that cannot be read or written
├── DivergedError          1   the loss is no longer a number, or beyond any picture's
├── OutOfMemory            1   the device has too little memory for the recipe
├── WriteError             1   a file that could not be written, the disk being full
└── InterruptedRun       130   stopped by a signal; the checkpoint is written

Every message is one line that names the key, file or value that is wrong: the command line prints it as it is.
"""


def reason_of(error: BaseException) -> str:
    """What an error of a library says, in one line of bearable length."""
    return " ".join(str(error).split())[:200] or type(error).__name__


class DyNetError(Exception):
    """The root of everything that dynet raises on purpose."""

    exit_code = 1


class UsageError(DyNetError):
    """Arguments that cannot work."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe with an unknown key or an unusable value."""


class MissingExtra(UsageError):
    """A module is missing that an extra of this distribution installs; the message says how."""


class DataError(UsageError):
    """A data set that is missing, or that is not one to train on."""


class UnusableImage(DataError):
    """One picture of a data set that no crop can be cut from; training passes it over, and says so."""


class WeightsError(UsageError):
    """Weights that are missing, broken or of another network."""


class RunError(UsageError):
    """A RUN folder that is held, finished or another run's."""


class ImageError(DyNetError):
    """One picture that cannot be read or written; the others are not affected."""


class DivergedError(DyNetError):
    """Training whose loss is no longer a finite number, or larger than between black and white."""


class OutOfMemory(DyNetError):
    """A step that the device has too little memory for."""


class WriteError(DyNetError):
    """A file that could not be written whole; what was there before is as it was."""


class InterruptedRun(DyNetError):
    """A run stopped by SIGINT or SIGTERM after its checkpoint was written."""

    exit_code = 130
