"""What `dynet publish` refuses, and what a dry run shows."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from dynet import DyNet
from dynet.config.recipe import load_recipe
from dynet.hub.licences import LICENCES
from dynet.hub.release import gather
from tests.dynet.hub.conftest import Site, Trained, held
from tests.hub_faults import Fault
from tests.hub_server import Hub, Repository
from tests.million_ird.hub.publishing import READER, TOKEN

Command = Callable[..., tuple[int, str, str]]
LICENCE = ("--licence", "mit")


def test_a_dry_run_shows_files_and_card_and_asks_nothing(site: Site, hub: Hub, trained: Trained) -> None:
    done = site.publish(trained.run, *trained.arguments, "--dry-run", token="")
    assert done.code == 0, done.err
    assert hub.asked == []
    size = (trained.run / "weights.safetensors").stat().st_size
    assert f"{size:>16,}  weights.safetensors\n" in done.said
    told = site.publish(trained.run, *trained.arguments, "--dry-run", "--json").told
    assert (told["dry_run"], told["commit"]) == (True, "")
    assert done.said.endswith(told["card"] + "\n")
    assert told["files"]["README.md"] == len(told["card"].encode())


def test_the_published_recipe_trains_the_same_weights_and_names_no_place(trained: Trained, tmp_path: Path) -> None:
    content = gather(trained.run, "user/model", "mit", []).files["recipe.yaml"]
    assert isinstance(content, bytes)
    told = yaml.safe_load(content)
    assert told["exclude"] == ["left_out.txt"]
    (tmp_path / "recipe.yaml").write_bytes(content)
    (tmp_path / "left_out.txt").write_text("patch-3\n")
    ours = load_recipe(tmp_path / "recipe.yaml", "finetune").decisive()
    assert ours == load_recipe(trained.run.parent / "finetune.yaml", "finetune").decisive()


def _unfinished(run: Path) -> Path:
    (run / "weights.safetensors").unlink()
    return run


def _best_of_unfinished(run: Path) -> Path:
    return _unfinished(run) / "checkpoints" / "best.safetensors"


def _of_another_recipe(run: Path) -> Path:
    recipe = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump(recipe | {"learning_rate": 5e-3}))
    return run


def _without_recipe(run: Path) -> Path:
    (run / "config.yaml").unlink()
    return run


def _cut(run: Path) -> Path:
    weights = run / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    return run


BROKEN: dict[str, tuple[Callable[[Path], Path], str]] = {
    "unfinished": (_unfinished, "is not finished (8 steps are done): `dynet train … --resume` goes on with it"),
    "best of an unfinished one": (_best_of_unfinished, "is not finished (8 steps are done)"),
    "another recipe": (_of_another_recipe, "weights.safetensors is not of the run whose config.yaml lies beside it"),
    "no recipe": (_without_recipe, "config.yaml or run.json, which tell of this run, is missing or damaged"),
    "cut short": (_cut, "weights.safetensors is no safetensors file, or one that is cut short"),
    "nothing": (lambda run: run / "nothing", "nothing: no such file or folder"),
    "no weights": (
        lambda run: run / "previews",
        "holds no weights.safetensors: a finished RUN, or a weights file, can",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_run_that_cannot_be_published_is_one_line(
    trained: Trained, tmp_path: Path, dynet_command: Command, case: str
) -> None:
    shutil.copytree(trained.run, tmp_path / "run")
    spoil, said = BROKEN[case]
    code, out, err = dynet_command("publish", spoil(tmp_path / "run"), "--repo-id", "user/model", *LICENCE, "--dry-run")
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert said in err
    assert str(tmp_path / "run") in err


def test_the_best_weights_of_a_finished_run_can_be_published(trained: Trained, dynet_command: Command) -> None:
    best = trained.run / "checkpoints" / "best.safetensors"
    code, out, err = dynet_command("publish", best, "--repo-id", "user/model", *LICENCE, "--dry-run", "--json")
    assert code == 0, err
    assert set(json.loads(out)["files"]) == {"README.md", "config.json", "weights.safetensors"}


USAGE: dict[str, tuple[list[str], str]] = {
    "half a name": (["--repo-id", "model", *LICENCE], "--repo-id model: no valid name: it is user/name"),
    "no name": (["--repo-id", "user/a b", *LICENCE], "--repo-id user/a b: no valid name: "),
    "no licence": (["--repo-id", "user/model"], "Missing option '--licence'"),
    "no such licence": (
        ["--repo-id", "user/model", "--licence", "Apache 2"],
        "--licence Apache 2: no identifier of the Hub's; near it: apache-2.0",
    ),
    "no evaluation": (
        ["--repo-id", "user/model", *LICENCE, "--evaluation", "PRETRAINED"],
        "no results.json of `dynet evaluate --out` there",
    ),
    "another's evaluation": (
        ["--repo-id", "user/model", *LICENCE, "--evaluation", "OTHER"],
        "results.json is of other weights than those to publish: evaluate these",
    ),
    "a damaged one": (
        ["--repo-id", "user/model", *LICENCE, "--evaluation", "DAMAGED"],
        "results.json is not what `dynet evaluate` writes: ",
    ),
    "one protocol twice": (
        ["--repo-id", "user/model", *LICENCE, "--evaluation", "PAPER", "--evaluation", "PAPER"],
        "--evaluation: two are by protocol aio-paper",
    ),
}


@pytest.mark.parametrize("case", USAGE)
def test_arguments_that_cannot_work_are_one_line(
    trained: Trained, tmp_path: Path, dynet_command: Command, case: str
) -> None:
    results = json.loads((trained.evaluations[0] / "results.json").read_text())
    for name, spoilt in (("other", results | {"weights": {"file": "w", "sha256": "0" * 64}}), ("damaged", {"a": 1})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(json.dumps(spoilt))
    places = {
        "PRETRAINED": trained.pretrained,
        "OTHER": tmp_path / "other",
        "DAMAGED": tmp_path / "damaged",
        "PAPER": trained.evaluations[0],
    }
    arguments, said = USAGE[case]
    given = [str(places.get(word, word)) for word in arguments]
    code, out, err = dynet_command("publish", trained.run, *given, "--dry-run")
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert said in err


QUOTING = "no: you came with {authorization}"
REFUSED: dict[str, tuple[str, str, int, str]] = {
    "nobody": ("", "user/model", 2, "not logged in to the Hub: set HF_TOKEN, or run `hf auth login`"),
    "a token of nobody": ("hf_SecretOfNobody", "user/model", 2, "user/model: the Hub does not take the token: renew"),
    "no right": (TOKEN, "user/403", 2, "user/403: this token may not write there (403 no: you came with …)"),
    "a reader": (READER, "user/there", 2, "user/there: this token may not write there (403 You don't have the rights"),
    "another's": (TOKEN, "other/model", 2, "other/model: this token may not write there (403 You don't have the"),
    "gated": (TOKEN, "user/gated", 2, "user/gated: is gated, and this account has no access to it"),
    "at last": (TOKEN, "user/400", 1, "user/400: the commit: 400 no: you came with …; run the same command again"),
    "busy for long": (TOKEN, "user/429", 1, "user/429: asking for access: 429 not now; run the same command again"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_hub_refuses_is_one_line_and_the_token_shows_nowhere(
    site: Site, hub: Hub, trained: Trained, case: str
) -> None:
    hub.faults[:] = [
        Fault("/user/403/auth-check", "answer", status=403, text=QUOTING),
        Fault("/user/gated/auth-check", "answer", status=403, text=QUOTING, headers={"X-Error-Code": "GatedRepo"}),
        Fault("/user/400/commit", "answer", status=400, text=QUOTING),
        Fault("/user/429/auth-check", "answer", status=429, headers={"Retry-After": "1000"}),
    ]
    hub.models["user/there"] = Repository()
    hub.models["user/there"].commit({"README.md": b""})
    token, name, code, said = REFUSED[case]
    done = site.publish(trained.run, token=token, name=name)
    assert done.code == code
    assert done.last.startswith(f"dynet: {said}"), done.last
    assert not [word for word in ("Traceback", "Secret", "signature") if word in done.err]
    assert "weights.safetensors" not in (held(hub, name) if ".gitattributes" in _names(hub, name) else {})


def _names(hub: Hub, name: str) -> set[str]:
    repository = hub.models.get(name)
    return set(repository.commits[repository.branches["main"]]) if repository else set()


def test_every_licence_is_named_once_and_in_small_letters() -> None:
    assert len(set(LICENCES)) == len(LICENCES)
    assert all(name == name.casefold() for name in LICENCES)


def test_weights_of_another_shape_are_not_published(tiny: DyNet, tmp_path: Path, dynet_command: Command) -> None:
    del tiny.output
    tiny.save(tmp_path / "w.safetensors")
    given = ("--repo-id", "user/model", *LICENCE, "--dry-run")
    code, _, err = dynet_command("publish", tmp_path / "w.safetensors", *given)
    assert code == 2
    assert "w.safetensors does not fit: 1 missing, first output.weight" in err
