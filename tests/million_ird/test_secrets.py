"""Sixty secrets and more, planted wherever an address can come from: none is in a published file or in any output."""

import csv
import io
import itertools
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from aiohttp import web

from million_ird.ledger import load
from million_ird.maintenance.explain import explain
from million_ird.maintenance.verify import verify
from million_ird.runtime.storage import Folder
from tests.million_ird import scenes
from tests.million_ird.web_server import Handler, Site, serving

PROGRAM = str(Path(sys.executable).parent / "million-ird")
NAMES = (
    *("password", "passwd", "pwd", "auth_token", "token", "access_token", "client_secret", "secret", "key", "api_key"),
    *(
        "apikey",
        "jwt",
        "sig",
        "signature",
        "X-Amz-Signature",
        "X-Goog-Signature",
        "session",
        "sid",
        "PHPSESSID",
        "code",
    ),
    *("%74oken", "p%61ssword", "to%6Ben", "%6A%77%74", "auth[token]", "auth.token", "Bearer", "u", "q", "t"),
    *("id%00", "token+", "%C3%A9", "_", "a%26b", "id%3D"),
)
"""Parameters, also in spellings that no list of names has."""


class Secrets:
    """Makes secrets, each of them once."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def __str__(self) -> str:
        self.made.append(f"s3cr3t{len(self.made):03d}x")
        return self.made[-1]


def encoded(seed: int) -> bytes:
    file = io.BytesIO()
    scenes.photograph(seed).save(file, "PNG")
    return file.getvalue()


PICTURES = [encoded(seed) for seed in range(4)]


def redirect(where: str) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": where})

    return answer


def listed_rows(site: Site, secret: Secrets) -> list[str]:
    """Addresses that a table may have, each with a secret."""
    host = f"127.0.0.1:{site.port}"
    rows = [site.url(f"/{number % 4}.png?{name}={secret}") for number, name in enumerate(NAMES)]
    rows += [
        site.url(f"/0.png;jsessionid={secret}"),
        site.url(f"/0.png%3Bjsessionid={secret}"),
        site.url(f"/0.png%3Ftoken%3D{secret}"),
        site.url(f"/1.png#access_token={secret}"),
        site.url(f"/2.png?a=1#{secret}"),
        site.url(f"/redirect?to={secret}"),
        site.url(f"/nowhere?from={secret}"),
        site.url(f"/gone.png?token={secret}"),
        site.url(f"/my picture.png?token={secret}"),
        f"http://user:{secret}@{host}/0.png",
        f"http://{secret}@{host}/0.png",
        f"http://user%3A{secret}%40{host}/0.png",
        f"http://user:pass?{secret}@{host}/0.png",
        f"HTTP://user:{secret}@{host}/0.png?x={secret}",
        f"http:\\\\user:{secret}@{host}\\0.png",
        f"http:/user:{secret}@{host}/0.png?token={secret}",
        f"ftp://user:{secret}@{host}/0.png",
        f"s3://key:{secret}@bucket/0.png?versionId={secret}",
        f"simplecache::http://user:{secret}@{host}/0.png?token={secret}",
        f"zip://0.png::http://user:{secret}@{host}/a.zip?token={secret}",
        f"{host}/0.png?token={secret}",
        f"user:{secret}@{host}/0.png",
        f"//user:{secret}@{host}/0.png?token={secret}",
        f"pictures/0.png?token={secret}",
        f"http://[broken?token={secret}",
        f"http://{host}:port/{'x'}?token={secret}",
        f"http://127.0.0.1:1/refused.png?token={secret}",
        f"http://no-such-host.invalid/a.png?token={secret}",
    ]
    return rows


def serve_site(site: Site, secret: Secrets) -> None:
    """Serve pages, sitemaps and a robots.txt whose addresses have secrets."""
    for number, picture in enumerate(PICTURES):
        site.pages[f"/{number}.png"] = picture
    site.pages["/redirect"] = redirect(f"/3.png?redirected={secret}#{secret}")
    site.pages["/nowhere"] = redirect(f"http://user:{secret}@127.0.0.1:{site.port}/3.png?token={secret}")
    maps = f"Sitemap: {site.url('/map.xml')}?token={secret}\nSitemap: {site.url('/gone.xml')}?token={secret}\n"
    site.pages["/robots.txt"] = f"User-agent: *\nDisallow: /forbidden?token={secret}\n{maps}".encode()
    image = f"<image:image><image:loc>{site.url('/1.png')}?token={secret}</image:loc></image:image>"
    entry = f"<url><loc>{site.url('/page.html')}?sid={secret}</loc>{image}</url>"
    more = f"<sitemap><loc>{site.url('/broken.xml')}?token={secret}</loc></sitemap>"
    spaces = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" '
    spaces += 'xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"'
    site.pages["/map.xml"] = f"<urlset {spaces}>{entry}{more}</urlset>".encode()
    site.pages["/broken.xml"] = f"<urlset><url><loc>{site.url('/x')}?token={secret}</loc>".encode()
    body = f"""<html><head><base href="/deep/../?base={secret}">
      <meta property="og:image" content="{site.url("/2.png")}?og={secret}"></head><body>
      <img src="0.png?src={secret}" srcset="1.png?small={secret} 1x, 2.png?large={secret} 2x">
      <img src="http://user:{secret}@127.0.0.1:{site.port}/0.png">
      <a href="3.png;jsessionid={secret}">picture</a> <a href="page.html?sid={secret}#{secret}">next</a>
      <a rel="license" href="http://example.org/licence?ref={secret}">licence</a></body></html>"""
    site.pages["/"] = site.pages["/page.html"] = body.encode()


def lay_out(folder: Path, site: Site, secret: Secrets) -> list[str]:
    """Make sources of every kind that can have addresses; return them."""
    serve_site(site, secret)
    with (folder / "urls.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["url", "licence", "attribution", "caption"])
        for row in listed_rows(site, secret):
            licence = f"https://example.org/licence?ref={secret}"
            writer.writerow(
                [row, licence, f"at https://me:{secret}@example.org/?a={secret}", f"see //x.org/?k={secret}"]
            )
        for number in (7, 8):
            writer.writerow([site.url(f"/{number - 7}.png?id={number}&w=5&token={secret}"), "", "", ""])
    relative = f"url,caption\n0.png?token={secret},a\n"
    site.pages["/lists/urls.csv"] = relative.encode()
    site.pages["/lists/0.png"] = PICTURES[0]
    (folder / "set").mkdir()
    image = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    described = {"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}}}})}
    schema = pa.schema([("image", image), ("caption", pa.string()), ("license", pa.string())], metadata=described)
    rows = [
        {"image": {"bytes": PICTURES[1], "path": f"http://x.org/a?k={secret}"}, "caption": f"http://u:{secret}@x.org/"},
        {
            "image": {"bytes": None, "path": f"{site.url('/2.png')}?token={secret}"},
            "license": f"https://x.org?{secret}",
        },
        {"image": {"bytes": None, "path": f"http://user:{secret}@127.0.0.1/?token={secret}"}},
        {"image": {"bytes": None, "path": f"hf://datasets/a/b@main/a.png?token={secret}"}},
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / "set" / "train.parquet")
    with tarfile.open(folder / "shard.tar", "w") as packed:
        told = {"license": f"https://x.org/l?ref={secret}", "author": f"https://a:{secret}@x.org", "caption": "none"}
        told["caption"] = f"https://x.org/page;jsessionid={secret}?k={secret}"
        for name, content in (("0.png", PICTURES[3]), ("0.json", json.dumps(told).encode())):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return [
        str(folder / "urls.csv"),
        f"dataset:{folder}/set",
        str(folder / "shard.tar"),
        f"site:{site.url('/')}?sid={secret}",
        f"table:{site.url('/lists/urls.csv')}?token={secret}",
    ]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with serving({}) as served:
        yield served


def run(*arguments: object) -> str:
    """Run the program and return all of its output; it ends without a traceback."""
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=300)
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout + done.stderr


def published(out: Path) -> Iterator[tuple[str, str]]:
    """Everything outside `.work` as text; the values of parquet files, too, which are compressed."""
    for path in sorted(out.rglob("*")):
        if path.is_file() and ".work" not in path.relative_to(out).parts:
            yield str(path), path.read_bytes().decode("latin-1")
            if path.suffix == ".parquet":
                yield str(path), repr(pq.read_table(path).to_pylist())


@pytest.mark.full
def test_no_secret_of_an_address_is_published_or_logged(tmp_path: Path, site: Site) -> None:
    secret = Secrets()
    sources = lay_out(tmp_path, site, secret)
    recipe = tmp_path / "recipe.yaml"
    changes = {
        "uri_parameters": ["id", "w"],
        "texts": ["caption"],
        "patches": {"size": 16},
        "limits": {"failed_share": 1},
        "duplicates": {"exact": False, "radius": None},
        "web": {"retries": 0, "contact": "me@example.org"},
        "sources": [{"uri": sources[3].removeprefix("site:"), "kind": "site", "pages": 5}],
    }
    recipe.write_text(yaml.safe_dump(changes))
    out = tmp_path / "out"
    named = [part for one in (*sources[:3], sources[4]) for part in ("--sources", one)]
    options = ["--out", out, "--recipe", recipe]
    told = [run("plan", *named, *options)]
    told.append(run("build", *named, *options, "--allow-private-hosts", "--workers", 0, "--json"))
    told += [run("status", out), run("verify", out), run("report", out)]
    told.append(run("build", *named, *options, "--allow-private-hosts", "--workers", 0, "--retry-failed"))
    for failing in (
        f"archive:{site.url('/gone.tar')}?sig={secret}",
        f"table:http://user:{secret}@127.0.0.1:{site.port}/gone.csv?sig={secret}",
        f"{site.url('/a b.png')}?sig={secret}",
        f"nonsense://user:{secret}@host/?sig={secret}",
        f"s3://key:{secret}@bucket::http://x.org/?sig={secret}",
    ):
        told.append(run("build", "--sources", failing, "--out", tmp_path / "other", "--recipe", recipe))
        assert told[-1].startswith("million-ird: "), told[-1]
    ledger = load(Folder(str(out))).to_pylist()
    told += [run("explain", out, row["key"]) for row in ledger[::40]]
    assert len(secret.made) >= 60
    everything = list(itertools.chain(published(out), ((f"output {n}", text) for n, text in enumerate(told))))
    found = {(one, where) for one in secret.made for where, text in everything if one in text}
    assert not found
    assert "s3cr3t" not in "".join(text for _, text in everything)

    by_uri = {str(row["uri"]): row for row in ledger}
    kept = [row for row in ledger if row["verdict"] == "kept"]
    assert {site.url(f"/{n}.png?id={n + 7}&w=5") for n in (0, 1)} <= by_uri.keys()
    assert len(kept) > len(NAMES)
    assert len({row["key"] for row in ledger}) == len(ledger)
    sources_kept = {row["source"] for row in kept}
    assert len(sources_kept) == 5, sources_kept
    assert any(
        one in path.read_bytes().decode("latin-1") for one in secret.made for path in (out / ".work").rglob("*.json")
    )
    # The same picture is kept more than once here, which is a fault of the images.
    assert not [fault for fault in verify(str(out)).faults if fault.startswith("ledger:")]
    listed = next(line for line in (tmp_path / "urls.csv").read_text().splitlines() if "?password=" in line)
    whole = listed.split(",")[0]
    assert explain(str(out), whole).row["uri"] == whole.partition("?")[0]
