"""Builds from the web: a table of URLs, real servers on loopback, every image fetched once."""

import csv
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from aiohttp import web
from PIL import Image

from million_ird.config.recipe import Recipe
from million_ird.errors import UsageError
from million_ird.ledger import load
from million_ird.maintenance.explain import explain
from million_ird.maintenance.plan import plan
from million_ird.maintenance.takedown import take_down
from million_ird.maintenance.verify import verify
from million_ird.maintenance.verify_images import _byte_faults
from million_ird.runtime.storage import Folder
from million_ird.sources.web import links
from million_ird.workflow import Options, build
from tests.million_ird import scenes
from tests.million_ird.web_server import Site, serving

HERE = Options(workers=0, allow_private_hosts=True)
HOSTS = 5
PROGRAM = str(Path(sys.executable).parent / "million-ird")


def encoded(seed: int) -> bytes:
    file = io.BytesIO()
    scenes.photograph(seed).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def bodies() -> dict[str, bytes]:
    return {f"/{number}.png": encoded(number) for number in range(12)}


@pytest.fixture
def site(bodies: dict[str, bytes]) -> Iterator[Site]:
    with serving(bodies, HOSTS) as ledger:
        yield ledger


def recipe(**changes: object) -> Recipe:
    plain = {
        "patches": {"size": 16},
        "limits": {"failed_share": 1},
        "web": {"retries": 0},
        "duplicates": {"radius": None},
    }
    return Recipe.model_validate(plain | changes)


def table(folder: Path, site: Site, rows: list[dict[str, object]]) -> Path:
    path = folder / "urls.csv"
    with path.open("w", newline="") as file:
        names = dict.fromkeys(name for row in rows for name in row)
        writer = csv.DictWriter(file, list(names))
        writer.writeheader()
        writer.writerows(rows)
    return path


def addresses(site: Site, count: int = 12) -> list[dict[str, object]]:
    return [{"url": site.url(f"/{n}.png", f"127.0.0.{n % HOSTS + 1}"), "licence": "CC0"} for n in range(count)]


def rows(out: Path) -> dict[str, dict[str, object]]:
    return {str(row["uri"]).rsplit("/", 1)[-1]: row for row in load(Folder(str(out))).to_pylist()}


def test_a_table_of_urls_becomes_a_dataset_and_nothing_is_fetched_twice(
    tmp_path: Path, site: Site, bodies: dict[str, bytes]
) -> None:
    source, out = str(table(tmp_path, site, addresses(site))), str(tmp_path / "out")
    result = build([source], out, recipe(), HERE)
    assert (result.funnel.candidates, result.funnel.kept) == (12, 12)
    stored = pq.read_table(tmp_path / "out" / "data").to_pylist()
    assert {"/" + row["uri"].rsplit("/", 1)[-1]: row["image"]["bytes"] for row in stored} == bodies
    assert {row["licence"] for row in stored} == {"CC0"}
    assert verify(out).faults == []
    assert build([source], out, recipe(), HERE).did_nothing
    other = build([source], out, recipe(patches={"size": 24}), HERE)  # written again, from the cache
    assert other.written.patches > 0
    assert {path: n for path, n in site.asked.items() if path != "/robots.txt"} == dict.fromkeys(bodies, 1)
    assert site.asked["/robots.txt"] == HOSTS


@pytest.mark.full
def test_declared_sizes_and_licences_drop_before_anything_is_fetched(tmp_path: Path, site: Site) -> None:
    entries = addresses(site, 4)
    entries[0] |= {"width": 50, "height": 900}
    entries[1] |= {"width": 200, "height": 300}  # wrong: it is 80 × 70
    entries[2] |= {"licence": "all rights reserved"}
    source, out = str(table(tmp_path, site, entries)), tmp_path / "out"
    strict = recipe(
        gates=[{"field": "short_side", "min": 60, "reason": "small"}], licences={"refuse": ["all rights reserved"]}
    )
    assert plan([source], str(out), strict).ruled_out == 2
    result = build([source], str(out), strict, HERE)
    assert result.funnel.dropped == {"small": 1, "licence": 1}
    ledger = rows(out)
    assert (ledger["0.png"]["measured"], ledger["0.png"]["limit"], ledger["0.png"]["tier"]) == (50.0, 60.0, 0)
    assert (ledger["1.png"]["width"], ledger["1.png"]["verdict"]) == (80, "kept")
    assert set(site.asked) == {"/robots.txt", "/1.png", "/3.png"}
    loose = build([source], str(out), recipe(), HERE)  # the others now pass, and only they are fetched
    assert loose.funnel.kept == 4
    assert [site.asked[f"/{n}.png"] for n in range(4)] == [1, 1, 1, 1]


