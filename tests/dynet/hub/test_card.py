"""The model card, as `huggingface_hub` reads it and as a person reads it."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from dynet import LARGE, SMALL, DyNet
from dynet.errors import UsageError
from dynet.hub.card import CardExample, CardFacts, count_gmacs, count_parameters, render_card
from dynet.hub.evaluations import CardEvaluation, CardScore
from dynet.hub.release import gather_release
from dynet.model.training_record import StartingWeights
from dynet.model.weights import WeightsHeader, read_header
from tests.dynet.hub.conftest import Trained, front_matter


def _card(trained: Trained, *, evaluated: bool = True) -> str:
    return gather_release(trained.run, "user/model", "cc-by-4.0", trained.evaluations if evaluated else ()).card


def _facts(trained: Trained) -> CardFacts:
    header = read_header(trained.run / "weights.safetensors")
    return CardFacts(repo_id="user/model", licence="mit", header=header, with_cost=False)


def test_the_hub_reads_licence_task_and_results_from_the_card(trained: Trained) -> None:
    data = ModelCard(_card(trained)).data
    assert (data.license, data.library_name, data.pipeline_tag) == ("cc-by-4.0", "dynet", "image-to-image")
    assert data.model_name == "model"
    values = {
        (result.dataset_name, result.metric_type, result.metric_name): result.metric_value
        for result in data.eval_results or ()
    }
    assert len(values) == 2 * 2 * 2 * 2  # protocols, sigmas, variants, metrics
    for folder, protocol in zip(trained.evaluations, ("aio-paper", "strict"), strict=True):
        for row in json.loads((folder / "results.json").read_text())["results"]:
            if row["variant"] == "input":
                continue
            key = (f"bench σ{row['sigma']:g}", "psnr", f"PSNR ({row['variant']}, {protocol})")
            assert values[key] == pytest.approx(row["psnr"]["mean"], abs=5e-4)


def test_every_figure_of_the_evaluations_is_in_a_table(trained: Trained) -> None:
    html = MarkdownIt("commonmark").enable("table").render(_card(trained).split("---\n", 2)[2])
    cells = re.findall(r"<td[^>]*>(.*?)</td>", html)
    for folder in trained.evaluations:
        results = json.loads((folder / "results.json").read_text())
        for row in results["results"]:
            assert f"{row['psnr']['mean']:.2f} / {row['ssim']['mean']:.4f}" in cells
        for row in results["mean_over_tasks"]:
            assert f"{row['psnr']:.2f} / {row['ssim']:.4f}" in cells
    assert html.count("<table>") == 4  # variants, validation, two protocols
    assert "|" not in re.sub(r"<pre>.*?</pre>", "", html, flags=re.DOTALL)  # no row is outside a table


def test_the_card_says_how_many_orientations_were_averaged(trained: Trained, tmp_path: Path) -> None:
    results = json.loads((trained.evaluations[0] / "results.json").read_text())
    assert results.pop("self_ensemble") == 1
    said = {}
    for name, more in {"earlier": {}, "averaged": {"self_ensemble": 8}}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(json.dumps(results | more))
        card = gather_release(trained.run, "user/model", "cc-by-4.0", [tmp_path / name]).card
        said[name] = "as the mean of 8 orientations" in " ".join(card.split()), "PSNR (S ×8, aio-paper)" in card
    assert said == {"earlier": (False, False), "averaged": (True, True)}


def test_the_card_states_both_stages_their_data_and_their_recipes(trained: Trained, data_set: Path) -> None:
    card, record = _card(trained), read_header(trained.run / "weights.safetensors").training
    assert record
    assert record.start
    assert record.start.training
    assert "1. **Pre-training**, 8 steps" in card
    assert "2. **Fine-tuning**, 8 steps" in card
    for stage in (record, record.start.training):
        assert stage.recipe_sha256[:16] in card
        assert stage.data_sets == (data_set.name,)
    assert card.count(f"Data: {data_set.name}") == 2
    run = json.loads((trained.run / "run.json").read_text())
    assert f"(fingerprint `{run['data'][:16]}`)" in card
    plain = json.dumps(run["recipe"], sort_keys=True, separators=(",", ":")).encode()
    assert hashlib.sha256(plain).hexdigest() == record.recipe_sha256
    assert hashlib.sha256((trained.pretrained / "weights.safetensors").read_bytes()).hexdigest() == record.start.sha256
    assert "The images named in these lists were excluded from training: left\\_out.txt." in card


def test_the_card_states_what_is_not_known(trained: Trained, tiny_weights: Path) -> None:
    assert "Not evaluated on any benchmark." in _card(trained, evaluated=False)
    assert "model-index" not in front_matter(_card(trained, evaluated=False))
    bare = gather_release(tiny_weights, "user/model", "other", ()).card
    assert "The weights file does not record its training." in bare
    assert "example.png" not in bare
    assert "A licence without an identifier on the Hub" in bare
    record = _facts(trained).header.training
    assert record
    orphan = replace(record, start=StartingWeights(sha256="ab" * 32, training=None))
    card = render_card(replace(_facts(trained), header=replace(_facts(trained).header, training=orphan)))
    assert "It started from weights whose training is not recorded (SHA-256 `abababababababab`)." in card


def test_the_example_states_whether_the_run_may_have_trained_on_it(trained: Trained) -> None:
    assert "Crops of images that were held out of training, after 8 steps" in _card(trained)
    content = gather_release(trained.run, "user/model", "mit", ()).files["example.png"]
    assert content == trained.run / "previews" / "step-00000008.png"
    card = render_card(replace(_facts(trained), example=CardExample(step=8, held_out=False)))
    assert "this only shows that the network runs, not how good it is" in card


def test_datasets_on_the_hub_are_linked_and_folders_are_not(trained: Trained) -> None:
    facts = _facts(trained)
    record = facts.header.training
    assert record
    two_datasets = replace(record, data_sets=("user/far", "near"))
    card = render_card(replace(facts, header=replace(facts.header, training=two_datasets)))
    assert front_matter(card)["datasets"] == ["user/far"]


def test_verdicts_on_harm_by_several_orientations_are_refused(trained: Trained, harm: Path, tmp_path: Path) -> None:
    results = json.loads((harm / "results.json").read_text())
    (tmp_path / "results.json").write_text(json.dumps(results | {"self_ensemble": 2}))
    with pytest.raises(UsageError, match=r"results\.json is of protocol harm with --self-ensemble"):
        gather_release(trained.run, "user/model", "mit", [tmp_path])


def test_harm_has_a_table_and_a_verdict_for_each_variant_and_is_no_result_of_the_hub(
    trained: Trained, harm: Path
) -> None:
    release = gather_release(trained.run, "user/model", "mit", (*trained.evaluations, harm))
    html = MarkdownIt("commonmark").enable("table").render(release.card.split("---\n", 2)[2])
    results = json.loads((harm / "results.json").read_text())
    section = html[html.index("<h2>Harm</h2>") : html.index("<h2>Results</h2>")]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", section, re.DOTALL)][1:]
    assert len(rows) == len(results["results"]) == 5 * 3
    for cells, row in zip(rows, results["results"], strict=True):
        is_input = row["variant"] == "input"
        gains = ["–", "–"] if is_input else [f"{row['gain'][name]:+.2f}" for name in ("mean", "worst")]
        assert cells == [
            f"*bench* {row['degradation']}", row["variant"], "2", f"{row['psnr']['mean']:.2f}", *gains,
            *(f"{row[name]['mean']:+.2f}" for name in ("brightness", "red", "green", "blue")),
        ]  # fmt: skip
    for variant, verdict in results["harm"]["variants"].items():
        assert not verdict["passes"]  # it has seen noise of σ 25 alone, for eight steps
        said = ", ".join(verdict["reasons"]).replace("<", "&lt;")
        assert f"<li><strong>{variant} fails</strong>: {said}.</li>" in section
    assert {"results/harm.json", "results/harm.csv"} <= release.files.keys()
    assert "harm" not in json.dumps(front_matter(release.card))
    assert "<h2>Harm</h2>" not in _card(trained)
    passing = CardEvaluation.read(harm, results["weights"]["sha256"])
    assert passing.harm
    all_pass = replace(passing, harm=replace(passing.harm, verdicts={"S": (), "L": ()}))
    assert "- **S passes**.\n- **L passes**.\n" in render_card(replace(_facts(trained), evaluations=(all_pass,)))


def test_results_of_harm_that_were_changed_by_hand_are_one_line(trained: Trained, harm: Path, tmp_path: Path) -> None:
    results = json.loads((harm / "results.json").read_text())
    for damage in ({"harm": {}}, {"harm": {"variants": [], "limits": 3}}, {"results": [{"benchmark": "a"}]}):
        (tmp_path / "results.json").write_text(json.dumps(results | damage))
        with pytest.raises(UsageError, match="was not written by `dynet evaluate`"):
            CardEvaluation.read(tmp_path, results["weights"]["sha256"])


def test_the_card_says_what_the_weights_are_meant_for(trained: Trained, tiny_weights: Path) -> None:
    assert "**Meant for:** Gaussian noise (σ 25)." in _card(trained)
    bare = gather_release(tiny_weights, "user/model", "mit", ()).card
    assert "**Meant for:** not recorded" in bare
    facts = _facts(trained)
    record = facts.header.training
    assert record
    tasks = {
        "clean": {"pairs": False, "degradations": [{"kind": "none"}]},
        "rain*": {"pairs": True, "degradations": []},
        "dejpeg": {"pairs": False, "degradations": [{"kind": "jpeg", "quality": [10, 40]}], "then": [{"kind": "<b>"}]},
    }
    changed = replace(record, recipe={**record.recipe, "tasks": {n: {"weight": 1, **t} for n, t in tasks.items()}})
    card = render_card(replace(facts, header=replace(facts.header, training=changed)))
    html = MarkdownIt("commonmark").render(card.split("---\n", 2)[2])
    said = html[html.index("Meant for:") :].partition("Other")[0]
    assert "clean images; what the pairs of task rain* show; JPEG compression (quality 10 to 40), also followed" in said
    assert "&lt;b&gt;" in said
    assert "dejpeg (jpeg, then &lt;b&gt;, weight 1)" in html


@pytest.mark.parametrize("clean", [None, 39.0, 50.0])
def test_a_warning_says_if_clean_input_was_never_validated_or_comes_out_changed(
    trained: Trained, clean: float | None
) -> None:
    facts = _facts(trained)
    record = facts.header.training
    assert record
    assert record.validated
    psnr = {task: scores for task, scores in record.validated.psnr.items() if task != "clean"}
    if clean is not None:
        psnr["clean"] = {"S": 60.0, "L": clean}
    record = replace(record, validated=replace(record.validated, psnr=psnr))
    card = render_card(replace(facts, header=replace(facts.header, training=record)))
    warnings = [line for line in card.splitlines() if "**Warning:**" in line]
    assert len(warnings) == (clean != 50.0)
    if clean is None:
        assert "nothing says that these weights were validated on clean images" in warnings[0]
    if clean == 39.0:
        assert "in validation L 39.0 dB" in warnings[0]


def test_text_from_outside_is_shown_literally(trained: Trained) -> None:
    facts = _facts(trained)
    record = facts.header.training
    assert record
    malicious = "a<script>|`b`\n# c [d](http://e) *f*"
    record = replace(record, data_sets=(malicious,))
    card = render_card(replace(facts, header=replace(facts.header, training=record)))
    html = MarkdownIt("commonmark").enable("table").render(card.split("---\n", 2)[2])
    assert "a&lt;script&gt;|`b` # c [d](http://e) *f*" in html


def test_a_figure_that_is_not_finite_is_shown_as_a_dash(trained: Trained) -> None:
    digest = hashlib.sha256((trained.run / "weights.safetensors").read_bytes()).hexdigest()
    evaluation = CardEvaluation.read(trained.evaluations[0], digest)
    task = replace(
        evaluation.tasks[0], scores={"input": CardScore(psnr=20.0, ssim=0.5), "L": CardScore(psnr=None, ssim=1.0)}
    )
    card = render_card(replace(_facts(trained), evaluations=(replace(evaluation, tasks=(task,), means={}),)))
    assert "| 20.00 / 0.5000 | – / 1.0000 |" in card
    assert [result.metric_type for result in ModelCard(card).data.eval_results or ()] == ["ssim"]


def test_cost_and_size_equal_the_published_figures() -> None:
    """The released code has 29.65 and 43.18 GMACs at 128×128 and 16.6 M parameters."""
    default = DyNet().architecture
    assert count_gmacs(default, SMALL, 128) == pytest.approx(29.65, abs=0.005)
    assert count_gmacs(default, LARGE, 128) == pytest.approx(43.18, abs=0.005)
    assert count_parameters(default) == 16_613_135


def test_the_card_of_a_network_in_memory_claims_nothing(tiny: DyNet, tmp_path: Path) -> None:
    tiny.save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert "No licence is given: ask the publisher of these weights" in card
    assert "license" not in front_matter(card)
    (tmp_path / "README.md").write_text("mine")
    tiny.save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"  # the mixin keeps an existing card


def test_the_card_of_converted_weights_states_their_origin(tiny: DyNet) -> None:
    header = WeightsHeader(
        architecture=tiny.architecture, variants=tiny.variants, notes={"converted_from": "model.ckpt"}
    )
    card = render_card(CardFacts(repo_id="user/model", licence="other", header=header, with_cost=False))
    assert "Converted with `dynet convert` from a checkpoint of the paper authors' released code" in card


def test_the_validation_of_averaged_weights_is_called_that_of_the_last_run(trained: Trained) -> None:
    facts = _facts(trained)
    averaged = replace(facts.header, notes={**facts.header.notes, "average_of": "1234, 5678"})
    assert "\nValidation of these weights on held-out images" in render_card(facts)
    card = render_card(replace(facts, header=averaged))
    assert "\nThese weights are the mean of several. Validation of the last run on held-out images" in card


def test_the_same_facts_give_the_same_card(trained: Trained) -> None:
    assert _card(trained) == _card(trained)
