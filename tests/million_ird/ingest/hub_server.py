"""A Hub of our own on this machine: what `huggingface_hub` asks of the real one about data sets, answered from memory.

Only the real client is a judge of it: nothing here is imported from `huggingface_hub`.
"""

import asyncio
import hashlib
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web

Files = Mapping[str, bytes]


@dataclass
class Repository:
    """A data set: its commits, the newest last. Gated ones want a token that nobody has."""

    commits: dict[str, Files] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    gated: bool = False

    def commit(self, files: Files, branch: str = "main") -> str:
        """Makes these files the newest on a branch; returns the commit's name."""
        told = "".join(f"{name} {_digest(content)}\n" for name, content in sorted(files.items()))
        sha = hashlib.sha1(f"{len(self.commits)}\n{told}".encode()).hexdigest()
        self.commits[sha] = dict(files)
        self.branches[branch] = sha
        return sha

    def resolve(self, revision: str) -> str | None:
        """The commit that a branch or a commit's name stands for."""
        sha = self.branches.get(revision, revision)
        return sha if sha in self.commits else None


@dataclass
class Hub:
    """The data sets of a server, what it was asked, and what it is to fail at."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """`METHOD path` of every request, in order."""
    refuse: Counter[str] = field(default_factory=Counter)
    """File names, and how many of the next requests for their bytes are answered with 503."""
    hang_up: Counter[str] = field(default_factory=Counter)
    """File names, and how many of the next answers with their bytes break off in the middle."""
    endpoint: str = ""

    def application(self) -> web.Application:
        """The routes of the protocol."""
        app = web.Application()
        base = "/api/datasets/{owner}/{name}"
        app.router.add_get(base, self._info)
        app.router.add_get(base + "/revision/{revision}", self._info)
        app.router.add_get(base + "/tree/{revision}", self._tree)
        app.router.add_get(base + "/tree/{revision}/{path:.*}", self._tree)
        app.router.add_post(base + "/paths-info/{revision}", self._paths_info)
        app.router.add_get("/datasets/{owner}/{name}/resolve/{revision}/{path:.*}", self._file)
        app.router.add_route("*", "/{rest:.*}", self._unknown)
        return app

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        return web.json_response({"error": "no such page"}, status=404)

    async def _info(self, request: web.Request) -> web.StreamResponse:
        repository, sha, files = self._at(request, request.match_info.get("revision", "main"))
        name = f"{request.match_info['owner']}/{request.match_info['name']}"
        told = {
            "_id": sha[:24],
            "id": name,
            "sha": sha,
            "private": False,
            "gated": "manual" if repository.gated else False,
            "disabled": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "siblings": [{"rfilename": path} for path in sorted(files)],
        }
        return web.json_response(told)

    async def _tree(self, request: web.Request) -> web.StreamResponse:
        _, _, files = self._at(request, request.match_info["revision"])
        folder = request.match_info.get("path", "").strip("/")
        deep = request.query.get("recursive", "").lower() == "true"
        found = _listing(files, folder)
        if folder and not found:
            raise _error(404, "EntryNotFound", f"{folder} does not exist")
        prefix = f"{folder}/" if folder else ""
        return web.json_response([one for one in found if deep or "/" not in str(one["path"]).removeprefix(prefix)])

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
            raise _error(403, "GatedRepo", "Access to this data set is restricted", sha)
        if path not in files:
            raise _error(404, "EntryNotFound", f"{path} does not exist", sha)
        content = files[path]
        headers = {"X-Repo-Commit": sha, "ETag": f'"{_digest(content)}"', "Accept-Ranges": "bytes"}
        if request.method == "GET" and self.refuse[path] > 0:
            self.refuse[path] -= 1
            return web.Response(status=503, headers=headers)
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

    def _at(self, request: web.Request, revision: str) -> tuple[Repository, str, Files]:
        """The files of the revision that a request is about."""
        self.asked.append(f"{request.method} {request.path}")
        name = f"{request.match_info['owner']}/{request.match_info['name']}"
        repository = self.repositories.get(name)
        if repository is None:
            raise _error(401, "RepoNotFound", "Invalid username or password.")
        sha = repository.resolve(revision)
        if sha is None:
            raise _error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return repository, sha, repository.commits[sha]


@contextmanager
def served(hub: Hub) -> Iterator[Hub]:
    """Serves it from a thread on a free port of this machine while the block runs; `endpoint` says where."""
    ready, loop = threading.Event(), asyncio.new_event_loop()

    async def start() -> web.AppRunner:
        runner = web.AppRunner(hub.application(), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        hub.endpoint = "http://{}:{}".format(*runner.addresses[0][:2])
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
        found[path] = {"type": "file", "oid": _digest(content), "size": len(content), "path": path}
    return [found[path] for path in sorted(found)]


def _digest(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def _error(status: int, code: str, text: str, sha: str = "") -> web.HTTPException:
    kinds: dict[int, type[web.HTTPException]] = {
        401: web.HTTPUnauthorized,
        403: web.HTTPForbidden,
        404: web.HTTPNotFound,
    }
    headers = {"X-Error-Code": code, "X-Error-Message": text}
    return kinds[status](headers=headers | ({"X-Repo-Commit": sha} if sha else {}), text=text)
