"""The data sets that a run draws its pictures from: built by million_ird, in a folder or on the Hub."""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from dynet.errors import DataError

if TYPE_CHECKING:
    import datasets

Image8 = npt.NDArray[np.uint8]
CONFIG = "patches"


@dataclass(frozen=True, slots=True)
class Source:
    """A data set to train on, and how often it is drawn from compared with the others."""

    location: str
    weight: float

    @classmethod
    def parse(cls, argument: str) -> "Source":
        """Read `DIR_OR_REPO` or `DIR_OR_REPO=WEIGHT`."""
        location, separator, weight = argument.rpartition("=")
        if not separator:
            return cls(argument, 1.0)
        try:
            number = float(weight)
        except ValueError as error:
            raise DataError(f"--data {argument}: {weight!r} is not a weight") from error
        if not 0 < number < float("inf"):
            raise DataError(f"--data {argument}: a weight must be above zero")
        return cls(location, number)


class Pictures:
    """The pictures of one or more data sets, and a fingerprint by which a resumed run knows them again."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = tuple(sources)
        self.sets = [_open(source.location) for source in sources]
        weights = np.array([source.weight for source in sources])
        self._shares = weights / weights.sum()

    def fingerprint(self) -> str:
        """Changes when a data set's rows, their order or its weight do; not when a folder is moved."""
        digest = hashlib.sha256()
        for source, rows in zip(self.sources, self.sets, strict=True):
            digest.update(f"{source.weight} {len(rows)} ".encode())
            digest.update(_identity_of_rows(rows))
        return digest.hexdigest()

    def draw(self, random: np.random.Generator) -> Image8:
        """One picture, (H, W, 3): a data set by weight, then any of its rows."""
        rows = self.sets[int(random.choice(len(self.sets), p=self._shares))]
        row = int(random.integers(len(rows)))
        return _decode(rows[row]["image"], f"row {row}")


def _open(location: str) -> "datasets.Dataset":
    import datasets
    from huggingface_hub.errors import HFValidationError

    datasets.disable_progress_bars()
    if Path(location).is_dir() and not any(Path(location).iterdir()):
        raise DataError(f"--data {location}: the folder is empty")
    try:
        found = datasets.load_dataset(location, CONFIG, split="train")
    except (datasets.exceptions.DatasetsError, _http_error(), HFValidationError, OSError) as error:
        raise DataError(f"--data {location}: {_reason(error)}") from error
    except ValueError as error:  # what `datasets` raises for a config or a split that is not there
        raise DataError(f"--data {location} is no data set with a config {CONFIG!r}: {_reason(error)}") from error
    if "image" not in found.column_names:
        raise DataError(f"--data {location} has no column 'image', but {', '.join(found.column_names)}")
    if len(found) == 0:
        raise DataError(f"--data {location} holds no pictures")
    return found.cast_column("image", datasets.Image(decode=False))


def _http_error() -> type[Exception]:
    """The root of what the Hub's client raises: of its own errors, and of those of the HTTP library beneath it."""
    from huggingface_hub.errors import HfHubHTTPError

    root = HfHubHTTPError.__bases__[0]
    assert issubclass(root, Exception)
    return root


def _reason(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _identity_of_rows(rows: "datasets.Dataset") -> bytes:
    """A hash of the rows' ids, or of the sizes of their pictures where a set has no ids. Reads no pixels."""
    import pyarrow.compute as compute

    digest = hashlib.sha256()
    column = rows.data.column("id" if "id" in rows.column_names else "image")
    for chunk in column.chunks:
        if "id" not in rows.column_names:
            chunk = compute.binary_length(chunk.field("bytes"))
        digest.update("\n".join(map(str, chunk.to_pylist())).encode())
    return digest.digest()


def _decode(stored: dict[str, Any], name: str) -> Image8:
    try:
        with Image.open(io.BytesIO(stored["bytes"]) if stored["bytes"] is not None else stored["path"]) as file:
            return np.array((ImageOps.exif_transpose(file) or file).convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise DataError(f"{name} of the data set cannot be decoded: {_reason(error)}") from error
