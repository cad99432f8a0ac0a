"""From a run to the Hub and back, with the real client against a Hub of our own."""

import hashlib
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from dynet import DyNet
from dynet.model.weights import read_header
from tests.dynet.hub.conftest import Site, Trained, held
from tests.dynet.hub.worker import digest
from tests.hub_faults import Fault
from tests.hub_server import Hub, Large, Repository
from tests.million_ird.hub.publishing import READER, TOKEN, asked

FILES = {
    *("README.md", "config.json", "example.png", "recipe.yaml", "weights.safetensors"),
    *("results/aio-paper.csv", "results/aio-paper.json", "results/strict.csv", "results/strict.json"),
}


@pytest.mark.full
def test_published_weights_load_as_the_same_tensors_and_give_the_same_outputs(
    site: Site, hub: Hub, trained: Trained, tmp_path: Path
) -> None:
    result = site.publish(trained.run, *trained.arguments, "--json").result
    assert set(held(hub)) == set(result["files"]) == FILES
    assert len(asked(hub, "POST .*/commit/")) == 1
    local = digest(DyNet.from_pretrained(trained.run))
    assert site.load("user/model", token="").result == local
    assert site.load("user/model", token="", revision=result["commit"]).result == local
    Image.effect_noise((30, 20), 60).convert("RGB").save(tmp_path / "photo.png")
    options = ["--device", "cpu", "--variants", "S,L"]
    for weights, out in (("user/model", "far"), (trained.run, "near")):
        done = site.command("restore", tmp_path / "photo.png", "--weights", weights, "--out", tmp_path / out, *options)
        assert done.code == 0, done.stderr
    names = sorted(path.name for path in (tmp_path / "near").iterdir())
    assert len(names) == 2
    for name in names:
        assert (tmp_path / "far" / name).read_bytes() == (tmp_path / "near" / name).read_bytes()


def test_nothing_of_this_machine_is_published(site: Site, hub: Hub, trained: Trained) -> None:
    assert site.publish(trained.run, *trained.arguments).code == 0
    assert hub.store
    for name, content in held(hub).items():
        stored = (hub.store / content.oid).read_bytes() if isinstance(content, Large) else content
        for folder in (trained.run.parent.parent, Path.cwd()):
            assert str(folder).encode() not in stored, name
        assert str(Path.home()).encode() not in stored, name


def test_publishing_again_makes_no_commit_and_reports_that(site: Site, hub: Hub, trained: Trained) -> None:
    assert site.publish(trained.run).code == 0
    commits = len(hub.models["user/model"].commits)
    again = site.publish(trained.run)
    assert again.stdout.startswith("Nothing to publish: user/model@main already holds these weights"), again
    assert len(hub.models["user/model"].commits) == commits


def test_obsolete_files_are_deleted_and_files_of_others_are_kept(site: Site, hub: Hub, trained: Trained) -> None:
    assert site.publish(trained.run, *trained.arguments).code == 0
    repository = hub.models["user/model"]
    repository.commit({**repository.commits[repository.branches["main"]], "model_S.onnx": b"mine"})
    result = site.publish(trained.run / "weights.safetensors", "--json").result
    assert result["deleted"] == sorted(name for name in FILES if name.startswith("results/"))
    assert set(held(hub)) == {name for name in FILES if not name.startswith("results/")} | {"model_S.onnx"}


def test_an_interrupted_publication_changes_nothing_and_continues_later(site: Site, hub: Hub, trained: Trained) -> None:
    assert site.publish(trained.pretrained).code == 0
    before = held(hub)
    hub.faults.append(Fault("PUT /store", "answer", times=1000, status=400))
    broken = site.publish(trained.run)
    assert broken.code == 1
    assert broken.error_line.startswith("dynet: user/model: the commit: 400 ")
    assert broken.error_line.endswith("; run the same command again to continue")
    assert held(hub) == before
    hub.faults.clear()
    assert site.publish(trained.run).code == 0
    assert held(hub)["weights.safetensors"] != before["weights.safetensors"]