@pytest.mark.full
def test_failures_have_classes_and_only_failures_are_retried(
    tmp_path: Path, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.pages["/1.png"] = 404
    site.pages["/2.png"] = 503
    site.pages["/3.png"] = b"<html><body>gone</body></html>"
    site.pages["/robots.txt"] = b"User-agent: million-ird\nDisallow: /4.png\n"
    entries = addresses(site, 8)
    entries[5]["url"] = "http://127.0.0.9:1/5.png"
    entries[6]["url"] = "ftp://127.0.0.1/6.png"
    source, out = str(table(tmp_path, site, entries)), tmp_path / "out"
    first = build([source], str(out), recipe(), HERE)
    ledger = {name: row["failure_class"] for name, row in rows(out).items() if row["failure_class"]}
    assert ledger | {"6.png": ""} == {
        "1.png": "http_404", "2.png": "http_503", "3.png": "not_an_image", "4.png": "robots", "5.png": "refused",
        "6.png": "",
    }  # fmt: skip
    assert first.funnel.kept == 2
    asked = site.asked.copy()
    site.pages["/2.png"] = site.pages["/1.png"] = encoded(1)
    assert build([source], str(out), recipe(), HERE).did_nothing
    second = build(
        [source], str(out), recipe(), Options(workers=0, allow_private_hosts=True, retry=frozenset({"http_503"}))
    )
    assert second.funnel.kept == 3
    assert site.asked - asked == {"/2.png": 1}
    all_failed = Options(workers=0, allow_private_hosts=True, retry=frozenset())
    again = build([source], str(out), recipe(), all_failed)
    assert again.funnel.dropped == {"duplicate_exact": 1}
    assert site.asked["/7.png"] == site.asked["/0.png"] == 1
    assert verify(str(out)).faults == []
    caplog.clear()
    misspelt = Options(workers=0, allow_private_hosts=True, retry=frozenset({"timeuot"}))
    assert build([source], str(out), recipe(), misspelt).did_nothing
    assert "nothing to try again: no candidate failed as timeuot" in caplog.text


def test_private_addresses_are_refused_unless_allowed(tmp_path: Path, site: Site) -> None:
    source = str(table(tmp_path, site, addresses(site, 3)))
    result = build([source], str(tmp_path / "out"), recipe(), Options(workers=0))
    assert result.funnel.failures == {"private_address": 3}
    assert not site.asked


@pytest.mark.full
def test_addresses_in_a_dataset_go_through_the_same_checks(tmp_path: Path, site: Site) -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera's maker"
    file = io.BytesIO()
    scenes.photograph(30).save(file, "JPEG", quality=95, exif=exif)
    site.pages["/private.jpg"] = file.getvalue()
    site.pages["/robots.txt"] = b"User-agent: *\nDisallow: /forbidden\n"
    image = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    info = {"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}}}})}
    names = ["/private.jpg?token=s3cret", "/forbidden.png", "/gone.png"]
    paths = [*map(site.url, names), "http://169.254.169.254/latest/meta-data", "http://[broken"]
    rows_of_set = [{"image": {"bytes": None, "path": path}} for path in paths]
    (tmp_path / "set").mkdir()
    schema = pa.schema([("image", image)], metadata=info)
    pq.write_table(pa.Table.from_pylist(rows_of_set, schema), tmp_path / "set" / "train.parquet")
    sources = [f"dataset:{tmp_path / 'set'}"]
    refused = build(sources, str(tmp_path / "refused"), recipe(), Options(workers=0))
    assert refused.funnel.failures == {"private_address": 4, "bad_url": 1}
    assert not site.asked
    out = tmp_path / "out"
    build(sources, str(out), recipe(web={"retries": 0, "connect_seconds": 1}), HERE)
    ledger = rows(out)
    assert ledger["private.jpg"]["uri"] == site.url("/private.jpg")
    assert [ledger[name]["failure_class"] for name in ("private.jpg", "forbidden.png", "gone.png")] == [
        None, "robots", "http_404",
    ]  # fmt: skip
    assert site.asked["/robots.txt"] == 1
    (stored,) = pq.read_table(next((out / "data").iterdir())).to_pylist()
    assert b"maker" not in stored["image"]["bytes"]  # as of any image from the web


@pytest.mark.full
def test_only_new_rows_are_fetched_and_removed_rows_vanish(tmp_path: Path, site: Site) -> None:
    out = tmp_path / "out"
    build([str(table(tmp_path, site, addresses(site, 8)))], str(out), recipe(), HERE)
    asked = site.asked.copy()
    build([str(table(tmp_path, site, addresses(site, 10)[1:]))], str(out), recipe(), HERE)
    assert site.asked - asked == {"/8.png": 1, "/9.png": 1}
    ledger = rows(out)
    assert ledger["0.png"]["reason"] == "vanished"
    assert sum(row["verdict"] == "kept" for row in ledger.values()) == 9
    assert verify(str(out)).faults == []


@pytest.mark.full
def test_secrets_in_addresses_are_used_and_not_published(tmp_path: Path, site: Site) -> None:
    secret = "/0.png?X-Amz-Signature=s3cret&v=2"
    site.pages[secret] = encoded(0)
    site.pages["/0.png"] = 403
    source = str(table(tmp_path, site, [{"url": site.url(secret)}]))
    result = build([source], str(tmp_path / "out"), recipe(), HERE)
    assert result.funnel.kept == 1
    public = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and ".work" not in path.parts]
    assert not [path for path in public if b"s3cret" in path.read_bytes()]
    assert next(iter(rows(tmp_path / "out"))) == "0.png"
    named = recipe(uri_parameters=["v"])
    again = build([source], str(tmp_path / "out"), named, HERE)  # decided anew, without asking the server
    assert again.scan.measured == 0
    assert next(iter(rows(tmp_path / "out"))) == "0.png?v=2"
    assert verify(str(tmp_path / "out")).faults == []
    build([source], str(tmp_path / "out"), recipe(), HERE)
    assert next(iter(rows(tmp_path / "out"))) == "0.png"
    assert site.asked[secret] == 1


@pytest.mark.full
def test_addresses_that_differ_in_a_parameter_alone_are_two_images(tmp_path: Path, site: Site) -> None:
    whole = [site.url(f"/get?id={number}") for number in range(3)]
    for number in range(3):
        site.pages[f"/get?id={number}"] = encoded(number)
    out = tmp_path / "out"
    source = str(table(tmp_path, site, [{"url": address} for address in whole]))
    assert build([source], str(out), recipe(), HERE).funnel.kept == 3
    ledger = load(Folder(str(out))).to_pylist()
    assert {row["uri"] for row in ledger} == {site.url("/get")}
    assert len({row["key"] for row in ledger}) == len({row["id"] for row in ledger}) == 3
    assert build([source], str(out), recipe(), HERE).did_nothing
    found = [explain(str(out), address).row["id"] for address in whole]
    assert found == [hashlib.sha256(encoded(number)).hexdigest() for number in range(3)]
    with pytest.raises(UsageError, match=r"is 3 candidates: .*; give a key"):
        explain(str(out), site.url("/get"))
    take_down(str(out), [whole[1]], today=date(2026, 11, 28))
    verdicts = {row["id"]: row["verdict"] for row in load(Folder(str(out))).to_pylist()}
    assert sorted(verdicts[one] == "kept" for one in found) == [False, True, True]
    assert verdicts[found[1]] != "kept"


@pytest.mark.full
def test_two_workers_fetch_politely_and_write_the_same_bytes(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(body: bytes) -> object:
        async def answer(request: web.Request) -> web.Response:
            await __import__("asyncio").sleep(0.05)
            return web.Response(body=body)

        return answer

    monkeypatch.setattr(links, "LINKS_PER_CHUNK", 2)  # several chunks per group, which must not run at once
    entries = addresses(site) + [{"url": site.url(f"/{n}.png?again=1", "127.0.0.1"), "licence": ""} for n in range(12)]
    for number in range(12):
        site.pages[f"/{number}.png"] = slow(encoded(number))  # type: ignore[assignment]
    source = str(table(tmp_path, site, entries))
    polite = recipe(web={"per_host": 2, "retries": 0, "lanes": 3}, duplicates={"exact": False, "radius": None})
    build([source], str(tmp_path / "none"), polite, HERE)
    build([source], str(tmp_path / "two"), polite, Options(workers=2, allow_private_hosts=True))
    assert scenes.contents(tmp_path / "none") == scenes.contents(tmp_path / "two")
    assert max(site.most_busy.values()) <= 2
    assert site.asked["/robots.txt"] == 2 * HOSTS  # one request per host and build, however many chunks


def command(source: Path, out: Path, recipe_path: Path, *more: str) -> list[str]:
    return [PROGRAM, "build", "--sources", str(source), "--out", str(out), "--recipe", str(recipe_path),
            "--allow-private-hosts", "--workers", "0", "--json", *more]  # fmt: skip


@pytest.mark.full
def test_images_from_the_web_are_published_without_personal_metadata(tmp_path: Path, site: Site) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "a camera's maker"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    file = io.BytesIO()
    scenes.photograph(30, 90, 60).save(file, "JPEG", quality=95, exif=exif, comment=b"for my eyes only")
    site.pages["/private.jpg"] = file.getvalue()
    local = tmp_path / "local"
    local.mkdir()
    scenes.photograph(31).save(local / "own.jpg", "JPEG", exif=exif)
    source = str(table(tmp_path, site, [{"url": site.url("/private.jpg")}]))
    out = tmp_path / "out"
    build([source, str(local)], str(out), recipe(), HERE)
    from_web, own = sorted(
        pq.read_table(next((out / "data").iterdir())).to_pylist(), key=lambda row: not row["uri"].startswith("http")
    )
    bare = from_web["image"]["bytes"]
    assert own["image"]["bytes"] == (local / "own.jpg").read_bytes()
    assert own["sha256"] == own["id"]
    assert from_web["id"] == hashlib.sha256(file.getvalue()).hexdigest()
    assert from_web["sha256"] == hashlib.sha256(bare).hexdigest() != from_web["id"]
    assert dict(Image.open(io.BytesIO(bare)).getexif()) == {0x0112: 6}
    assert b"maker" not in bare
    assert b"eyes" not in bare
    assert (from_web["width"], from_web["height"]) == (60, 90)
    assert verify(str(out)).faults == []
    faults = _byte_faults("private.jpg", file.getvalue(), from_web | {"sha256": from_web["id"]}, recipe())
    assert "has private metadata" in str(list(faults))
    build([source, str(local)], str(out), recipe(privacy={"strip_metadata": "never"}), HERE)
    hashes = {row["sha256"] for row in pq.read_table(next((out / "data").iterdir())).to_pylist()}
    assert hashes == {own["id"], from_web["id"]}
    (out / "recipe.yaml").write_text(recipe(privacy={"strip_metadata": "always"}).dump())
    assert "write" in str(verify(str(out)).stale)  # another recipe would write other bytes


@pytest.mark.full
def test_a_killed_build_from_the_web_resumes_to_the_same_bytes(tmp_path: Path, site: Site) -> None:
    source, recipe_path = table(tmp_path, site, addresses(site)), tmp_path / "recipe.yaml"
    recipe_path.write_text(yaml.safe_dump(recipe(web={"delay": 0.2, "retries": 0}).model_dump(mode="json")))
    whole = subprocess.run(command(source, tmp_path / "whole", recipe_path), capture_output=True, text=True, check=True)
    assert json.loads(whole.stdout.splitlines()[-1])["kept"] == 12
    for after in (1.2, 2.4):
        out = tmp_path / f"killed {after}"
        process = subprocess.Popen(
            command(source, out, recipe_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(after)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        subprocess.run(command(source, out, recipe_path), capture_output=True, check=True)
        assert scenes.contents(out) == scenes.contents(tmp_path / "whole")
