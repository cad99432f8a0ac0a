"""What identifies addresses, and distributing addresses over host groups."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from million_ird.candidate import candidate_key
from million_ird.sources.keyset import KeySet
from million_ird.sources.web.links import MAX_CHUNK_SIZE, LinkChunker, LinkEntry, address_identity, host_group_of


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://user:secret@x.org/a.jpg", "https://x.org/a.jpg"),
        ("https://x.org/a.jpg?X-Amz-Signature=1&X-Amz-Date=2&v=3#top", "https://x.org/a.jpg?v=3"),
        ("https://x.org/a?id=7&%74oken=abc", "https://x.org/a?id=7"),
        ("https://x.blob.core.windows.net/c/a.jpg?sv=2&se=3&sr=b&sig=xyz", "https://x.blob.core.windows.net/c/a.jpg"),
        ("https://x.org/find?st=paris&sr=2", "https://x.org/find?st=paris&sr=2"),
        ("https://x.org:8080/ä b.jpg?key=one", "https://x.org:8080/ä b.jpg?key=one"),
        ("http://[broken", "http://[broken"),
    ],
)
def test_signing_an_address_anew_does_not_change_what_identifies_it(address: str, expected: str) -> None:
    assert address_identity(address) == expected
    assert address_identity(expected) == expected


def test_a_host_is_in_one_group() -> None:
    spelt = [
        f"{scheme}://Example.org{port}/{n}" for scheme in ("http", "https") for port in ("", ":81") for n in (1, 2)
    ]
    chunker = {host_group_of(address, 16) for address in spelt}
    assert len(chunker) == 1
    assert host_group_of("http://example.org./x", 16) in chunker
    assert len({host_group_of(f"http://{n}.org", 16) for n in range(200)}) == 16


def chunks(numbers: list[int]) -> dict[str, list[str]]:
    chunker, results = LinkChunker("l", "r"), []
    for number in numbers:
        address = f"http://{number % 3}.org/{number}"
        entry = LinkEntry(uri=address, size=0, version="", address=address)
        results.append(chunker.add(host_group_of(address, 4), candidate_key("l", address), entry))
    kept = [chunk for chunk in [*results, *chunker.rest()] if chunk is not None]
    assert sum(len(chunk.entries) for chunk in kept) == len(numbers)
    assert max(len(chunk.entries) for chunk in kept) <= MAX_CHUNK_SIZE
    assert len({chunk.slot for chunk in kept}) == len(kept)
    return {chunk.slot: [entry.uri for entry in chunk.entries] for chunk in kept}


@pytest.mark.parametrize("change", [0, 2_500, 4_999])
def test_one_entry_more_or_less_changes_few_chunks(change: int) -> None:
    numbers = list(range(5_000))
    before, after = chunks(numbers), chunks(numbers[:change] + numbers[change + 1 :])
    assert len(before) > 10
    changed = [slot for slot in before.keys() | after.keys() if before.get(slot) != after.get(slot)]
    assert len(changed) <= 2


@given(st.lists(st.lists(st.integers(0, 300), max_size=50), max_size=20))
def test_a_key_set_equals_a_python_set(batches: list[list[int]]) -> None:
    seen, before = KeySet(), set[str]()
    for batch in batches:
        keys = [candidate_key("s", str(number)) for number in batch]
        expected = []
        for key in keys:
            expected.append(key not in before)
            before.add(key)
        assert np.array_equal(seen.add(keys), expected)


def test_a_key_set_grows() -> None:
    keys = [candidate_key("s", str(number)) for number in range(50_000)]
    seen = KeySet()
    assert all(seen.add(keys[start : start + 4096]).all() for start in range(0, len(keys), 4096))
    assert not seen.add(keys).any()
