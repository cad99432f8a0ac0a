"""From a run to the Hub and back, by the real client against a Hub of our own."""

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


def test_what_was_published_loads_as_the_same_tensors_and_gives_the_same_outputs(
    site: Site, hub: Hub, trained: Trained, tmp_path: Path
) -> None:
    told = site.publish(trained.run, *trained.arguments, "--json").told
    assert set(held(hub)) == set(told["files"]) == FILES
    assert len(asked(hub, "POST .*/commit/")) == 1
    local = digest(DyNet.from_pretrained(trained.run))
    assert site.load("user/model", token="").told == local
    assert site.load("user/model", token="", revision=told["commit"]).told == local
    Image.effect_noise((30, 20), 60).convert("RGB").save(tmp_path / "photo.png")
    where = ["--device", "cpu", "--variants", "S,L"]
    for weights, out in (("user/model", "far"), (trained.run, "near")):
        done = site.command("restore", tmp_path / "photo.png", "--weights", weights, "--out", tmp_path / out, *where)
        assert done.code == 0, done.err
    names = sorted(path.name for path in (tmp_path / "near").iterdir())
    assert len(names) == 2
    for name in names:
        assert (tmp_path / "far" / name).read_bytes() == (tmp_path / "near" / name).read_bytes()


def test_nothing_of_this_machine_is_published(site: Site, hub: Hub, trained: Trained) -> None:
    assert site.publish(trained.run, *trained.arguments).code == 0
    assert hub.store
    for name, content in held(hub).items():
        found = (hub.store / content.oid).read_bytes() if isinstance(content, Large) else content
        for place in (trained.run.parent.parent, Path.cwd()):
            assert str(place).encode() not in found, name
        assert str(Path.home()).encode() not in found, name


def test_publishing_again_makes_no_commit_and_says_so(site: Site, hub: Hub, trained: Trained) -> None:
    assert site.publish(trained.run).code == 0
    commits = len(hub.models["user/model"].commits)
    again = site.publish(trained.run)
    assert again.said.startswith("Nothing to publish: user/model@main holds these weights already"), again
    assert len(hub.models["user/model"].commits) == commits


def test_what_is_no_longer_of_the_release_goes_and_what_others_put_there_stays(
    site: Site, hub: Hub, trained: Trained
) -> None:
    assert site.publish(trained.run, *trained.arguments).code == 0
    repository = hub.models["user/model"]
    repository.commit({**repository.commits[repository.branches["main"]], "model_S.onnx": b"mine"})
    told = site.publish(trained.run / "weights.safetensors", "--json").told
    assert told["deleted"] == sorted(name for name in FILES if name.startswith("results/"))
    assert set(held(hub)) == {name for name in FILES if not name.startswith("results/")} | {"model_S.onnx"}


def test_an_interrupted_publication_leaves_what_was_there_and_goes_on_later(
    site: Site, hub: Hub, trained: Trained
) -> None:
    assert site.publish(trained.pretrained).code == 0
    before = held(hub)
    hub.faults.append(Fault("PUT /store", "answer", times=1000, status=400))
    broken = site.publish(trained.run)
    assert broken.code == 1
    assert broken.last.startswith("dynet: user/model: the commit: 400 ")
    assert broken.last.endswith("; run the same command again to go on")
    assert held(hub) == before
    hub.faults.clear()
    assert site.publish(trained.run).code == 0
    assert held(hub)["weights.safetensors"] != before["weights.safetensors"]


@pytest.mark.parametrize("how", ["answer", "drop", "lose"])
def test_a_commit_that_meets_a_fault_is_made_once(site: Site, hub: Hub, trained: Trained, how: str) -> None:
    hub.faults.append(Fault("POST .*/commit/", how, status=503))  # type: ignore[arg-type]
    told = site.publish(trained.run, "--json").told
    repository = hub.models["user/model"]
    assert len(repository.commits) == 2  # the Hub's own, and ours
    assert told["commit"] == repository.branches["main"]
    assert told["changed"] is True


def test_a_commit_by_somebody_else_in_between_is_looked_at_anew(site: Site, hub: Hub, trained: Trained) -> None:
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


def test_a_branch_and_a_private_model_are_made_and_a_public_one_is_not_made_private(
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
        "is public; make it private in its settings, or leave --private out"
        in site.publish(trained.run, "--private").last
    )


def test_a_network_pushes_itself_and_is_loaded_again(site: Site, hub: Hub, tiny_weights: Path) -> None:
    options = {"private": True, "branch": "main", "commit_message": "by hand"}
    done = site.order(source=str(tiny_weights), repo_id="user/pushed", options=options)
    assert json.loads(done.said.splitlines()[-1]).endswith(hub.models["user/pushed"].branches["main"]), done
    files = held(hub, "user/pushed")
    assert set(files) == {"README.md", "config.json", "weights.safetensors"}
    assert b'from_pretrained("user/pushed")' in files["README.md"]
    assert site.load("user/pushed").told == digest(DyNet.from_pretrained(tiny_weights))


