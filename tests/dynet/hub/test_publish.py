"""Errors of `dynet publish`, and the output of a dry run."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from dynet import DyNet
from dynet.config.recipe import load_recipe
from dynet.hub.publish import LICENCES
from dynet.hub.release import gather_release
from tests.dynet.hub.conftest import Site, Trained, held
from tests.hub_faults import Fault
from tests.hub_server import Hub, Repository
from tests.million_ird.hub.publishing import READER, TOKEN

Command = Callable[..., tuple[int, str, str]]
LICENCE = ("--licence", "mit")


@pytest.mark.full
def test_a_dry_run_shows_files_and_card_without_network(site: Site, hub: Hub, trained: Trained) -> None:
    done = site.publish(trained.run, *trained.arguments, "--dry-run", token="")
    assert done.code == 0, done.stderr
    assert hub.asked == []
    size = (trained.run / "weights.safetensors").stat().st_size
    assert f"{size:>16,}  weights.safetensors\n" in done.stdout
    result = site.publish(trained.run, *trained.arguments, "--dry-run", "--json").result
    assert (result["dry_run"], result["commit"]) == (True, "")
    assert done.stdout.endswith(result["card"] + "\n")
    assert result["files"]["README.md"] == len(result["card"].encode())


@pytest.mark.full
def test_the_published_recipe_trains_the_same_weights_and_contains_no_path(trained: Trained, tmp_path: Path) -> None:
    content = gather_release(trained.run, "user/model", "mit", []).files["recipe.yaml"]
    assert isinstance(content, bytes)
    recipe = yaml.safe_load(content)
    assert recipe["exclude"] == ["left_out.txt"]
    (tmp_path / "recipe.yaml").write_bytes(content)
    (tmp_path / "left_out.txt").write_text("patch-3\n")
    ours = load_recipe(tmp_path / "recipe.yaml", "finetune").decisive_keys()
    assert ours == load_recipe(trained.run.parent / "finetune.yaml", "finetune").decisive_keys()


def _unfinished(run: Path) -> Path:
    (run / "weights.safetensors").unlink()
    return run


def _best_of_unfinished(run: Path) -> Path:
    return _unfinished(run) / "checkpoints" / "best.safetensors"


def _with_another_recipe(run: Path) -> Path:
    recipe = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump(recipe | {"learning_rate": 5e-3}))
    return run


def _without_recipe(run: Path) -> Path:
    (run / "config.yaml").unlink()
    return run


def _truncated(run: Path) -> Path:
    weights = run / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    return run


BROKEN: dict[str, tuple[Callable[[Path], Path], str]] = {
    "unfinished": (_unfinished, "is not finished (after 8 steps): `dynet train … --resume` continues it"),
    "best weights of an unfinished run": (_best_of_unfinished, "is not finished (after 8 steps)"),
    "another recipe": (_with_another_recipe, "weights.safetensors was not trained with the config.yaml next to it"),
    "no recipe": (_without_recipe, "config.yaml, or run.json next to it, is missing or damaged"),
    "truncated": (_truncated, "weights.safetensors is not a safetensors file, or is truncated"),
    "nothing": (lambda run: run / "nothing", "nothing: no such file or folder"),
    "no weights": (
        lambda run: run / "previews",
        "contains no weights.safetensors: publish a finished RUN or a weights file",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_run_that_cannot_be_published_is_one_line(
    trained: Trained, tmp_path: Path, dynet_command: Command, case: str
) -> None:
    shutil.copytree(trained.run, tmp_path / "run")
    damage, message = BROKEN[case]
    code, out, err = dynet_command(
        "publish", damage(tmp_path / "run"), "--repo-id", "user/model", *LICENCE, "--dry-run"
    )
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert message in err
    assert str(tmp_path / "run") in err


def test_the_best_weights_of_a_finished_run_can_be_published(trained: Trained, dynet_command: Command) -> None:
    best = trained.run / "checkpoints" / "best.safetensors"
    code, out, err = dynet_command("publish", best, "--repo-id", "user/model", *LICENCE, "--dry-run", "--json")
    assert code == 0, err
    assert set(json.loads(out)["files"]) == {"README.md", "config.json", "weights.safetensors"}


USAGE: dict[str, tuple[list[str], str]] = {
    "half a name": (
        ["--repo-id", "model", *LICENCE],
        "--repo-id model: is not a valid name: it has the form user/name",
    ),
    "no name": (["--repo-id", "user/a b", *LICENCE], "--repo-id user/a b: is not a valid name: "),
    "no licence": (["--repo-id", "user/model"], "Missing option '--licence'"),
    "no such licence": (
        ["--repo-id", "user/model", "--licence", "Apache 2"],
        "--licence Apache 2: the Hub has no such identifier; similar: apache-2.0",
    ),
    "no evaluation": (
        ["--repo-id", "user/model", *LICENCE, "--evaluation", "PRETRAINED"],
        "has no results.json of `dynet evaluate --out`",
    ),
    "evaluation of other weights": (
        ["--repo-id", "user/model", *LICENCE, "--evaluation", "OTHER"],
        "results.json belongs to other weights; evaluate the weights to publish",
    ),
    "a damaged evaluation": (
        ["--repo-id", "user/model", *LICENCE, "--evaluation", "DAMAGED"],
        "results.json was not written by `dynet evaluate`: ",
    ),
    "one protocol twice": (
        ["--repo-id", "user/model", *LICENCE, "--evaluation", "PAPER", "--evaluation", "PAPER"],
        "--evaluation: two use the protocol aio-paper",
    ),
}


@pytest.mark.parametrize("case", USAGE)
def test_a_usage_error_is_one_line(trained: Trained, tmp_path: Path, dynet_command: Command, case: str) -> None:
    results = json.loads((trained.evaluations[0] / "results.json").read_text())
    for name, content in (("other", results | {"weights": {"file": "w", "sha256": "0" * 64}}), ("damaged", {"a": 1})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(json.dumps(content))
    folders = {
        "PRETRAINED": trained.pretrained,
        "OTHER": tmp_path / "other",
        "DAMAGED": tmp_path / "damaged",
        "PAPER": trained.evaluations[0],
    }
    options, message = USAGE[case]
    options = [str(folders.get(word, word)) for word in options]
    code, out, err = dynet_command("publish", trained.run, *options, "--dry-run")
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert message in err


QUOTING = "no: you came with {authorization}"
REFUSED: dict[str, tuple[str, str, int, str]] = {
    "nobody": ("", "user/model", 2, "not logged in to the Hub: set HF_TOKEN, or run `hf auth login`"),
    "a token of nobody": ("hf_SecretOfNobody", "user/model", 2, "user/model: the Hub rejects the token: renew"),
    "no right": (
        TOKEN,
        "user/403",
        2,
        "user/403: this token has no permission to write there (403 no: you came with …)",
    ),
    "a reader": (
        READER,
        "user/there",
        2,
        "user/there: this token has no permission to write there (403 You don't have the rights",
    ),
    "another's": (
        TOKEN,
        "other/model",
        2,
        "other/model: this token has no permission to write there (403 You don't have the",
    ),
    "gated": (TOKEN, "user/gated", 2, "user/gated: is gated: ask for access on its page on the Hub"),
    "at last": (TOKEN, "user/400", 1, "user/400: the commit: 400 no: you came with …; run the same command again"),
    "busy for long": (TOKEN, "user/429", 1, "user/429: checking access: 429 not now; run the same command again"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_of_the_hub_is_one_line_and_never_shows_the_token(
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
    token, name, code, message = REFUSED[case]
    done = site.publish(trained.run, token=token, name=name)
    assert done.code == code
    assert done.error_line.startswith(f"dynet: {message}"), done.error_line
    assert not [word for word in ("Traceback", "Secret", "signature") if word in done.stderr]
    assert "weights.safetensors" not in (held(hub, name) if ".gitattributes" in _names(hub, name) else {})


def _names(hub: Hub, name: str) -> set[str]:
    repository = hub.models.get(name)
    return set(repository.commits[repository.branches["main"]]) if repository else set()


def test_every_licence_is_listed_once_and_in_lower_case() -> None:
    assert len(set(LICENCES)) == len(LICENCES)
    assert all(name == name.casefold() for name in LICENCES)


def test_weights_of_another_shape_are_not_published(tiny: DyNet, tmp_path: Path, dynet_command: Command) -> None:
    del tiny.output
    tiny.save(tmp_path / "w.safetensors")
    options = ("--repo-id", "user/model", *LICENCE, "--dry-run")
    code, _, err = dynet_command("publish", tmp_path / "w.safetensors", *options)
    assert code == 2
    assert "w.safetensors does not fit: 1 missing, first output.weight" in err
