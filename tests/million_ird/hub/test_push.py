"""Pushing to a local Hub with the real client: what is sent, how often, and despite which failures."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import tests.hub_server
from million_ird.hub.retry import TRIES
from tests.hub_faults import Fault
from tests.hub_server import Hub, Large
from tests.million_ird.hub.publishing import NAME, TOKEN, Site, asked, environment, send, wait_until

SHARDS = {f"data/train-{number:05d}-of-00012.parquet": os.urandom(30_000 + number) for number in range(12)}
SMALL = {"README.md": b"---\npretty_name: x\n---\n", "recipe.yaml": b"# million-ird\n", "report/index.html": b"<p>"}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The layout of a build, with files that are not part of the release."""
    beside = {".work/lock": b"", ".work/units/a.parquet": b"x", "export/a.png": b"x", "notes.txt": b"x"}
    beside |= {"data/.tmp-1": b"x", "data/sub/a.parquet": b"x", "report/thumbs.db": b"x"}
    write_files(tmp_path / "out", SHARDS | SMALL | beside)
    return tmp_path / "out"


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def branch_files(hub: Hub, branch: str = "main") -> dict[str, bytes]:
    """The files of a branch, with their bytes."""
    repository = hub.repositories[NAME]
    assert hub.store is not None
    files = repository.commits[repository.branches[branch]]
    return {n: (hub.store / c.oid).read_bytes() if isinstance(c, Large) else c for n, c in files.items()}


def release_on_branch(hub: Hub, branch: str = "main") -> dict[str, bytes]:
    return {name: content for name, content in branch_files(hub, branch).items() if name != ".gitattributes"}


def large_files(hub: Hub) -> int:
    """The number of complete large files in the store."""
    assert hub.store is not None
    return len(list(hub.store.glob("[!.]*")))


def test_exactly_the_release_is_sent_in_one_commit(site: Site, hub: Hub, out: Path) -> None:
    more = {
        "CHANGES.md": b"# Changes",
        "LICENSE.md": b"# Licences",
        "removed.parquet": b"PAR1",
        "card/sharpness.svg": b"<svg/>",
        "card/sizes.png": b"\x89PNG",
        "releases/kept.parquet": b"PAR1",
    }
    write_files(out, {"card/notes.txt": b"x"})
    write_files(out, more | {"releases/releases.json": b'[{"version": 1}]'})
    result = site.push(out)
    wanted = SHARDS | SMALL | more | {"releases/releases.json": b'[{"version": 1}]'}
    assert release_on_branch(hub) == wanted
    repository = hub.repositories[NAME]
    assert len(repository.commits) == 2, "that of a new data set, and ours"
    assert ".gitattributes" in branch_files(hub)
    assert result["uploaded"] == {name: len(content) for name, content in wanted.items()}
    assert repository.tags == {"v1": result["commit"]}
    large = [n for n, c in repository.commits[str(result["commit"])].items() if isinstance(c, Large)]
    assert large == sorted(n for n in wanted if n.endswith((".parquet", ".png")))


def test_old_shards_are_deleted_in_the_same_commit_and_foreign_files_stay(site: Site, hub: Hub, out: Path) -> None:
    site.push(out)
    repository = hub.repositories[NAME]
    foreign = {"notes.txt": b"mine", "data/train.csv": b"a,b", "report/logo.svg": b"<svg/>"}
    repository.commit({**repository.commits[repository.branches["main"]], **foreign})
    before = len(repository.commits)
    for name in list(SHARDS)[5:]:
        (out / name).rename(out / name.replace("of-00012", "of-00007"))
    (out / next(iter(SHARDS))).unlink()
    hub.asked.clear()
    result = site.push(out)
    assert len(repository.commits) == before + 1
    assert result["deleted"] == sorted([next(iter(SHARDS)), *list(SHARDS)[5:]])
    assert asked(hub, "^PUT") == [], "the Hub has the bytes of renamed shards already"
    wanted = {n.replace("of-00012", "of-00007") if i >= 5 else n: c for i, (n, c) in enumerate(SHARDS.items()) if i}
    assert release_on_branch(hub) == wanted | SMALL | foreign


def test_a_listing_of_many_pages_is_read_completely(
    site: Site, hub: Hub, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tests.hub_server, "TREE_PAGE", 4)
    site.push(out)
    for name in SHARDS:
        (out / name).unlink()
    assert site.push(out)["deleted"] == list(SHARDS)
    assert release_on_branch(hub) == SMALL


