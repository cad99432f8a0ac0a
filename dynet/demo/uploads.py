"""The files of the page: its temporary folder, and uploaded images, which are checked before they are decoded."""

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dynet.errors import ImageError, UsageError
from dynet.inference.decoded_image import DecodedImage
from dynet.inference.encoding import Encoding
from dynet.inference.images import read_image, read_size, write_image

PNG = Encoding("png")
BROWSER_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "AVIF")
"""The formats that browsers can show, by Pillow's names."""
BYTES_PER_PIXEL = 16
"""Twice the size of the largest samples, four of 16 bits, so that every image within the limit also fits as a file."""
MAX_MEGAPIXELS = 10_000
"""More than any image that can be read."""
SECONDS_KEPT = 3600
"""How long uploads and results are kept while the page is served."""
SECONDS_BETWEEN_SWEEPS = 60
TOTAL_BYTES = 2**31
"""The limit of all uploads and results together."""
TOTAL_FILES = 5_000
"""Looking for old files takes time for each file."""
NO_ROOM = "The page has no room for more images now; try again in some minutes."


class PageFolder:
    """The folder of the page's files: examples, uploads and results.

    The caller creates the folder, and removes it after `close` has returned.
    """

    def __init__(self, path: Path, total_bytes: int = TOTAL_BYTES) -> None:
        self.path = path.resolve()
        self._total_bytes = total_bytes
        self._arriving = 0
        self._counting = threading.Lock()
        self._permanent: frozenset[Path] = frozenset()
        self._writing = threading.Lock()
        self._closed = False

    @contextmanager
    def new_folder(self) -> Iterator[Path]:
        """Create a folder in it for one writer at a time.

        Raises:
            ImageError: The page has ended, or has no room left.
        """
        with self._writing:
            if self._closed:
                raise ImageError("The page has ended.")
            if not self._has_room(0):
                raise ImageError(NO_ROOM)
            yield Path(tempfile.mkdtemp(dir=self.path))

    def keep_present_files(self) -> None:
        """Keep the files that are in it now until the end."""
        self._permanent = frozenset(self.path.rglob("*"))

    def remove_old(self) -> None:
        """Remove files and empty folders that are older than SECONDS_KEPT."""
        oldest = time.time() - SECONDS_KEPT
        for path in sorted(self.path.rglob("*"), reverse=True):  # files before their folders
            try:
                if path in self._permanent or path.stat().st_mtime >= oldest:
                    continue
                if path.is_dir():
                    path.rmdir()
                else:
                    path.unlink()
            except OSError:  # another request has removed it, or the folder has files
                continue

    @contextmanager
    def room_for(self, n_bytes: int) -> Iterator[bool]:
        """Reserve room for an upload while it arrives; yield whether there is enough."""
        with self._counting:
            has_room = self._has_room(n_bytes)
            self._arriving += n_bytes
        try:
            yield has_room
        finally:
            with self._counting:
                self._arriving -= n_bytes

    def _has_room(self, n_bytes: int) -> bool:
        self.remove_old()
        sizes = [size for path in self.path.rglob("*") if (size := _file_size(path)) is not None]
        return sum(sizes) + self._arriving + n_bytes <= self._total_bytes and len(sizes) < TOTAL_FILES

    def sweep_until(self, ended: threading.Event) -> None:
        """Remove old files every minute, also while nobody uses the page."""
        while not ended.wait(SECONDS_BETWEEN_SWEEPS):
            self.remove_old()

    def close(self) -> None:
        """Wait for the present writer; after this nothing is written into the folder."""
        with self._writing:
            self._closed = True


def _file_size(path: Path) -> int | None:
    """Return the size of a file; None for a folder, and for a file that another request has removed."""
    try:
        return path.stat().st_size if path.is_file() else None
    except FileNotFoundError:
        return None


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """The largest accepted image."""

    megapixels: float

    def __post_init__(self) -> None:
        if not 0 < self.megapixels <= MAX_MEGAPIXELS:  # also refuses what is no number
            raise UsageError(f"--max-megapixels {self.megapixels:g}: must be a number up to {MAX_MEGAPIXELS}")

    @property
    def file_bytes(self) -> int:
        """The largest accepted file; it includes a megabyte for small images with much metadata."""
        return int(BYTES_PER_PIXEL * self.megapixels * 1e6) + 2**20


def read_upload(path: Path, name: str, limits: UploadLimits) -> DecodedImage:
    """Read an uploaded image; it is decoded only if its size is within the limits.

    Args:
        path: Where the upload is stored.
        name: The name of the file on the visitor's machine, which messages show instead of the path.
        limits: The largest accepted image.

    Raises:
        ImageError: One line that begins with the name.
    """
    try:
        width, height = read_size(path)
        if width * height > limits.megapixels * 1e6:
            raise ImageError(
                f"{path}: has {width * height / 1e6:.1f} megapixels ({width} × {height}); this page accepts up to "
                f"{limits.megapixels:g}"
            )
        image = read_image(path)
        if image.is_float:
            raise ImageError(f"{path}: has floating-point samples, which this page does not show")
        return image
    except ImageError as error:
        raise ImageError(str(error).replace(str(path), name)) from error


def displayable_file(path: Path, image: DecodedImage, folder: Path) -> Path:
    """Return the file itself if browsers can show its format, else a PNG of the same samples, written to the folder."""
    if image.format in BROWSER_FORMATS:
        return path
    png = folder / f"{path.stem}.png"
    write_image(png, image, PNG)
    return png
