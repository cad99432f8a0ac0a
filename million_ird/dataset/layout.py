"""What lies in a data set's folder, read from the footers of its files, and the YAML that tells the Hub of it.

A part is a configuration (`images`, `patches`, `ledger`), its splits are groups of files that begin alike
(`train-…`, `validation-…`). No row is read.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from million_ird import ledger
from million_ird.dataset.markdown import plain
from million_ird.runtime.storage import Folder

CONFIGS = {"images": "data", "patches": "patches", "ledger": ledger.FOLDER}
"""Configurations and their folders; the first is the one that is loaded when none is named."""
SPLITS = (ledger.TRAIN, ledger.VALIDATION)
LICENCE_FILE = "LICENSE.md"
"""As the Hub wants it called where the licence is `other`."""
RELEASES = "releases/releases.json"
"""The list of releases, oldest first."""
CHANGES = "CHANGES.md"
"""The same for people."""
TAGS = ("image-restoration", "image", "parquet", "million-ird")
_FILE = re.compile(rf"({'|'.join(SPLITS)})-\d+-of-\d+\.parquet")
_BINS = "KMBT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The files of one split."""

    name: str
    rows: int
    files: int
    disk: int
    """Bytes of the files."""
    decoded: int
    """Bytes of the columns uncompressed, by the footers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One configuration."""

    config: str
    folder: str
    schema: pa.Schema
    splits: tuple[Split, ...]
    """In the order of `SPLITS`; those that have files."""

    @property
    def rows(self) -> int:
        """Rows of all splits."""
        return sum(split.rows for split in self.splits)

    def data_files(self) -> list[dict[str, str]]:
        """Where the splits are, as the YAML says it."""
        return [{"split": split.name, "path": f"{self.folder}/{split.name}-*.parquet"} for split in self.splits]


def parts(out: Folder) -> list[Part]:
    """The parts of which there are files.

    Raises:
        DamagedFile: a file's footer cannot be read.
    """
    return [part for config, folder in CONFIGS.items() if (part := _part(out, config, folder)) is not None]


def _part(out: Folder, config: str, folder: str) -> Part | None:
    names: dict[str, list[str]] = {}
    for name in out.names(folder):
        if found := _FILE.fullmatch(name):
            names.setdefault(found[1], []).append(f"{folder}/{name}")
    if not names:
        return None
    splits = tuple(_split(out, name, names[name]) for name in SPLITS if name in names)
    schema = out.read_schema(next(iter(names.values()))[0])
    return Part(config=config, folder=folder, schema=schema, splits=splits)


def _split(out: Folder, name: str, files: Sequence[str]) -> Split:
    rows = decoded = disk = 0
    for file in files:
        with out.parquet(file) as opened:
            footer: pq.FileMetaData = opened.metadata
        rows += footer.num_rows
        decoded += sum(footer.row_group(group).total_byte_size for group in range(footer.num_row_groups))
        with out.open(file) as raw:
            disk += raw.seek(0, os.SEEK_END)
    return Split(name=name, rows=rows, files=len(files), disk=disk, decoded=decoded)


def stripped(out: Folder, images: Part) -> int:
    """How many pictures were published without the metadata that they had: those whose bytes have a new hash.

    Reads two columns of text of the pictures' files.
    """
    if "sha256" not in images.schema.names:
        return 0
    names = [name for name in out.names(images.folder) if _FILE.fullmatch(name)]
    return sum(_differing(out.read_table(f"{images.folder}/{name}", ["id", "sha256"])) for name in names)


def _differing(table: pa.Table) -> int:
    return int(pc.sum(pc.not_equal(table["id"], table["sha256"])).as_py() or 0)


def front_matter(found: Sequence[Part], *, name: str, licence: str) -> str:
    """The YAML of the card, without its fences: what the Hub shows and searches, and what `datasets` reads.

    Args:
        found: the parts to name.
        name: the set's, anybody's words.
        licence: an identifier of the Hub's, `other` for more than one licence or none that it knows.
    """
    images = next((part.rows for part in found if part.config == "images"), 0)
    terms = {"license": licence}
    if licence == "other":
        terms |= {"license_name": "as-each-picture-says", "license_link": LICENCE_FILE}
    content = {
        "pretty_name": plain(name),
        **terms,
        "task_categories": ["image-to-image"],
        "tags": list(TAGS),
        "size_categories": [size_category(images)],
        "configs": [
            {
                "config_name": part.config,
                **({"default": True} if part.config == "images" else {}),
                "data_files": part.data_files(),
            }
            for part in found
        ],
        "dataset_info": [_info(part) for part in found],
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1000)


def _info(part: Part) -> dict[str, object]:
    # `datasets` means by bytes what the rows take as arrow data. It tells by them how much disk a download needs, and
    # checks the rows of a split, not its bytes. The footers' uncompressed sizes are close for pictures, which make up
    # nearly all of a row and are stored as they are; a ledger's are off by the nulls and the repeated texts that
    # parquet does not write out.
    from datasets import DatasetInfo, Features, SplitDict, SplitInfo
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCardData

    splits = SplitDict({s.name: SplitInfo(s.name, num_bytes=s.decoded, num_examples=s.rows) for s in part.splits})
    info = DatasetInfo(
        features=Features.from_arrow_schema(part.schema),
        splits=splits,
        download_size=sum(split.disk for split in part.splits),
        dataset_size=sum(split.decoded for split in part.splits),
    )
    data = DatasetCardData()
    DatasetInfosDict({part.config: info}).to_dataset_card_data(data)
    written: dict[str, object] = data["dataset_info"]
    return written


def size_category(rows: int) -> str:
    """The Hub's name for a number of rows: `n<1K`, `1K<n<10K`, … `100B<n<1T`, `n>1T`."""
    if rows < 1000:
        return "n<1K"
    power = len(str(rows)) - 1
    if power >= 12:
        return "n>1T"
    low, high = (f"{10 ** (p % 3)}{_BINS[p // 3 - 1]}" for p in (power, power + 1))
    return f"{low}<n<{high}"


def said_in(card: str) -> dict[str, object]:
    """The YAML between the fences of a card.

    Raises:
        ValueError: there is none, or it is none.
    """
    found = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
    try:
        content = yaml.safe_load(found[1]) if found else None
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    if not isinstance(content, dict):
        raise ValueError("no YAML stands at its head")
    return content


def data_files_of(said: Mapping[str, object], config: str) -> object:
    """What the YAML names as the files of a configuration; None where it names none."""
    return _entry(said, "configs", config).get("data_files")


def rows_of(said: Mapping[str, object], config: str) -> dict[str, object]:
    """How many rows the YAML gives to each split of a configuration."""
    splits = _entry(said, "dataset_info", config).get("splits")
    listed = splits if isinstance(splits, list) else []
    return {str(one.get("name")): one.get("num_examples") for one in listed if isinstance(one, dict)}


def linked(card: str) -> list[str]:
    """The files of the data set that a card links to or shows."""
    return sorted(set(re.findall(r"\]\(((?:card/[\w.-]+)|CHANGES\.md)\)", card)))


def _entry(said: Mapping[str, object], key: str, config: str) -> dict[str, object]:
    entries = said.get(key)
    listed = entries if isinstance(entries, list) else []
    return next((one for one in listed if isinstance(one, dict) and one.get("config_name") == config), {})