def test_config_json_tells_what_the_file_says_and_is_never_needed(site: Site, hub: Hub, trained: Trained) -> None:
    assert site.publish(trained.run).code == 0
    told = json.loads(held(hub)["config.json"])
    assert told == json.loads(json.dumps(read_header(trained.run / "weights.safetensors").as_object()))
    repository = hub.models["user/model"]
    files = dict(repository.commits[repository.branches["main"]])
    hub.asked.clear()
    assert site.load("user/model").code == 0
    assert len(asked(hub, r"/resolve/main/config\.json")) == 1  # by which the Hub counts
    local = digest(DyNet.from_pretrained(trained.run))
    repository.commit({**files, "config.json": b'{"dim": 999, "per_repeat": 7}'})
    assert site.load("user/model").told == local
    del files["config.json"]
    repository.commit(files)
    assert site.load("user/model").told == local


def _put(hub: Hub, name: str, weights: Path, **how: bool) -> str:
    """A model that holds these weights as a large file; returns its oid."""
    assert hub.store
    content = weights.read_bytes()
    oid = hashlib.sha256(content).hexdigest()
    (hub.store / oid).write_bytes(content)
    hub.models[name] = Repository(**how)
    hub.models[name].commit({"weights.safetensors": Large(oid, len(content))})
    return oid


REFUSED: dict[str, tuple[str, str, str]] = {
    "absent": ("user/nothing", TOKEN, "no such file or folder here, and no model of that name on the Hub for this"),
    "absent to strangers": ("user/nothing", "", "no model of that name on the Hub for who is not logged in (HF_TOKEN"),
    "private": ("user/private", "", "no such file or folder here, and no model of that name on the Hub for who is"),
    "gated": ("user/gated", READER, "is gated: ask for access on its page on the Hub, and run `hf auth login`"),
    "a wrong token": ("user/there", "hf_SecretOfNobody", "the Hub does not take the token: renew HF_TOKEN, or run"),
    "no weights": ("user/other", TOKEN, "the model on the Hub has no weights.safetensors"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_had_from_the_hub_is_one_line(site: Site, hub: Hub, tiny_weights: Path, case: str) -> None:
    name, token, said = REFUSED[case]
    _put(hub, "user/private", tiny_weights, private=True)
    _put(hub, "user/gated", tiny_weights, gated=True)
    _put(hub, "user/there", tiny_weights)
    hub.models["user/other"] = Repository()
    hub.models["user/other"].commit({"model.safetensors": b"x", "config.json": b"{}"})
    done = site.load(name, token=token)
    assert done.code == 1
    assert done.err.startswith(f"WeightsError: {name}: {said}" if "absent to" not in case else "WeightsError: "), done
    assert said in done.err
    assert done.err.count("\n") == 1
    assert "Secret" not in done.err


def test_a_private_model_is_had_by_the_argument_token(site: Site, hub: Hub, tiny_weights: Path) -> None:
    _put(hub, "user/private", tiny_weights, private=True)
    assert site.load("user/private", token="").code == 1
    assert site.order("", source="user/private", options={"token": TOKEN}).code == 0
    assert site.load("user/private", token="", local_files_only=True).code == 0  # now it is in the cache


def test_a_revision_that_is_not_there_is_one_line(site: Site, hub: Hub, tiny_weights: Path) -> None:
    _put(hub, "user/there", tiny_weights)
    done = site.load("user/there", revision="v9")
    assert done.err == "WeightsError: user/there: the model on the Hub has no revision 'v9'\n"


def test_a_server_that_is_busy_once_and_a_download_that_breaks_are_got_over(
    site: Site, hub: Hub, trained: Trained, tmp_path: Path
) -> None:
    oid = _put(hub, "user/busy", trained.run / "weights.safetensors")
    hub.faults += [Fault("HEAD .*/resolve/", "answer"), Fault("GET /store/", "answer")]
    hub.hang_up[oid] = 1
    done = site.load("user/busy", cache_dir=str(tmp_path / "cache"))
    assert done.told == digest(DyNet.from_pretrained(trained.run))
    assert len(asked(hub, "GET /store/")) == 3


def test_a_hub_that_is_down_leaves_the_cache_and_else_one_line(
    site: Site, hub: Hub, tiny_weights: Path, tmp_path: Path
) -> None:
    _put(hub, "user/down", tiny_weights)
    _put(hub, "user/never", tiny_weights)
    cache = {"cache_dir": str(tmp_path / "cache")}
    first = site.load("user/down", **cache)
    hub.faults.append(Fault("resolve", "drop", times=1000))
    assert site.load("user/down", **cache).told == first.told
    assert site.load("user/down", **cache, force_download=True).code == 1
    hub.asked.clear()
    done = site.load("user/never", **cache)
    said = "no such file or folder here, and the Hub could not be asked for a model of that name: "
    assert done.err.startswith(f"WeightsError: user/never: {said}")
    assert done.err.count("\n") == 1
    assert len(asked(hub, "HEAD ")) == 3


def test_a_page_instead_of_weights_is_one_line(site: Site, hub: Hub, tmp_path: Path) -> None:
    hub.models["user/page"] = Repository()
    hub.models["user/page"].commit({"weights.safetensors": b"<!doctype html><title>log in</title>"})
    done = site.load("user/page")
    assert re.search(r"is a page of the web, not the file itself; download it anew", done.err), done
    assert done.err.count("\n") == 1