def test_a_killed_push_is_resumed_and_sends_nothing_twice(site: Site, hub: Hub, out: Path) -> None:
    """After SIGKILL the old release is complete, and what the Hub has received is not sent again."""
    write_files(out, {"data/train-00000-of-00012.parquet": b"old"})
    site.push(out)
    old, commits = release_on_branch(hub), len(hub.repositories[NAME].commits)
    write_files(out, {name: hashlib.sha256(content).digest() * 900 for name, content in SHARDS.items()})
    stored = large_files(hub)
    hub.asked.clear()
    hub.faults.append(Fault("PUT /store", "hold", times=100, skip=5))
    process = site.start()
    send(process, {"token": TOKEN, "out": str(out), "repo_id": NAME, "options": {}})
    wait_until(lambda: len(asked(hub, "^PUT")) == 8)  # five are taken, three of the first group hang
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert large_files(hub) == stored + 5
    assert release_on_branch(hub) == old
    hub.faults.clear()
    hub.asked.clear()
    site.push(out)
    assert len(asked(hub, "^PUT")) == 12 - 5
    assert release_on_branch(hub) == {name: (out / name).read_bytes() for name in [*SHARDS, *SMALL]}
    assert len(hub.repositories[NAME].commits) == commits + 1


EVERYWHERE = ("GET .*/set$", "/repos/create", "GET .*/tree/", "/preupload/", "/objects/batch", "PUT /store", "/verify",
              "/validate-yaml", "/commit/", "GET .*/refs", "/tag/")  # fmt: skip


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param([Fault(where, "answer", status=502, text="<html>") for where in EVERYWHERE], id="server errors"),
        pytest.param([Fault(where, "answer", status=429) for where in EVERYWHERE], id="too many requests"),
        pytest.param([Fault(where, "drop") for where in EVERYWHERE], id="broken connections"),
        pytest.param([Fault(where, "lose") for where in EVERYWHERE], id="lost answers"),
        pytest.param([Fault("/commit/", "answer", status=504, times=TRIES - 1)], id="many failures"),
        pytest.param([Fault("/commit/", "answer", status=412)], id="a commit in between"),
        pytest.param([Fault("PUT /store", "answer", status=403)], id="an expired signature"),
    ],
)
@pytest.mark.full
def test_temporary_failures_are_retried(site: Site, hub: Hub, out: Path, faults: list[Fault]) -> None:
    write_files(out, {"releases/releases.json": b'[{"version": 7}]'})
    hub.faults += faults
    result = site.push(out)
    assert [fault.where for fault in faults if fault.times] == [], "faults that did not occur"
    assert release_on_branch(hub) == SHARDS | SMALL | {"releases/releases.json": b'[{"version": 7}]'}
    assert len(hub.repositories[NAME].commits) == 2
    assert hub.repositories[NAME].tags == {"v7": result["commit"]}


def test_a_lost_answer_to_the_commit_makes_no_second_commit(site: Site, hub: Hub, out: Path) -> None:
    hub.faults.append(Fault("POST .*/commit/", "lose"))
    result = site.push(out)
    assert len(asked(hub, "POST .*/commit/")) == 1
    assert result["commit"] == hub.repositories[NAME].branches["main"]
    assert len(result["uploaded"]) == len(SHARDS | SMALL)


def test_a_foreign_commit_in_between_leaves_no_mixture(site: Site, hub: Hub, out: Path) -> None:
    site.push(out)
    repository = hub.repositories[NAME]
    theirs = {**repository.commits[repository.branches["main"]], "data/train-1.parquet": b"PAR1", "notes.txt": b"x"}
    hub.faults.append(Fault("/commit/", "serve", first=lambda: repository.commit(theirs)))
    write_files(out, {"README.md": b"---\na: 1\n---\nnew"})
    result = site.push(out)
    assert release_on_branch(hub) == SHARDS | SMALL | {"README.md": b"---\na: 1\n---\nnew", "notes.txt": b"x"}
    assert result["deleted"] == ["data/train-1.parquet"]
    assert len(repository.commits) == 4


def test_large_files_are_sent_in_parts_and_a_broken_part_is_sent_again(site: Site, hub: Hub, out: Path) -> None:
    hub.part_bytes = 11_000
    hub.faults.append(Fault("PUT /store/.*/2", "drop"))
    site.push(out)
    assert release_on_branch(hub) == SHARDS | SMALL
    assert len(asked(hub, "PUT /store/[^/]*$")) == 0
    assert len(asked(hub, "PUT /store/.*/3")) == len(SHARDS)


def test_a_silent_connection_is_given_up_and_the_call_repeated(site: Site, hub: Hub, out: Path) -> None:
    hub.faults.append(Fault("POST .*/commit/", "hold"))
    assert site.order(out=str(out), repo_id=NAME, options={}, patience=1.0).code == 0
    assert release_on_branch(hub) == SHARDS | SMALL


