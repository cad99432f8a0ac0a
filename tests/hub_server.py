"""A Hub of our own on this machine: what `huggingface_hub` and `datasets` ask of the real one about data sets
and models.

Reading is answered here, writing in `hub_uploads.py`. Only the real client is a judge of it: nothing here is imported
from `huggingface_hub`. Large files lie in a store on disk that is another host than the Hub, as at the real one.
"""

import asyncio
import hashlib
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from aiohttp import web
from aiohttp.typedefs import Handler

from tests.hub_faults import Fault, fallible

TREE_PAGE = 1000
"""Entries of a listing that one answer holds, as at the real Hub."""


@dataclass(frozen=True, slots=True)
class Large:
    """A file of which git holds a pointer only, and the store the bytes."""

    oid: str
    """Its sha256."""
    size: int

    @property
    def pointer(self) -> bytes:
        """What git holds."""
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.oid}\nsize {self.size}\n".encode()


Content: TypeAlias = bytes | Large
Files: TypeAlias = Mapping[str, Content]


@dataclass
class Repository:
    """A data set or a model: its commits, the newest last. Gated ones want a token that nobody has."""

    commits: dict[str, Files] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    gated: bool = False
    private: bool = False

    def commit(self, files: Files, branch: str = "main") -> str:
        """Makes these files the newest on a branch; returns the commit's name."""
        told = "".join(f"{name} {_digest(content)}\n" for name, content in sorted(files.items()))
        sha = hashlib.sha1(f"{len(self.commits)}\n{told}".encode()).hexdigest()
        self.commits[sha] = dict(files)
        self.branches[branch] = sha
        return sha

    def resolve(self, revision: str) -> str | None:
        """The commit that a branch, a tag or a commit's name stands for."""
        sha = self.branches.get(revision) or self.tags.get(revision) or revision
        return sha if sha in self.commits else None


@dataclass(frozen=True, slots=True)
class Account:
    """Whom a token stands for."""

    name: str
    writes: bool = True


