"""The command `publish` against a local Hub: what it sends, what it refuses, and its messages."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from million_ird.build_folder import LOCK
from million_ird.runtime.lock import locked
from million_ird.runtime.storage import Folder
from tests.hub_faults import Fault
from tests.hub_server import Hub, Repository
from tests.million_ird import scenes
from tests.million_ird.hub.publishing import NAME, READER, TOKEN, CommandOutput, Site, asked, environment, wait_until


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real build without faults."""
    folder = tmp_path_factory.mktemp("built")
    scenes.make(scenes.lay_out(folder / "pictures"), folder / "out")
    return folder / "out"


def release_names(built: Path) -> set[str]:
    """All files of a new build, without its working files."""
    names = {path.relative_to(built).as_posix() for path in built.rglob("*") if path.is_file()}
    return {name for name in names if not name.startswith(".work/")}


@pytest.mark.full
def test_an_unchanged_dataset_makes_no_commit(site: Site, hub: Hub, built: Path) -> None:
    first = site.publish(built, "--json")
    assert set(first.result["uploaded"]) == release_names(built)
    commits = len(hub.repositories[NAME].commits)
    again = site.publish(built)
    assert again.code == 0, again.stderr
    assert again.stdout.startswith(f"Nothing to publish: {NAME}@main holds this dataset already")
    assert len(hub.repositories[NAME].commits) == commits
    assert len(asked(hub, "POST .*/commit/")) == 1


@pytest.mark.full
def test_an_interrupted_command_exits_at_once_and_can_be_resumed(site: Site, hub: Hub, built: Path) -> None:
    hub.faults.append(Fault("PUT /store", "hold", times=100, skip=1))
    command = [str(Path(sys.executable).parent / "million-ird"), "publish", str(built), "--repo-id", NAME]
    surroundings = environment(hub, site.home)
    process = subprocess.Popen(command, env=surroundings, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: len(asked(hub, "^PUT")) >= 2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "million-ird: interrupted; run the same command again to continue"
    hub.faults.clear()
    assert site.publish(built).code == 0
    assert len(hub.repositories[NAME].commits) == 2


def test_a_dry_run_lists_the_files_and_makes_no_request(site: Site, hub: Hub, built: Path) -> None:
    done = site.publish(built, "--dry-run", token="")
    assert done.code == 0, done.stderr
    assert hub.asked == []
    size = (built / "README.md").stat().st_size
    assert f"{size:>16,}  README.md\n" in done.stdout
    assert ".work" not in done.stdout
    result = site.publish(built, "--dry-run", "--json").result
    assert result["dry_run"] is True
    assert set(result["uploaded"]) == release_names(built)


def test_a_dataset_with_faults_is_refused(site: Site, hub: Hub, built: Path, tmp_path: Path) -> None:
    shutil.copytree(built, tmp_path / "broken")
    (shard,) = (tmp_path / "broken" / "patches").glob("*.parquet")
    shard.write_bytes(shard.read_bytes()[:-100])
    for more in ((), ("--dry-run",)):
        done = site.publish(tmp_path / "broken", *more)
        assert done.code == 1
        assert re.search(r"not published: verify finds \d+ faults?; the first: .*patches", done.error_line), done
    assert asked(hub, "POST|PUT") == []


def test_a_locked_build_is_refused(site: Site, hub: Hub, built: Path) -> None:
    with locked(Folder(str(built)), LOCK):
        done = site.publish(built)
    assert done.code == 2
    assert f"held by pid {os.getpid()}" in done.stderr
    assert hub.asked == []


QUOTING = "no: you came with {authorization}"
REFUSED: dict[str, tuple[str, str, int, str]] = {
    "no token": ("", NAME, 2, "not logged in to the Hub: set HF_TOKEN, or run `hf auth login`"),
    "an unknown token": (
        "hf_SecretOfNobody",
        NAME,
        2,
        f"{NAME}: the Hub does not accept the token; renew HF_TOKEN, or",
    ),
    "an expired token": (TOKEN, "user/401", 2, "user/401: the Hub does not accept the token; renew HF_TOKEN, or run"),
    "no write access": (TOKEN, "user/403", 2, "user/403: this token may not write there (403 no: you came with …)"),
    "a reader": (READER, "user/there", 2, "user/there: this token may not write there (403 You don't have the rights"),
    "a dataset of somebody else": (
        TOKEN,
        "other/set",
        2,
        "other/set: this token may not write there (403 You don't have the rights",
    ),
    "gated": (TOKEN, "user/gated", 2, "user/gated: is gated: ask for access on its page, and set HF_TOKEN"),
    "the commit fails": (
        TOKEN,
        "user/400",
        1,
        "user/400: the commit: 400 no: you came with …; run the same command again",
    ),
    "no namespace": (TOKEN, "set", 2, "--repo-id set: not a valid name: write user/name"),
    "an invalid name": (TOKEN, "user/a b", 2, "--repo-id user/a b: not a valid name: "),
}


@pytest.fixture(scope="module")
def refusals(built: Path, site: Site, tmp_path_factory: pytest.TempPathFactory) -> dict[str, CommandOutput]:
    """The output of the command in each case; the server quotes the token wherever it can."""
    site.hub.store = tmp_path_factory.mktemp("store")
    gated = {"X-Error-Code": "GatedRepo"}
    site.hub.faults[:] = [
        Fault("/user/401/auth-check", "answer", status=401, text=QUOTING),
        Fault("/user/403/auth-check", "answer", status=403, text=QUOTING),
        Fault("/user/gated/auth-check", "answer", status=403, text=QUOTING, headers=gated),
        Fault("/user/400/commit", "answer", status=400, text=QUOTING),
    ]
    site.hub.repositories["user/there"] = Repository()
    site.hub.repositories["user/there"].commit({"README.md": b""})
    return {case: site.publish(built, token=token, name=name) for case, (token, name, _, _) in REFUSED.items()}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_are_one_line_without_the_token(
    refusals: dict[str, CommandOutput], site: Site, built: Path, case: str
) -> None:
    _, _, code, expected = REFUSED[case]
    done = refusals[case]
    assert done.code == code
    assert done.error_line.startswith(f"million-ird: {expected}"), done.error_line
    assert not [word for word in ("Traceback", "Secret", "signature") if word in done.stderr]
    files = [path for place in (site.home, built.parent) for path in place.rglob("*") if path.is_file()]
    assert not [path for path in files if b"hf_Secret" in path.read_bytes()]


def test_only_a_local_folder_can_be_published(site: Site, hub: Hub) -> None:
    done = site.publish("memory://out")
    assert done.code == 2
    assert "only a folder on a local disk can be published" in done.error_line