@pytest.mark.parametrize("kind", ["answer", "drop", "lose"])
def test_a_commit_that_fails_once_is_made_exactly_once(site: Site, hub: Hub, trained: Trained, kind: str) -> None:
    hub.faults.append(Fault("POST .*/commit/", kind, status=503))  # type: ignore[arg-type]
    result = site.publish(trained.run, "--json").result
    repository = hub.models["user/model"]
    assert len(repository.commits) == 2  # the Hub's own, and ours
    assert result["commit"] == repository.branches["main"]
    assert result["changed"] is True


def test_a_concurrent_commit_by_somebody_else_is_taken_into_account(site: Site, hub: Hub, trained: Trained) -> None:
    assert site.publish(trained.pretrained).code == 0
    repository = hub.models["user/model"]

    def meanwhile() -> None:
        files = repository.commits[repository.branches["main"]]
        repository.commit({**files, "results/strict.json": b"{}", "theirs.txt": b"x"})

    hub.faults.append(Fault("POST .*/commit/", "serve", first=meanwhile))
    assert site.publish(trained.run).code == 0
    assert len(asked(hub, "POST .*/commit/")) == 3
    assert "theirs.txt" in held(hub)
    assert "results/strict.json" not in held(hub)


def test_a_branch_and_a_private_model_are_created_but_a_public_model_stays_public(
    site: Site, hub: Hub, trained: Trained
) -> None:
    assert site.publish(trained.run, "--private", "--revision", "next").code == 0
    repository = hub.models["user/model"]
    assert repository.private
    assert set(repository.branches) == {"main", "next"}
    assert "weights.safetensors" in held(hub, branch="next")
    assert set(held(hub)) == set()
    assert site.load("user/model", revision="next").code == 0
    repository.private = False
    assert (
        "is public; make it private in its settings, or omit --private"
        in site.publish(trained.run, "--private").error_line
    )


def test_a_network_pushes_itself_and_is_loaded_again(site: Site, hub: Hub, tiny_weights: Path) -> None:
    options = {"private": True, "branch": "main", "commit_message": "by hand"}
    done = site.order(source=str(tiny_weights), repo_id="user/pushed", options=options)
    assert json.loads(done.stdout.splitlines()[-1]).endswith(hub.models["user/pushed"].branches["main"]), done
    files = held(hub, "user/pushed")
    assert set(files) == {"README.md", "config.json", "weights.safetensors"}
    assert b'from_pretrained("user/pushed")' in files["README.md"]
    assert site.load("user/pushed").result == digest(DyNet.from_pretrained(tiny_weights))


def test_config_json_repeats_the_header_and_is_never_needed(site: Site, hub: Hub, trained: Trained) -> None:
    assert site.publish(trained.run).code == 0
    config = json.loads(held(hub)["config.json"])
    assert config == json.loads(json.dumps(read_header(trained.run / "weights.safetensors").as_object()))
    repository = hub.models["user/model"]
    files = dict(repository.commits[repository.branches["main"]])
    hub.asked.clear()
    assert site.load("user/model").code == 0
    assert len(asked(hub, r"/resolve/main/config\.json")) == 1  # the Hub counts these requests
    local = digest(DyNet.from_pretrained(trained.run))
    repository.commit({**files, "config.json": b'{"dim": 999, "per_repeat": 7}'})
    assert site.load("user/model").result == local
    del files["config.json"]
    repository.commit(files)
    assert site.load("user/model").result == local


def _put(hub: Hub, name: str, weights: Path, **options: bool) -> str:
    """Create a model with these weights as a large file, and return its oid."""
    assert hub.store
    content = weights.read_bytes()
    oid = hashlib.sha256(content).hexdigest()
    (hub.store / oid).write_bytes(content)
    hub.models[name] = Repository(**options)
    hub.models[name].commit({"weights.safetensors": Large(oid, len(content))})
    return oid


