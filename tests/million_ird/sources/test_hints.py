"""Errors that name the form of `--sources` which reads a source: each form is tried."""

import io
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from million_ird.candidate import Candidate, Failed
from million_ird.config.recipe import Recipe
from million_ird.config.source_spec import SourceSpec
from million_ird.errors import SourceError
from million_ird.runtime.storage import Folder
from million_ird.sources.hints import for_schema
from million_ird.sources.registry import SourceContext, open_sources
from million_ird.sources.source import StreamContext


def png(seed: int) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


STORED = [{"bytes": png(number), "path": f"{number}.png"} for number in range(4)]


def plain(folder: Path, column: str, values: list[object], kind: pa.DataType | None = None) -> Path:
    """A parquet file that nothing says of what its columns are."""
    folder.mkdir()
    pq.write_table(pa.table({column: pa.array(values, kind), "score": [1.0] * len(values)}), folder / "train.parquet")
    return folder


def hub(folder: Path) -> str:
    folder.mkdir()
    features = datasets.Features(image=datasets.Image())
    datasets.Dataset.from_dict({"image": STORED}, features=features).to_parquet(folder / "train.parquet")
    return str(folder / "train.parquet")


def hub_lists(folder: Path) -> str:
    folder.mkdir()
    features = datasets.Features(images=datasets.List(datasets.Image()))
    told = datasets.Dataset.from_dict({"images": [STORED[:3], STORED[3:]]}, features=features)
    told.to_parquet(folder / "train.parquet")
    return str(folder / "train.parquet")


def addresses(folder: Path) -> str:
    (folder / ".hidden").mkdir(parents=True)
    for part in range(2):
        names = [f".hidden/{number}.png" for number in range(2 * part, 2 * part + 2)]
        pq.write_table(pa.table({"url": names}), folder / f"part-{part}.parquet")
    for number in range(4):
        (folder / ".hidden" / f"{number}.png").write_bytes(png(number))
    return str(folder)


def listed(folder: Path, name: str, content: str) -> str:
    folder.mkdir()
    (folder / name).write_text(content)
    for number in range(4):
        (folder / f"{number}.png").write_bytes(png(number))
    return str(folder / name)


ROWS = [{"url": f"{number}.png"} for number in range(4)]
CASES: dict[str, tuple[Callable[[Path], str], str]] = {
    "a Hub parquet named as a table": (hub, "its column 'image' holds images themselves"),
    "a folder of Hub parquet": (lambda at: str(Path(hub(at)).parent), "its column 'image' holds images themselves"),
    "lists of images as a table": (hub_lists, "its column 'images' holds lists of images"),
    "a folder of lists of images": (lambda at: str(Path(hub_lists(at)).parent), "holds lists of images"),
    "structures without a word": (
        lambda at: str(plain(at, "photo", list(STORED)) / "train.parquet"), "its column 'photo' holds images",
    ),
    "lists of structures": (
        lambda at: str(plain(at, "photos", [STORED[:1], STORED[1:]]) / "train.parquet"), "holds lists of images",
    ),
    "bytes": (lambda at: str(plain(at, "jpg", [one["bytes"] for one in STORED]) / "train.parquet"), "holds images"),
    "lists of bytes": (
        lambda at: str(plain(at, "jpgs", [[one["bytes"] for one in STORED]]) / "train.parquet"), "holds lists",
    ),
    "bytes where addresses should be": (
        lambda at: str(plain(at, "url", [one["bytes"] for one in STORED], pa.large_binary()) / "train.parquet"),
        "its column 'url' holds images themselves",
    ),
    "structures where addresses should be": (
        lambda at: str(plain(at, "path", list(STORED)) / "train.parquet"), "its column 'path' holds images themselves",
    ),
    "lists where addresses should be": (
        lambda at: str(plain(at, "url", [STORED[:2], STORED[2:]]) / "train.parquet"), "holds lists of images",
    ),
    "a folder of parquet with addresses": (addresses, "holds 2 .parquet files, no images"),
    "JSON lines named .json": (
        lambda at: listed(at, "list.json", "\n".join(map(json.dumps, ROWS))), "is JSON, not an image",
    ),
}  # fmt: skip


def error_of(form: str) -> str:
    with pytest.raises(SourceError) as raised:
        open_sources([SourceSpec.model_validate(form)], SourceContext(recipe=Recipe()))
    assert "\n" not in str(raised.value)
    return str(raised.value)


def forms_in(message: str) -> list[str]:
    found = re.search(r"--sources .*", message)
    assert found, message
    return shlex.split(found[0])[1::2]


def read(form: str) -> list[bytes | Failed]:
    (source,) = open_sources([SourceSpec.model_validate(form)], SourceContext(recipe=Recipe())).values()
    contents: list[bytes | Failed] = []

    def deliver(_: Candidate, content: bytes | Failed) -> None:
        contents.append(content)

    for chunk in source.chunks():
        if chunk.remote:
            source.stream(chunk, lambda _: True, deliver, StreamContext(out=Folder("memory://x"), concurrency=1))
        else:
            contents += [source.fetch(candidate) for candidate in source.candidates(chunk)]
    return contents


@pytest.mark.parametrize("case", CASES)
def test_the_form_that_a_hint_names_reads_all_images(tmp_path: Path, case: str) -> None:
    make, told = CASES[case]
    message = error_of(make(tmp_path / "a set"))
    assert told in message
    (form,) = forms_in(message)
    assert read(form) == [png(number) for number in range(4)]


@pytest.mark.parametrize("indent", [None, 1])
def test_a_json_array_is_read_when_it_was_converted_as_told(tmp_path: Path, indent: int | None) -> None:
    path = listed(tmp_path / "a set", "list.json", json.dumps(ROWS, indent=indent))
    for named in (path, f"table:{path}"):
        message = error_of(named)
        assert "is one JSON array" in message
    shutil.copy(path, tmp_path / "a set" / "wrong.jsonl")
    assert "is one JSON array" in error_of(str(tmp_path / "a set" / "wrong.jsonl"))
    (command,) = re.findall(r"`(.*?)`", message)
    (form,) = forms_in(message)
    if shutil.which("jq") is None:
        script, target = command.split(" > ")
        assert script == f"jq -c '.[]' {shlex.quote(path)}"
        Path(*shlex.split(target)).write_text("\n".join(map(json.dumps, ROWS)))
    else:
        subprocess.run(command, shell=True, check=True, env=os.environ)
    assert read(form) == [png(number) for number in range(4)]


def test_a_hub_address_becomes_the_name_of_its_dataset() -> None:
    schema = pa.schema([pa.field("image", pa.struct({"bytes": pa.binary(), "path": pa.string()}))])
    for folder in ("hf://datasets/user/name/data", "hf://datasets/user/name@refs%2Fconvert%2Fparquet/default"):
        assert forms_in(for_schema(schema, folder)) == ["dataset:user/name"]
    assert SourceSpec.model_validate("dataset:user/name").kind == "dataset"


def test_a_folder_without_anything_known_is_told_as_before(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("nothing")
    assert error_of(str(tmp_path)).endswith("holds no files that may be images")
