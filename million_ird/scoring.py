"""Measures of single files, without a build."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from million_ird.config.score_names import check_metrics
from million_ird.config.user_measures import UserMeasure
from million_ird.errors import ReadError, SourceError
from million_ird.images.encoded_image import EncodedImage
from million_ird.measure_specs import OFFICIAL_SCORES
from million_ird.measures.identity import user_measures
from million_ird.measures.registry import MEASURES
from million_ird.measures.scores import batch_scores, measures_with, prepare_scores
from million_ird.printable import printable
from million_ird.runtime.storage import Folder
from million_ird.runtime.threads import single_threaded
from million_ird.sources.listing import list_files
from million_ird.sources.registry import image_path


@dataclass(frozen=True, slots=True)
class ImageScores:
    """The numbers of one file, or why it has none."""

    path: str
    numbers: dict[str, float | None] = field(default_factory=dict)
    failure: str | None = None

    @property
    def text(self) -> str:
        """The numbers on one line, for people."""
        numbers = (
            f"{name} {'null' if value is None else format(value, '.6g')}" for name, value in self.numbers.items()
        )
        return f"{printable(self.path)}  {'  '.join(numbers)}"

    def as_json(self) -> dict[str, object]:
        """Return the numbers as a JSON object."""
        return {"path": self.path, **self.numbers}


def score_files(
    paths: Sequence[str], names: Sequence[str], models: str | None = None, user: Sequence[UserMeasure] = ()
) -> Iterator[ImageScores]:
    """Yield the numbers of each file, in the order of `paths`.

    Args:
        paths: Files, also fsspec URLs.
        names: Ledger columns of any measure (`laplacian_variance`, …), or scores: `niqe`, `brisque`,
            `overlaid_characters` and those of pyiqa.
        models: Folder of score parameters.
        user: Measures of your own modules, whose columns can be named, too.

    Raises:
        UsageError: There are no names, or an unknown one; or a path has the prefix of another kind of source.
        ModelUnavailable: The parameters of a score are missing.
    """
    for path in paths:
        image_path(path, by_name=False)
    fields = {name for measure in (*MEASURES.values(), *user_measures(user).values()) for name in measure.fields}
    scores = [name for name in names if name not in fields]
    check_metrics(names, [*fields])
    prepare_scores(scores, models)
    measures = measures_with(scores, models, user).values()
    needed = [m for m in measures if set(names) & {*m.fields, *(OFFICIAL_SCORES if "niqe_ird" in m.fields else ())}]
    networks = batch_scores(scores, models)
    with single_threaded():
        for path in paths:
            try:
                image = _read_image(path)
                numbers: dict[str, float | None] = {}
                for measure in needed:
                    numbers |= measure.measure(image)
                for network in networks:
                    numbers[network.name] = network.measure_batch([image.pixels])[0]
                yield ImageScores(path, {name: numbers[name] for name in names})
            except (ReadError, SourceError) as error:
                yield ImageScores(path, failure=str(error))


def _read_image(path: str) -> EncodedImage:
    place = image_path(path, by_name=False)
    folder, listed = list_files(place)
    if Folder(place).is_folder:
        raise SourceError("is a folder, not a file")
    entries = list(listed)
    if len(entries) > 1:
        raise SourceError(f"is a pattern of {len(entries):,} files; name them")
    return EncodedImage(folder.read(entries[0].uri))
