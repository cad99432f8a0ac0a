"""What a dataset's folder holds, read from the footers of its files, and the YAML that describes it to the Hub.

A configuration (`images`, `patches`, `ledger`) is a folder of parquet files; its splits are the files whose names begin
with the split (`train-…`, `validation-…`). No row is read.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from million_ird import ledger
from million_ird.dataset.markdown import plain_line
from million_ird.runtime.storage import Folder
from million_ird.schema import TRAIN, VALIDATION

CONFIGS = MappingProxyType({"images": "data", "patches": "patches", "ledger": ledger.FOLDER})
"""Configurations and their folders; the first is the one that is loaded when none is named."""
SPLITS = (TRAIN, VALIDATION)
CARD = "README.md"
REPORT = "report/index.html"
LICENCE_FILE = "LICENSE.md"
FIGURES = "card"
"""Folder of the card's figures."""
"""The name that the Hub expects where the licence is `other`."""
RELEASES = "releases/releases.json"
"""The list of releases, oldest first."""
CHANGES = "CHANGES.md"
"""The list of releases, for people."""
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
    """Bytes of the uncompressed columns, as the footers give them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubConfig:
    """One configuration of the dataset, as `load_dataset(…, name)` takes it."""

    name: str
    folder: str
    schema: pa.Schema
    splits: tuple[Split, ...]
    """The splits that have files, in the order of `SPLITS`."""

    @property
    def rows(self) -> int:
        """Rows of all splits."""
        return sum(split.rows for split in self.splits)

    def data_files(self) -> list[dict[str, str]]:
        """Return where the splits are, as the YAML says it."""
        return [{"split": split.name, "path": f"{self.folder}/{split.name}-*.parquet"} for split in self.splits]


def hub_configs(out: Folder) -> list[HubConfig]:
    """Return the configurations that have files in a dataset's folder.

    Raises:
        DamagedFile: A file's footer cannot be read.
    """
    configs = (_read_config(out, name, folder) for name, folder in CONFIGS.items())
    return [config for config in configs if config is not None]


def _read_config(out: Folder, config: str, folder: str) -> HubConfig | None:
    names: dict[str, list[str]] = {}
    for name in out.names(folder):
        if match := _FILE.fullmatch(name):
            names.setdefault(match[1], []).append(f"{folder}/{name}")
    if not names:
        return None
    splits = tuple(_read_split(out, name, names[name]) for name in SPLITS if name in names)
    schema = out.read_schema(next(iter(names.values()))[0])
    return HubConfig(name=config, folder=folder, schema=schema, splits=splits)


def _read_split(out: Folder, name: str, files: Sequence[str]) -> Split:
    rows = decoded = disk = 0
    for file in files:
        with out.parquet(file) as opened:
            footer: pq.FileMetaData = opened.metadata
        rows += footer.num_rows
        decoded += sum(footer.row_group(group).total_byte_size for group in range(footer.num_row_groups))
        with out.open(file) as raw:
            disk += raw.seek(0, os.SEEK_END)
    return Split(name=name, rows=rows, files=len(files), disk=disk, decoded=decoded)


def count_stripped(out: Folder, images: HubConfig) -> int:
    """Count the images whose metadata was stripped: their bytes have another hash than the source's bytes.

    Reads two text columns of the image files.
    """
    if "sha256" not in images.schema.names:
        return 0
    names = [name for name in out.names(images.folder) if _FILE.fullmatch(name)]
    return sum(_count_differing(out.read_table(f"{images.folder}/{name}", ["id", "sha256"])) for name in names)


def _count_differing(table: pa.Table) -> int:
    return int(pc.sum(pc.not_equal(table["id"], table["sha256"])).as_py() or 0)


def front_matter(configs: Sequence[HubConfig], *, name: str, licence: str) -> str:
    """Return the YAML of the card, without its fences: what the Hub shows and searches, and what `datasets` reads.

    Args:
        configs: The configurations to list.
        name: The dataset's name; any text.
        licence: An identifier of the Hub; `other` for several licences, or one that the Hub does not know.
    """
    images = next((config.rows for config in configs if config.name == "images"), 0)
    licence_keys = {"license": licence}
    if licence == "other":
        licence_keys |= {"license_name": "as-each-picture-says", "license_link": LICENCE_FILE}
    content = {
        "pretty_name": plain_line(name),
        **licence_keys,
        "task_categories": ["image-to-image"],
        "tags": list(TAGS),
        "size_categories": [size_category(images)],
        "configs": [
            {
                "config_name": config.name,
                **({"default": True} if config.name == "images" else {}),
                "data_files": config.data_files(),
            }
            for config in configs
        ],
        "dataset_info": [_dataset_info(config) for config in configs],
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1000)


def _dataset_info(config: HubConfig) -> dict[str, object]:
    # For `datasets`, bytes are the size of the rows as arrow data. It shows by them how much disk space a download
    # needs; it checks the number of rows of a split, not its bytes. The footers' uncompressed sizes are close for
    # images, which make up nearly all of a row and are stored as they are. For a ledger they are too small: parquet
    # does not write nulls and repeated texts in full.
    from datasets import DatasetInfo, Features, SplitDict, SplitInfo
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCardData

    splits = SplitDict({s.name: SplitInfo(s.name, num_bytes=s.decoded, num_examples=s.rows) for s in config.splits})
    info = DatasetInfo(
        features=Features.from_arrow_schema(config.schema),
        splits=splits,
        download_size=sum(split.disk for split in config.splits),
        dataset_size=sum(split.decoded for split in config.splits),
    )
    data = DatasetCardData()
    DatasetInfosDict({config.name: info}).to_dataset_card_data(data)
    content: dict[str, object] = data["dataset_info"]
    return content


def size_category(rows: int) -> str:
    """Return the Hub's name for a number of rows: `n<1K`, `1K<n<10K`, … `100B<n<1T`, `n>1T`."""
    if rows < 1000:
        return "n<1K"
    power = len(str(rows)) - 1
    if power >= 12:
        return "n>1T"
    low, high = (f"{10 ** (p % 3)}{_BINS[p // 3 - 1]}" for p in (power, power + 1))
    return f"{low}<n<{high}"


def read_front_matter(card: str) -> dict[str, object]:
    """Return the YAML between the fences of a card.

    Raises:
        ValueError: The card has none, or it is not valid.
    """
    match = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
    try:
        content = yaml.safe_load(match[1]) if match else None
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    if not isinstance(content, dict):
        raise ValueError("it does not begin with YAML")
    return content


def data_files(card_yaml: Mapping[str, object], config: str) -> object:
    """Return what the YAML names as the files of a configuration; None where it names none."""
    return _entry(card_yaml, "configs", config).get("data_files")


def split_rows(card_yaml: Mapping[str, object], config: str) -> dict[str, object]:
    """Return how many rows the YAML states for each split of a configuration."""
    splits = _entry(card_yaml, "dataset_info", config).get("splits")
    listed = splits if isinstance(splits, list) else []
    return {str(split.get("name")): split.get("num_examples") for split in listed if isinstance(split, dict)}


def linked_files(card: str) -> list[str]:
    """Return the files of the dataset that a card links to or shows, sorted."""
    return sorted(set(re.findall(r"\]\(((?:card/[\w.-]+)|CHANGES\.md)\)", card)))


def _entry(card_yaml: Mapping[str, object], key: str, config: str) -> dict[str, object]:
    entries = card_yaml.get(key)
    listed = entries if isinstance(entries, list) else []
    return next((entry for entry in listed if isinstance(entry, dict) and entry.get("config_name") == config), {})
