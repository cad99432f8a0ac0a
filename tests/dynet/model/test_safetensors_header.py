"""Headers of safetensors files that someone made up are refused in one line, before a library parses them."""

import json
import struct
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dynet import DyNet
from dynet.errors import WeightsError
from dynet.model.safetensors_header import MAX_HEADER, check_header
from dynet.model.weights import read_header
from dynet.spandrel.any_weights import load_any_weights


def made_up(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def entry(begin: object, end: object) -> bytes:
    return json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [begin, end]}}).encode()


BAD = {
    "nothing": b"",
    "8 bytes that claim 2^63": struct.pack("<Q", 2**63),
    "8 bytes that claim 2^64": struct.pack("<Q", 2**64 - 1),
    "a header beyond the end": made_up(b"{}", length=100),
    "a header that is too large": made_up(b" " * (MAX_HEADER + 1)),
    "deep lists": made_up(b"[" * 200_000),
    "deep objects": made_up(b'{"a":' * 200_000),
    "a key twice": made_up(b'{"__metadata__": {"dynet": "{}", "dynet": "1"}}'),
    "a tensor twice": made_up(entry(0, 4)[:-1] + b"," + entry(0, 4)[1:], bytes(4)),
    "a list": made_up(b"[]"),
    "no text": made_up(b"\xff\xfe"),
    "metadata that are no texts": made_up(b'{"__metadata__": {"dynet": 1}}'),
    "a tensor beyond the end": made_up(entry(0, 4), bytes(3)),
    "a tensor far beyond the end": made_up(entry(0, 2**70), bytes(3)),
    "a tensor before the start": made_up(entry(-4, 0), bytes(4)),
    "a tensor backwards": made_up(entry(4, 0), bytes(4)),
    "offsets that are no numbers": made_up(entry("0", True), bytes(4)),
}


@pytest.mark.parametrize("kind", BAD)
def test_every_reader_refuses_a_made_up_header_in_one_line(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "weights.safetensors"
    file.write_bytes(BAD[kind])
    started = time.monotonic()
    for read in (check_header, read_header, DyNet.from_pretrained, lambda path: load_any_weights(str(path))):
        with pytest.raises(WeightsError, match=str(file)) as caught:
            read(file)
        assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 20


def test_weights_with_values_that_are_no_numbers_are_refused_by_name(tiny_weights: Path, tmp_path: Path) -> None:
    check_header(tiny_weights)
    tensors = load_file(tiny_weights)
    for bad in (torch.nan, torch.inf):
        name = sorted(tensors)[-1]
        damaged = tensors | {name: tensors[name].clone()}
        damaged[name].view(-1)[-1] = bad
        from safetensors import safe_open

        with safe_open(tiny_weights, framework="np") as opened:
            save_file(damaged, tmp_path / "weights.safetensors", opened.metadata())
        with pytest.raises(WeightsError, match=f"tensor {name} has values that are infinite or not a number"):
            load_any_weights(str(tmp_path / "weights.safetensors"))