@dataclass
class Hub:
    """The data sets and models of a server, what it was asked, and what it is to fail at."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    """The data sets, by name."""
    models: dict[str, Repository] = field(default_factory=dict)
    """The models, by name; a data set may have the same."""
    store: Path | None = None
    """Folder of the large files; without one nothing can be written."""
    accounts: dict[str, Account] = field(default_factory=dict)
    """By token."""
    part_bytes: int = 10**9
    """Larger files are taken in parts of this size."""
    asked: list[str] = field(default_factory=list)
    """`METHOD path` of every request, in order."""
    moments: list[float] = field(default_factory=list)
    """When each of them came, in seconds of the monotonic clock."""
    faults: list[Fault] = field(default_factory=list)
    refuse: Counter[str] = field(default_factory=Counter)
    """File names, and how many of the next requests for their bytes are answered with 503."""
    hang_up: Counter[str] = field(default_factory=Counter)
    """File names, of large files oids, and how many of the next answers with their bytes break off in the middle."""
    endpoint: str = ""
    storage: str = ""
    """Address of the store: the same port under another name."""

    def application(self) -> web.Application:
        """The routes of the protocol."""
        from tests.hub_uploads import Uploads

        app = web.Application(middlewares=[self._note, fallible(self.faults)], client_max_size=2**30)
        base = "/api/{kind:datasets|models}/{owner}/{name}"
        app.router.add_get(base, self._info)
        app.router.add_get(base + "/revision/{revision}", self._info)
        app.router.add_get(base + "/refs", self._refs)
        app.router.add_get(base + "/tree/{revision}", self._tree)
        app.router.add_get(base + "/tree/{revision}/{path:.*}", self._tree)
        app.router.add_post(base + "/paths-info/{revision}", self._paths_info)
        for place in ("/datasets/{owner}/{name}", "/{owner}/{name}"):
            app.router.add_get(place + "/resolve/{revision}/{path:.*}", self._file)
        app.router.add_get("/store/{oid}", self._large)
        Uploads(self).add_to(app.router)
        app.router.add_route("*", "/{rest:.*}", self._unknown)
        return app

    def caller(self, request: web.Request) -> Account | None:
        """Who asks; None where no token is shown. The store asks for none: its addresses are signed."""
        shown = request.headers.get("Authorization", "")
        if not shown:
            return None
        account = self.accounts.get(shown.removeprefix("Bearer "))
        if account is None:
            raise error(401, "", "Invalid credentials in Authorization header")
        return account

    @web.middleware
    async def _note(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        self.moments.append(time.monotonic())
        return await handler(request)

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"error": "no such page"}, status=404)

    async def _info(self, request: web.Request) -> web.StreamResponse:
        repository, sha, files = self._at(request, request.match_info.get("revision", "main"))
        name = f"{request.match_info['owner']}/{request.match_info['name']}"
        told = {
            "_id": sha[:24],
            "id": name,
            "sha": sha,
            "private": repository.private,
            "gated": "manual" if repository.gated else False,
            "disabled": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "siblings": [{"rfilename": path} for path in sorted(files)],
        }
        return web.json_response(told)

    async def _refs(self, request: web.Request) -> web.StreamResponse:
        repository = self.repository(request)
        told = {
            kind: [{"name": name, "ref": f"refs/{where}/{name}", "targetCommit": sha} for name, sha in found.items()]
            for kind, where, found in (("branches", "heads", repository.branches), ("tags", "tags", repository.tags))
        }
        return web.json_response({**told, "converts": []})

    async def _tree(self, request: web.Request) -> web.StreamResponse:
        _, _, files = self._at(request, request.match_info["revision"])
        folder = request.match_info.get("path", "").strip("/")
        deep = request.query.get("recursive", "").lower() == "true"
        found = _listing(files, folder)
        if folder and not found:
            raise error(404, "EntryNotFound", f"{folder} does not exist")
        prefix = f"{folder}/" if folder else ""
        told = [one for one in found if deep or "/" not in str(one["path"]).removeprefix(prefix)]
        start = int(request.query.get("cursor", 0))
        headers = {}
        if len(told) > start + TREE_PAGE:
            following = request.url.update_query(cursor=start + TREE_PAGE)
            headers["Link"] = f'<{following}>; rel="next"'
        return web.json_response(told[start : start + TREE_PAGE], headers=headers)

    async def _paths_info(self, request: web.Request) -> web.StreamResponse:
        _, _, files = self._at(request, request.match_info["revision"])
        if request.content_type == "application/json":
            paths = list((await request.json())["paths"])
        else:
            paths = [str(path) for path in (await request.post()).getall("paths", [])]
        known = {str(one["path"]): one for one in _listing(files, "")}
        return web.json_response([known[path] for path in paths if path in known])

    async def _file(self, request: web.Request) -> web.StreamResponse:
        repository, sha, files = self._at(request, request.match_info["revision"])
        path = request.match_info["path"]
        if repository.gated:
            raise error(403, "GatedRepo", "Access to this repository is restricted", sha)
        if path not in files:
            raise error(404, "EntryNotFound", f"{path} does not exist", sha)
        content = files[path]
        headers = {"X-Repo-Commit": sha, "ETag": f'"{_digest(content)}"', "Accept-Ranges": "bytes"}
        if request.method == "GET" and self.refuse[path] > 0:
            self.refuse[path] -= 1
            return web.Response(status=503, headers=headers)
        if isinstance(content, Large):
            headers |= {"X-Linked-Size": str(content.size), "X-Linked-Etag": f'"{content.oid}"'}
            return web.Response(status=302, headers=headers | {"Location": f"{self.storage}/store/{content.oid}"})
        asked = request.http_range
        if asked.start is None:
            return await self._sent(request, path, web.StreamResponse(headers=headers), content)
        start, stop, _ = asked.indices(len(content))
        if start >= len(content):
            return web.Response(status=416, headers=headers | {"Content-Range": f"bytes */{len(content)}"})
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
        return await self._sent(request, path, web.StreamResponse(status=206, headers=headers), content[start:stop])

    async def _sent(
        self, request: web.Request, path: str, answer: web.StreamResponse, content: bytes
    ) -> web.StreamResponse:
        answer.content_length = len(content)
        await answer.prepare(request)
        if request.method == "GET" and self.hang_up[path] > 0:
            self.hang_up[path] -= 1
            await answer.write(content[: len(content) // 2])
            assert request.transport is not None
            request.transport.close()
            return answer
        if request.method == "GET":
            await answer.write(content)
        return answer

    async def _large(self, request: web.Request) -> web.StreamResponse:
        assert self.store is not None
        oid = request.match_info["oid"]
        path = self.store / oid
        if path.is_file() and self.hang_up[oid] > 0:
            return await self._sent(request, oid, web.StreamResponse(), path.read_bytes())
        return web.FileResponse(path) if path.is_file() else web.Response(status=404)

    def repository(self, request: web.Request) -> Repository:
        """The repository that a request is about; a private one is not there for strangers."""
        name = f"{request.match_info['owner']}/{request.match_info['name']}"
        caller, repository = self.caller(request), self.of_kind(request).get(name)
        if repository is None or (repository.private and caller is None):
            known = 404 if caller else 401
            raise error(known, "RepoNotFound", "Repository not found" if caller else "Invalid username or password.")
        return repository

    def of_kind(self, request: web.Request) -> dict[str, Repository]:
        """The data sets or the models, by the path of a request: models have no word of their own in theirs."""
        return self.repositories if request.path.startswith(("/api/datasets/", "/datasets/")) else self.models

    def _at(self, request: web.Request, revision: str) -> tuple[Repository, str, Files]:
        """The files of the revision that a request is about."""
        repository = self.repository(request)
        sha = repository.resolve(revision)
        if sha is None:
            raise error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return repository, sha, repository.commits[sha]


@contextmanager
def served(hub: Hub) -> Iterator[Hub]:
    """Serves it from a thread on a free port of this machine while the block runs; `endpoint` says where."""
    ready, loop = threading.Event(), asyncio.new_event_loop()

    async def start() -> web.AppRunner:
        runner = web.AppRunner(hub.application(), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        hub.endpoint, hub.storage = f"http://127.0.0.1:{port}", f"http://localhost:{port}"
        return runner

    def run() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(start())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run, name="hub", daemon=True)
    thread.start()
    assert ready.wait(10), "the server did not start"
    try:
        yield hub
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def _listing(files: Files, folder: str) -> list[dict[str, object]]:
    """Files and folders below a folder, as the Hub lists them."""
    prefix = f"{folder}/" if folder else ""
    found: dict[str, dict[str, object]] = {}
    for path, content in sorted(files.items()):
        if not path.startswith(prefix):
            continue
        parts = path.split("/")
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            if parent.startswith(prefix):
                found[parent] = {"type": "directory", "oid": _digest(parent.encode()), "size": 0, "path": parent}
        size = content.size if isinstance(content, Large) else len(content)
        found[path] = {"type": "file", "oid": _digest(content), "size": size, "path": path}
        if isinstance(content, Large):
            found[path]["lfs"] = {"oid": content.oid, "size": size, "pointerSize": len(content.pointer)}
    return [found[path] for path in sorted(found)]


def _digest(content: Content) -> str:
    """Git's name for the bytes that it holds."""
    held = content.pointer if isinstance(content, Large) else content
    return hashlib.sha1(b"blob %d\0" % len(held) + held).hexdigest()


def error(status: int, code: str, text: str, sha: str = "") -> web.HTTPException:
    """A refusal as the Hub words it."""
    kinds: dict[int, type[web.HTTPException]] = {
        400: web.HTTPBadRequest,
        401: web.HTTPUnauthorized,
        403: web.HTTPForbidden,
        404: web.HTTPNotFound,
        409: web.HTTPConflict,
        412: web.HTTPPreconditionFailed,
    }
    headers = {"X-Error-Code": code} if code else {}
    headers |= {"X-Error-Message": text} | ({"X-Repo-Commit": sha} if sha else {})
    return kinds[status](headers=headers, text=text)