@pytest.mark.parametrize("headers", [{"Retry-After": "2"}, {"RateLimit": '"api";r=0;t=2'}], ids=str)
def test_the_pause_is_as_long_as_the_server_asks_for(site: Site, hub: Hub, out: Path, headers: dict[str, str]) -> None:
    hub.faults.append(Fault("POST .*/commit/", "answer", status=429, headers=headers))
    site.push(out)
    first, second = (hub.moments[n] for n, line in enumerate(hub.asked) if "/commit/" in line)
    assert second - first >= 2


def test_attempts_and_pauses_are_bounded(site: Site, hub: Hub, out: Path) -> None:
    hub.faults.append(Fault("POST .*/commit/", "answer", status=503, times=1000))
    result = site.order(out=str(out), repo_id=NAME, options={}).error_line
    assert result == f"BuildError: {NAME}: the commit: 503 not now; run the same command again to continue"
    assert len(asked(hub, "POST .*/commit/")) == TRIES
    hub.faults[:] = [Fault("POST .*/commit/", "answer", status=429, headers={"Retry-After": "100000"}, times=1000)]
    hub.asked.clear()
    assert site.order(out=str(out), repo_id=NAME, options={}).error_line.startswith(
        f"BuildError: {NAME}: the commit: 429 "
    )
    assert len(asked(hub, "POST .*/commit/")) == 1
    assert release_on_branch(hub) == {}


def test_too_many_files_for_a_commit_are_refused_before_any_is_sent(site: Site, hub: Hub, out: Path) -> None:
    result = site.order(out=str(out), repo_id=NAME, options={}, max_files=14).error_line
    assert result.startswith(f"UsageError: {NAME}: 15 changed files are more than the 14 ")
    assert asked(hub, "^PUT|/commit/") == []


def test_branches_and_tags(site: Site, hub: Hub, out: Path) -> None:
    site.push(out)
    write_files(out, {"README.md": b"---\na: 1\n---\nnew", "releases/releases.json": b'[{"version": 1}]'})
    first = site.push(out, branch="next/1")
    repository = hub.repositories[NAME]
    assert release_on_branch(hub, "next/1")["README.md"] == b"---\na: 1\n---\nnew"
    assert release_on_branch(hub)["README.md"] == SMALL["README.md"]
    assert repository.tags == {"v1": first["commit"]}
    write_files(out, {"README.md": b"---\na: 1\n---\nnewer"})
    assert site.push(out)["tag"] == ""
    assert repository.tags == {"v1": first["commit"]}, "a tag never moves"
    write_files(out, {"releases/releases.json": b'[{"version": 1}, {"version": 2}]'})
    second = site.push(out)
    assert repository.tags == {"v1": first["commit"], "v2": second["commit"]}
    del repository.tags["v2"]  # killed between commit and tag
    again = site.push(out)
    assert (again["uploaded"], again["tag"]) == ({}, "v2")
    assert repository.tags["v2"] == second["commit"]


def test_a_dataset_is_private_from_the_start_or_refused(site: Site, hub: Hub, out: Path) -> None:
    site.push(out, private=True)
    assert hub.repositories[NAME].private
    hub.repositories[NAME].private = False
    result = site.order(out=str(out), repo_id=NAME, options={"private": True}).error_line
    assert result.startswith(f"UsageError: {NAME}: is public; ")


def test_neither_token_nor_signed_address_is_in_the_log(site: Site, hub: Hub, out: Path) -> None:
    hub.faults.append(Fault("PUT /store", "answer", status=403, text="expired: {authorization}", times=2))
    hub.faults.append(Fault("POST .*/commit/", "answer", status=503, text="you are {authorization}"))
    done = site.order(out=str(out), repo_id=NAME, options={})
    assert done.code == 0
    assert len([line for line in done.stderr.splitlines() if "; again in" in line]) >= 2
    assert not [word for word in ("hf_Secret", "signature") if word in done.stdout + done.stderr]


def test_the_test_server_rejects_bytes_that_were_not_announced(site: Site, hub: Hub, tmp_path: Path) -> None:
    """A test of the test server: it notices a file that changes during the upload."""
    code = (
        "import sys, pathlib; from huggingface_hub import CommitOperationAdd, HfApi; api = HfApi()\n"
        f"api.create_repo({NAME!r}, repo_type='dataset'); path = pathlib.Path(sys.argv[1])\n"
        "path.write_bytes(b'a' * 100); add = CommitOperationAdd('data/a.parquet', path); add.upload_info.sha256\n"
        "path.write_bytes(b'b' * 100)\n"
        f"print(api.whoami()['name']); api.create_commit({NAME!r}, [add], commit_message='x', repo_type='dataset')\n"
    )
    surroundings = environment(hub, site.home)
    command = [sys.executable, "-c", code, str(tmp_path / "a.parquet")]
    done = subprocess.run(command, env=surroundings, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, "user\n")
    assert "the bytes are not those that were announced" in done.stderr
    assert release_on_branch(hub) == {}
