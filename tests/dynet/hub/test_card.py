"""The model card, as `huggingface_hub` reads it and as a person does."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from dynet import LARGE, SMALL, DyNet
from dynet.evaluation import evaluate, report
from dynet.hub import evaluations
from dynet.hub.card import CardFacts, Example, render_card
from dynet.hub.evaluations import Evaluated, Score
from dynet.hub.release import gather
from dynet.hub.size import gmacs, parameters
from dynet.model.training_record import Start
from dynet.model.weights import Header, read_header
from tests.dynet.hub.conftest import Trained, front_matter


def _card(trained: Trained, *, evaluated: bool = True) -> str:
    return gather(trained.run, "user/model", "cc-by-4.0", trained.evaluations if evaluated else ()).card


def _facts(trained: Trained) -> CardFacts:
    header = read_header(trained.run / "weights.safetensors")
    return CardFacts(repo_id="user/model", licence="mit", header=header, counted=False)


def test_the_hub_reads_licence_task_and_results_off_the_card(trained: Trained) -> None:
    data = ModelCard(_card(trained)).data
    assert (data.license, data.library_name, data.pipeline_tag) == ("cc-by-4.0", "dynet", "image-to-image")
    assert data.model_name == "model"
    found = {(one.dataset_name, one.metric_type, one.metric_name): one.metric_value for one in data.eval_results or ()}
    assert len(found) == 2 * 2 * 2 * 2  # protocols, sigmas, variants, metrics
    for folder, protocol in zip(trained.evaluations, ("aio-paper", "strict"), strict=True):
        for row in json.loads((folder / "results.json").read_text())["results"]:
            if row["variant"] == "input":
                continue
            key = (f"bench σ{row['sigma']:g}", "psnr", f"PSNR ({row['variant']}, {protocol})")
            assert found[key] == pytest.approx(row["psnr"]["mean"], abs=5e-4)


def test_every_figure_of_the_evaluations_stands_in_a_table(trained: Trained) -> None:
    html = MarkdownIt("commonmark").enable("table").render(_card(trained).split("---\n", 2)[2])
    cells = re.findall(r"<td[^>]*>(.*?)</td>", html)
    for folder in trained.evaluations:
        told = json.loads((folder / "results.json").read_text())
        for row in told["results"]:
            assert f"{row['psnr']['mean']:.2f} / {row['ssim']['mean']:.4f}" in cells
        for row in told["mean_over_tasks"]:
            assert f"{row['psnr']:.2f} / {row['ssim']:.4f}" in cells
    assert html.count("<table>") == 4  # variants, validation, two protocols
    assert "|" not in re.sub(r"<pre>.*?</pre>", "", html, flags=re.DOTALL)  # no table fell apart


def test_both_stages_their_data_and_their_recipes_are_told(trained: Trained, data_set: Path) -> None:
    card, record = _card(trained), read_header(trained.run / "weights.safetensors").training
    assert record
    assert record.start
    assert record.start.training
    assert "1. **Pre-training**, 8 steps" in card
    assert "2. **Fine-tuning**, 8 steps" in card
    for one in (record, record.start.training):
        assert one.recipe_sha256[:16] in card
        assert one.data_sets == (data_set.name,)
    assert card.count(f"Data: {data_set.name}") == 2
    told = json.loads((trained.run / "run.json").read_text())
    assert f"(fingerprint `{told['data'][:16]}`)" in card
    plain = json.dumps(told["recipe"], sort_keys=True, separators=(",", ":")).encode()
    assert hashlib.sha256(plain).hexdigest() == record.recipe_sha256
    assert hashlib.sha256((trained.pretrained / "weights.safetensors").read_bytes()).hexdigest() == record.start.sha256
    assert "Left out of training were pictures with the names in left\\_out.txt." in card


def test_what_is_not_known_is_said(trained: Trained, tiny_weights: Path) -> None:
    assert "Not evaluated on any benchmark." in _card(trained, evaluated=False)
    assert "model-index" not in front_matter(_card(trained, evaluated=False))
    bare = gather(tiny_weights, "user/model", "other", ()).card
    assert "The weights file says nothing of how it was trained." in bare
    assert "example.png" not in bare
    assert "Not one that the Hub has an identifier for" in bare
    record = _facts(trained).header.training
    assert record
    orphan = replace(record, start=Start(sha256="ab" * 32, training=None))
    card = render_card(replace(_facts(trained), header=replace(_facts(trained).header, training=orphan)))
    assert "It began from weights whose training is not recorded (SHA-256 `abababababababab`)." in card


def test_an_example_says_whether_the_run_may_have_trained_on_it(trained: Trained) -> None:
    assert "Crops of pictures that were held out of training, after 8 steps" in _card(trained)
    content = gather(trained.run, "user/model", "mit", ()).files["example.png"]
    assert content == trained.run / "previews" / "step-00000008.png"
    card = render_card(replace(_facts(trained), example=Example(step=8, held_out=False)))
    assert "this shows that the network runs and not how good it is" in card


def test_data_sets_on_the_hub_are_linked_and_folders_are_not(trained: Trained) -> None:
    facts = _facts(trained)
    record = facts.header.training
    assert record
    told = replace(record, data_sets=("user/far", "near"))
    card = render_card(replace(facts, header=replace(facts.header, training=told)))
    assert front_matter(card)["datasets"] == ["user/far"]


def test_words_of_others_show_as_themselves_and_do_nothing(trained: Trained) -> None:
    facts = _facts(trained)
    record = facts.header.training
    assert record
    evil = "a<script>|`b`\n# c [d](http://e) *f*"
    told = replace(record, data_sets=(evil,))
    card = render_card(replace(facts, header=replace(facts.header, training=told)))
    html = MarkdownIt("commonmark").enable("table").render(card.split("---\n", 2)[2])
    assert "a&lt;script&gt;|`b` # c [d](http://e) *f*" in html


def test_a_figure_that_is_not_finite_is_a_dash(trained: Trained) -> None:
    digest = hashlib.sha256((trained.run / "weights.safetensors").read_bytes()).hexdigest()
    told = Evaluated.read(trained.evaluations[0], digest)
    task = replace(told.tasks[0], scores={"input": Score(psnr=20.0, ssim=0.5), "L": Score(psnr=None, ssim=1.0)})
    card = render_card(replace(_facts(trained), evaluations=(replace(told, tasks=(task,), means={}),)))
    assert "| 20.00 / 0.5000 | – / 1.0000 |" in card
    assert [one.metric_type for one in ModelCard(card).data.eval_results or ()] == ["ssim"]


def test_cost_and_size_are_the_published_ones() -> None:
    """Counts of the released code, in the paper's reference: 29.65 and 43.18 GMACs at 128×128, 16.6 M parameters."""
    with_defaults = DyNet().architecture
    assert gmacs(with_defaults, SMALL, 128) == pytest.approx(29.65, abs=0.005)
    assert gmacs(with_defaults, LARGE, 128) == pytest.approx(43.18, abs=0.005)
    assert parameters(with_defaults) == 16_613_135


def test_a_card_of_a_network_in_memory_claims_nothing(tiny: DyNet, tmp_path: Path) -> None:
    tiny.save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert "None is given: ask whoever published these weights" in card
    assert "license" not in front_matter(card)
    (tmp_path / "README.md").write_text("mine")
    tiny.save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"  # by the mixin's rule


def test_names_that_are_said_twice_are_the_same() -> None:
    assert (evaluations.INPUT, evaluations.JSON, evaluations.CSV) == (evaluate.INPUT, report.JSON, report.CSV)


def test_the_card_of_converted_weights_says_where_they_are_from(tiny: DyNet) -> None:
    header = Header(architecture=tiny.architecture, variants=tiny.variants, notes={"converted_from": "model.ckpt"})
    card = render_card(CardFacts(repo_id="user/model", licence="other", header=header, counted=False))
    assert "Converted from a checkpoint of the code that the paper's authors released" in card


def test_the_same_facts_give_the_same_card(trained: Trained) -> None:
    assert _card(trained) == _card(trained)