REFUSED: dict[str, tuple[str, str, str]] = {
    "absent": ("user/nothing", TOKEN, "no such file or folder here, and no model of that name on the Hub for this"),
    "absent without a login": ("user/nothing", "", "no model of that name on the Hub without a login (HF_TOKEN"),
    "private": ("user/private", "", "no such file or folder here, and no model of that name on the Hub without a"),
    "gated": ("user/gated", READER, "is gated: ask for access on its page on the Hub, and run `hf auth login`"),
    "a wrong token": ("user/there", "hf_SecretOfNobody", "the Hub rejects the token: renew HF_TOKEN, or run"),
    "no weights": ("user/other", TOKEN, "the model on the Hub has no weights.safetensors"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_failed_download_is_one_line(site: Site, hub: Hub, tiny_weights: Path, case: str) -> None:
    name, token, message = REFUSED[case]
    _put(hub, "user/private", tiny_weights, private=True)
    _put(hub, "user/gated", tiny_weights, gated=True)
    _put(hub, "user/there", tiny_weights)
    hub.models["user/other"] = Repository()
    hub.models["user/other"].commit({"model.safetensors": b"x", "config.json": b"{}"})
    done = site.load(name, token=token)
    assert done.code == 1
    assert done.stderr.startswith(
        f"WeightsError: {name}: {message}" if "absent without" not in case else "WeightsError: "
    ), done
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Secret" not in done.stderr


def test_a_private_model_can_be_loaded_with_the_argument_token(site: Site, hub: Hub, tiny_weights: Path) -> None:
    _put(hub, "user/private", tiny_weights, private=True)
    assert site.load("user/private", token="").code == 1
    assert site.order("", source="user/private", options={"token": TOKEN}).code == 0
    assert site.load("user/private", token="", local_files_only=True).code == 0  # now it is in the cache


def test_a_missing_revision_is_one_line(site: Site, hub: Hub, tiny_weights: Path) -> None:
    _put(hub, "user/there", tiny_weights)
    done = site.load("user/there", revision="v9")
    assert done.stderr == "WeightsError: user/there: the model on the Hub has no revision 'v9'\n"


def test_a_busy_server_and_a_broken_download_are_retried(
    site: Site, hub: Hub, trained: Trained, tmp_path: Path
) -> None:
    oid = _put(hub, "user/busy", trained.run / "weights.safetensors")
    hub.faults += [Fault("HEAD .*/resolve/", "answer"), Fault("GET /store/", "answer")]
    hub.hang_up[oid] = 1
    done = site.load("user/busy", cache_dir=str(tmp_path / "cache"))
    assert done.result == digest(DyNet.from_pretrained(trained.run))
    assert len(asked(hub, "GET /store/")) == 3


def test_without_the_hub_the_cache_is_used_or_the_error_is_one_line(
    site: Site, hub: Hub, tiny_weights: Path, tmp_path: Path
) -> None:
    _put(hub, "user/down", tiny_weights)
    _put(hub, "user/never", tiny_weights)
    cache = {"cache_dir": str(tmp_path / "cache")}
    first = site.load("user/down", **cache)
    hub.faults.append(Fault("resolve", "drop", times=1000))
    assert site.load("user/down", **cache).result == first.result
    assert site.load("user/down", **cache, force_download=True).code == 1
    hub.asked.clear()
    done = site.load("user/never", **cache)
    message = "no such file or folder here, and the Hub could not be asked for a model of that name: "
    assert done.stderr.startswith(f"WeightsError: user/never: {message}")
    assert done.stderr.count("\n") == 1
    assert len(asked(hub, "HEAD ")) == 3


def test_a_web_page_instead_of_weights_is_one_line(site: Site, hub: Hub, tmp_path: Path) -> None:
    hub.models["user/page"] = Repository()
    hub.models["user/page"].commit({"weights.safetensors": b"<!doctype html><title>log in</title>"})
    done = site.load("user/page")
    assert re.search(r"is a web page, not the file itself; download it again", done.stderr), done
    assert done.stderr.count("\n") == 1
