"""The writing half of our Hub: create a data set or a model, hand in large files, commit, branch and tag."""

import base64
import fnmatch
import hashlib
import json
import uuid
from math import ceil
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from tests.hub_server import Content, Files, Hub, Large, Repository, error

SUFFIXES = ("parquet", "png", "zip", "jpg", "safetensors")
ATTRIBUTES = "".join(f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in SUFFIXES)
"""What the real Hub puts into a new repository, in short."""
MOST_REGULAR = 10 * 2**20
"""Larger files are large files whatever their names."""


class Uploads:
    """Its routes, over the state of a `Hub`."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.promised: dict[str, int] = {}
        """Sizes of the objects that a client has announced."""

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Adds the routes of the protocol."""
        base = "/api/{kind:datasets|models}/{owner}/{name}"
        router.add_get("/api/whoami-v2", self._whoami)
        router.add_post("/api/validate-yaml", self._validate)
        router.add_post("/api/repos/create", self._create)
        router.add_get(base + "/auth-check/write", self._may_write)
        router.add_post(base + "/preupload/{revision}", self._preupload)
        for place in ("/datasets/{owner}/{name}", "/{owner}/{name}"):
            router.add_post(place + ".git/info/lfs/objects/batch", self._batch)
            router.add_post(place + ".git/info/lfs/objects/verify", self._verify)
        router.add_put("/store/{oid}", self._put)
        router.add_put("/store/{oid}/{part}", self._put_part)
        router.add_post("/store/{oid}/complete", self._complete)
        router.add_post(base + "/commit/{revision}", self._commit)
        router.add_post(base + "/branch/{branch}", self._branch)
        router.add_post(base + "/tag/{revision}", self._tag)

    def _writable(self, request: web.Request) -> Repository:
        repository, caller = self.hub.repository(request), self.hub.caller(request)
        if caller is None:
            raise error(401, "", "Invalid username or password.")
        if not caller.writes or caller.name != request.match_info["owner"]:
            raise error(403, "", "You don't have the rights to write to this repository")
        return repository

    async def _whoami(self, request: web.Request) -> web.StreamResponse:
        caller = self.hub.caller(request)
        if caller is None:
            raise error(401, "", "Invalid username or password.")
        return web.json_response({"type": "user", "name": caller.name, "orgs": []})

    async def _validate(self, request: web.Request) -> web.StreamResponse:
        """Only that the card's head is YAML, and an object."""
        head = (await request.json())["content"].split("---\n")
        try:
            sound = isinstance(yaml.safe_load(head[1]), dict)
        except (IndexError, yaml.YAMLError):
            sound = False
        faults = [] if sound else [{"message": "the metadata is no YAML object"}]
        return web.json_response({"errors": faults, "warnings": []}, status=200 if sound else 400)

    async def _create(self, request: web.Request) -> web.StreamResponse:
        caller, told = self.hub.caller(request), await request.json()
        if caller is None:
            raise error(401, "", "Invalid username or password.")
        owner, kind = told.get("organization") or caller.name, told.get("type", "model")
        if not caller.writes or owner != caller.name:
            raise error(403, "", f"You don't have the rights to create a {kind} under the namespace {owner}")
        name = f"{owner}/{told['name']}"
        places = {"dataset": (self.hub.repositories, "/datasets"), "model": (self.hub.models, "")}
        there, prefix = places[kind]
        address = f"{self.hub.endpoint}{prefix}/{name}"
        if name in there:
            told = {"error": f"You already created this {kind} repo", "url": address}
            return web.json_response(told, status=409)
        repository = Repository(private=told.get("visibility") == "private")
        repository.commit({".gitattributes": ATTRIBUTES.encode()})
        there[name] = repository
        return web.json_response({"url": address, "name": name, "id": name})

    async def _may_write(self, request: web.Request) -> web.StreamResponse:
        self._writable(request)
        return web.Response()

    async def _preupload(self, request: web.Request) -> web.StreamResponse:
        """Which files are to be large ones, by `.gitattributes` and size, and what stands there now."""
        files = self._head(self._writable(request), request.match_info["revision"])
        told = []
        for one in (await request.json())["files"]:
            base64.b64decode(one["sample"], validate=True)
            mode = "lfs" if _is_large(files, one["path"], one["size"]) else "regular"
            answer = {"path": one["path"], "uploadMode": mode, "shouldIgnore": False}
            if one["path"] in files:
                answer["oid"] = _name_of(files[one["path"]])
            told.append(answer)
        return web.json_response({"files": told})

    async def _batch(self, request: web.Request) -> web.StreamResponse:
        """Where to put objects; nothing is said of those that are here already."""
        self._writable(request)
        asked = await request.json()
        assert (asked["operation"], asked["hash_algo"]) == ("upload", "sha256")
        objects = []
        for one in asked["objects"]:
            oid, size = one["oid"], one["size"]
            self.promised[oid] = size
            told: dict[str, Any] = {"oid": oid, "size": size}
            if not self._stored(oid, size):
                told["actions"] = self._actions(request, oid, size)
            objects.append(told)
        return web.json_response({"transfer": "basic", "objects": objects})

    def _actions(self, request: web.Request, oid: str, size: int) -> dict[str, object]:
        place = f"{self.hub.storage}/store/{oid}"
        verify = {"href": f"{self.hub.endpoint}{request.path.removesuffix('batch')}verify"}
        if size <= self.hub.part_bytes:
            return {"upload": {"href": f"{place}?signature=secret"}, "verify": verify}
        parts = range(1, ceil(size / self.hub.part_bytes) + 1)
        header = {f"{n:05d}": f"{place}/{n}?signature=secret" for n in parts}
        header["chunk_size"] = str(self.hub.part_bytes)
        return {"upload": {"href": f"{place}/complete", "header": header}, "verify": verify}

    async def _put(self, request: web.Request) -> web.StreamResponse:
        """Takes an object: through a hash to the disk, and only what was announced."""
        oid = request.match_info["oid"]
        path = self._place(f".{oid}-{uuid.uuid4().hex}")
        with path.open("xb") as file:
            found = hashlib.sha256()
            async for chunk in request.content.iter_chunked(2**20):
                found.update(chunk)
                file.write(chunk)
        return self._accept(path, oid, found.hexdigest())

    async def _put_part(self, request: web.Request) -> web.StreamResponse:
        path = self._place(f".{request.match_info['oid']}.{request.match_info['part']}")
        with path.open("wb") as file:
            found = hashlib.md5()
            async for chunk in request.content.iter_chunked(2**20):
                found.update(chunk)
                file.write(chunk)
        return web.Response(headers={"ETag": f'"{found.hexdigest()}"'})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        oid, told = request.match_info["oid"], await request.json()
        assert told["oid"] == oid
        whole, found = self._place(f".{oid}-{uuid.uuid4().hex}"), hashlib.sha256()
        with whole.open("xb") as file:
            for number, part in enumerate(told["parts"], start=1):
                assert part["partNumber"] == number
                content = self._place(f".{oid}.{number}").read_bytes()
                assert part["etag"].strip('"') == hashlib.md5(content).hexdigest()
                found.update(content)
                file.write(content)
        for number in range(1, len(told["parts"]) + 1):
            self._place(f".{oid}.{number}").unlink()
        return self._accept(whole, oid, found.hexdigest())

    def _accept(self, path: Path, oid: str, found: str) -> web.StreamResponse:
        if found != oid or path.stat().st_size != self.promised.get(oid):
            path.unlink()
            raise error(400, "", "the bytes are not those that were announced")
        path.rename(self._place(oid))
        return web.Response()

    async def _verify(self, request: web.Request) -> web.StreamResponse:
        self._writable(request)
        told = await request.json()
        return web.Response() if self._stored(told["oid"], told["size"]) else web.Response(status=404)

    async def _commit(self, request: web.Request) -> web.StreamResponse:
        """Additions and deletions together, or none of them."""
        repository, branch = self._writable(request), request.match_info["revision"]
        lines = [json.loads(line) for line in (await request.read()).splitlines()]
        header, changes = lines[0]["value"], lines[1:]
        assert lines[0]["key"] == "header"
        assert header["summary"]
        files = dict(self._head(repository, branch))
        if header.get("parentCommit", repository.branches[branch]) != repository.branches[branch]:
            raise error(412, "", "A commit has happened since. Please refresh and try again.")
        for change in changes:
            self._apply(files, change["key"], change["value"])
        sha = repository.commit(files, branch)
        place = request.path.removeprefix("/api").removeprefix("/models").rsplit("/commit/")[0]
        address = f"{self.hub.endpoint}{place}/commit/{sha}"
        return web.json_response({"success": True, "commitOid": sha, "commitUrl": address, "hookOutput": ""})

    def _apply(self, files: dict[str, Content], key: str, told: dict[str, Any]) -> None:
        path = told["path"]
        if key == "file":
            assert told["encoding"] == "base64"
            files[path] = base64.b64decode(told["content"], validate=True)
        elif key == "lfsFile":
            if not self._stored(told["oid"], told["size"]):
                raise error(400, "", f"LFS pointer pointed to a file that does not exist: {path}")
            files[path] = Large(told["oid"], told["size"])
        elif key == "deletedFile":
            if path not in files:
                raise error(404, "EntryNotFound", f"A file with this name doesn't exist: {path}")
            del files[path]
        else:
            raise error(400, "", f"unknown operation {key}")

    async def _branch(self, request: web.Request) -> web.StreamResponse:
        repository, branch = self._writable(request), request.match_info["branch"]
        if branch in repository.branches:
            return web.json_response({"error": "Reference already exists"}, status=409)
        start = repository.resolve((await request.json()).get("startingPoint", "main"))
        if start is None:
            raise error(404, "RevisionNotFound", "Invalid rev id")
        repository.branches[branch] = start
        return web.Response()

    async def _tag(self, request: web.Request) -> web.StreamResponse:
        repository, tag = self._writable(request), (await request.json())["tag"]
        sha = repository.resolve(request.match_info["revision"])
        if sha is None:
            raise error(404, "RevisionNotFound", "Invalid rev id")
        if tag in repository.tags:
            return web.json_response({"error": "Tag reference exists already"}, status=409)
        repository.tags[tag] = sha
        return web.Response()

    def _head(self, repository: Repository, branch: str) -> Files:
        if branch not in repository.branches:
            raise error(404, "RevisionNotFound", f"Invalid rev id: {branch}")
        return repository.commits[repository.branches[branch]]

    def _place(self, name: str) -> Path:
        assert self.hub.store is not None, "this Hub has no store"
        return self.hub.store / name

    def _stored(self, oid: str, size: int) -> bool:
        path = self._place(oid)
        return path.is_file() and path.stat().st_size == size


def _is_large(files: Files, path: str, size: int) -> bool:
    attributes = files.get(".gitattributes", b"")
    assert isinstance(attributes, bytes)
    patterns = [line.split()[0] for line in attributes.decode().splitlines() if "filter=lfs" in line]
    return size > MOST_REGULAR or any(fnmatch.fnmatch(path.rsplit("/", 1)[-1], pattern) for pattern in patterns)


def _name_of(content: Content) -> str:
    """What the client compares with a file of its own."""
    if isinstance(content, Large):
        return content.oid
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
