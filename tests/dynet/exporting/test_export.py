"""Exported files compared with torch, run by onnxruntime and torch.export."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dynet import LARGE, SMALL, DyNet, Variant, __version__
from dynet.errors import UsageError, WriteError
from dynet.exporting import export, onnx_file, pt2_file
from dynet.exporting.export import FORMATS, MAX_DIFFERENCE, max_differences, write_verified
from dynet.exporting.files import plan_files
from dynet.exporting.one_variant import SMALLEST, OneVariant, padded_indices
from dynet.exporting.to_files import export_to_files
from dynet.model.network import pad_to_stride
from tests.dynet.exporting.conftest import MIXED, ONCE, ROOT, largest, network

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

pytestmark = pytest.mark.timeout(900)  # torch needs most of a minute to trace even a narrow network

Command = Callable[..., tuple[int, str, str]]
SHAPES = ((1, 64, 64), (1, 321, 481), (2, 37, 53), (1, 9, 200), (3, 3, 2))


@pytest.mark.parametrize("size", range(1, 34))
def test_padded_indices_equal_the_padding_of_the_network(size: int) -> None:
    rows = torch.arange(float(size)).view(1, 1, size, 1).expand(1, 1, size, 8)
    assert padded_indices(size).tolist() == pad_to_stride(rows)[0, 0, :, 0].tolist()


@pytest.mark.parametrize("size", [(1, 1), (3, 9), (16, 24), (37, 53)], ids=str)
def test_the_exported_form_equals_the_network_bit_for_bit(size: tuple[int, int]) -> None:
    model, image = network(per_repeat=2), torch.rand(2, 3, *size)
    with torch.no_grad():
        assert torch.equal(OneVariant(model, MIXED)(image), model(image, MIXED))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_onnxruntime_gives_the_results_of_torch_at_any_size(
    narrow: tuple[Path, str], shape: tuple[int, int, int]
) -> None:
    assert largest(onnx_file.load(narrow[0]), network(), ONCE, shape) <= MAX_DIFFERENCE


def test_an_onnx_file_describes_itself(narrow: tuple[Path, str], weights: Path) -> None:
    model = onnx.load(narrow[0])
    onnx.checker.check_model(model, full_check=True)
    image, restored = model.graph.input[0], model.graph.output[0]
    assert (image.name, restored.name) == ("image", "restored")
    for value in (image, restored):
        axes = value.type.tensor_type.shape.dim
        assert [axis.dim_param or axis.dim_value for axis in axes] == ["batch", 3, "height", "width"]
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    assert model.ir_version == 8 == onnx.helper.find_min_ir_version_for(model.opset_import)
    assert {entry.key: entry.value for entry in model.metadata_props} == {
        "dynet": __version__,
        "variant": "once",
        "schedule": "1,1,1,1",
        "weights_sha256": sha256(weights.read_bytes()).hexdigest(),
        "licence": "cc-by-4.0",
    }


def test_an_onnx_file_contains_no_path_of_the_machine(narrow: tuple[Path, str]) -> None:
    content = narrow[0].read_bytes()
    assert [word for word in (b".py", b"File ", str(ROOT).encode()) if word in content] == []


def test_onnxruntime_joins_the_operators_of_each_gelu_again(narrow: tuple[Path, str], tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # it warns that the file fits this machine only
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(narrow[0], options, providers=["CPUExecutionProvider"])
    operators = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    # 7 blocks of levels, 3 of prompts, 1 of the refinement.
    assert (operators.count("Gelu"), operators.count("Erf")) == (11, 0)


def test_the_command_prints_each_difference_and_the_file(narrow: tuple[Path, str]) -> None:
    *compared, last = narrow[1].splitlines()
    assert last == str(narrow[0])
    matches = [
        re.fullmatch(r".*once\.onnx: at most (\S+) from torch for (\d) of (\d+)x(\d+) pixels", line)
        for line in compared
    ]
    shapes = [(int(match[2]), int(match[4]), int(match[3])) for match in matches if match]
    assert shapes == list(FORMATS["onnx"].test_shapes)
    assert max(float(match[1]) for match in matches if match) <= MAX_DIFFERENCE


def test_the_example_of_the_docs_runs_without_torch_and_dynet(
    narrow: tuple[Path, str], tmp_path: Path, photographs: list[np.ndarray]
) -> None:
    page = (ROOT / "docs" / "exporting.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(import numpy.*?)^```", page, re.DOTALL | re.MULTILINE)
    Image.fromarray(photographs[3][:75, :110]).save(tmp_path / "holiday.jpg")
    (tmp_path / "S.onnx").write_bytes(narrow[0].read_bytes())
    hide = "import sys\nsys.modules.update(torch=None, dynet=None)\n"
    subprocess.run([sys.executable, "-c", hide + code], cwd=tmp_path, check=True)
    with torch.no_grad():
        image = torch.tensor(np.asarray(Image.open(tmp_path / "holiday.jpg"))).permute(2, 0, 1)[None] / 255
        expected = network()(image, ONCE)[0].clamp(0, 1).mul(255).round().permute(1, 2, 0).numpy()
    restored = np.asarray(Image.open(tmp_path / "restored.png"), dtype=np.float32)
    assert np.abs(restored - expected).max() <= 1  # of 255: both may round a value in different directions


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_untied_repeats_and_several_variants_are_exported_to_one_file_each(tmp_path: Path) -> None:
    model = network(per_repeat=2)
    files = plan_files("onnx", tmp_path / "files", model.variants, overwrite=False)
    exported = list(export.export(model, {"dynet": "0"}, FORMATS["onnx"], files))
    assert [entry.path.name for entry in exported] == ["once.onnx", "mixed.onnx"]
    for entry in exported:
        assert largest(onnx_file.load(entry.path), model, entry.variant, (1, 45, 67)) <= MAX_DIFFERENCE
    other = onnx_file.load(files[ONCE])
    assert largest(other, model, MIXED, (1, 45, 67)) > MAX_DIFFERENCE  # so the comparison can tell variants apart


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_a_program_of_torch_export_gives_the_results_of_torch_at_any_size_from_9(
    dynet_command: Command, tmp_path: Path, weights: Path
) -> None:
    out = tmp_path / "once.pt2"
    options = ("--weights", weights, "--variants", "once", "--format", "torch-export")
    code, _, err = dynet_command("export", *options, "--out", out)
    assert code == 0, err
    model, run = network(), pt2_file.load(out)
    for shape in ((1, 9, 9), (1, 64, 64), (1, 37, 53), (1, 321, 481)):
        assert largest(run, model, ONCE, shape) <= MAX_DIFFERENCE
    with pytest.raises(AssertionError, match=f">= {SMALLEST}"):
        run(torch.rand(1, 3, 8, 40))
    metadata = {pt2_file.METADATA_FILE: ""}
    torch.export.load(out, extra_files=metadata)
    assert json.loads(metadata[pt2_file.METADATA_FILE])["variant"] == "once"
    assert str(ROOT).encode() not in out.read_bytes()


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("variant", [SMALL, LARGE], ids=lambda variant: variant.name)
def test_the_network_of_the_paper_is_exported_at_its_full_width(tmp_path: Path, variant: Variant) -> None:
    torch.manual_seed(0)
    model = DyNet().eval()
    files = plan_files("onnx", tmp_path / "full.onnx", (variant,), overwrite=False)
    (exported,) = export.export(model, {"dynet": "0"}, FORMATS["onnx"], files)
    run = onnx_file.load(exported.path)
    for shape in ((1, 64, 64), (1, 37, 53), (1, 321, 481)):
        assert largest(run, model, variant, shape) <= MAX_DIFFERENCE


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--variants", "once", "--format", "onxx", "--out", "f.onnx"], "onxx"),
        (["--variants", "XL", "--format", "onnx", "--out", "f.onnx"], "no variant 'XL'"),
        (["--variants", "once", "--format", "onnx", "--out", "f.pt2"], "--out f.pt2: must be a file"),
        (["--variants", "once", "--format", "torch-export", "--out", "f.onnx"], "ends in .pt2 for one variant"),
        (["--variants", "once", "--format", "onnx", "--out", "there.onnx"], "there.onnx already exists; --overwrite"),
        (["--variants", "once", "--format", "onnx", "--out", "there.onnx/f.onnx"], "cannot write files to"),
        (["--variants", "once,mixed", "--format", "onnx", "--out", "f.onnx"], "must be a folder for several variants"),
        (["--variants", "once,mixed", "--format", "onnx", "--out", "there"], "once.onnx already exists; --overwrite"),
        (["--variants", "once,mixed", "--out", "folders", "--overwrite"], "folders/once.onnx is a folder"),
        (["--format", "ncnn", "--out", "folders/N.param", "--overwrite"], "folders/N.bin is a folder"),
        (["--format", "torch-export", "--out", os.fsdecode(b"caf\xe9.pt2")], "is not UTF-8"),
        (["--format", "onnx", "--out", os.fsdecode(b"caf\xe9/S.onnx")], "is not UTF-8"),
    ],
    ids=str,
)
def test_a_usage_error_is_one_line_and_exit_code_2(
    dynet_command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    weights: Path,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    for folder in ("once.onnx", "N.bin"):
        (tmp_path / "folders" / folder).mkdir(parents=True)
    for file in ("there.onnx", "there/once.onnx"):
        (tmp_path / file).write_text("kept")
    code, stdout, err = dynet_command("export", "--weights", weights, *arguments)
    assert (code, stdout, err.count("\n")) == (2, "", 1), err
    assert message in err
    files = sorted(path.name for path in tmp_path.rglob("*") if not path.is_relative_to(tmp_path / "folders"))
    assert files == ["once.onnx", "there", "there.onnx"]
    assert (tmp_path / "there.onnx").read_text() == "kept"


def test_missing_weights_are_one_line_and_exit_code_2(dynet_command: Command, tmp_path: Path) -> None:
    code, _, err = dynet_command("export", "--weights", tmp_path / "no.safetensors", "--out", tmp_path / "f.onnx")
    assert (code, err.count("\n"), list(tmp_path.iterdir())) == (2, 1, [])
    assert "no.safetensors" in err


def test_a_missing_package_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UsageError, match=r"^onnxscript is not installed: pip install 'million-ird\[export\]'$"):
        plan_files("onnx", tmp_path / "f.onnx", (ONCE,), overwrite=False)
    plan_files("torch-export", tmp_path / "f.pt2", (ONCE,), overwrite=False)


@pytest.mark.parametrize("difference", [1.01 * MAX_DIFFERENCE, float("nan")])
def test_a_file_that_differs_from_torch_is_discarded_and_the_old_file_is_kept(
    tmp_path: Path, difference: float
) -> None:
    path = tmp_path / "f.onnx"
    path.write_text("before")
    compared: list[bytes] = []

    def compare(file: Path) -> dict[tuple[int, int, int], float]:
        compared.append(file.read_bytes())
        return {(1, 64, 64): 0.0, (1, 37, 53): difference}

    with pytest.raises(
        WriteError, match=r"f\.onnx is discarded: for 1 of 53x37 pixels its results differ from torch by"
    ):
        write_verified({path: b"after"}, compare)
    assert (compared, path.read_text(), list(tmp_path.iterdir())) == ([b"after"], "before", [path])


def test_a_nan_value_gives_a_nan_difference() -> None:
    differences = max_differences(lambda image: image / 0 * 0, lambda image: image, ((1, 2, 3),))
    assert not differences[1, 2, 3] <= MAX_DIFFERENCE


def test_a_full_disk_is_one_line_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "f.onnx"
    path.write_text("before")
    code = (
        "import resource, signal, sys; from pathlib import Path; from dynet.exporting.export import write_verified\n"
        "from dynet.errors import WriteError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    write_verified({Path(sys.argv[1]): bytes(2000)}, lambda file: {})\n"
        "except WriteError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.startswith(f"{path} cannot be written: "), done.stderr
    assert done.stdout.count("\n") == 1
    assert (path.read_text(), list(tmp_path.iterdir())) == ("before", [path])


def test_weights_are_not_replaced_by_what_is_made_of_them(weights: Path, tmp_path: Path) -> None:
    own = tmp_path / "weights.safetensors"
    own.write_bytes(weights.read_bytes())
    (tmp_path / "linked.safetensors").symlink_to(own)
    for out in (own, tmp_path / "linked.safetensors"):
        with pytest.raises(UsageError, match="would replace the weights"):
            list(export_to_files(str(own), out, "once", "spandrel", local_statistics=None, overwrite=True))
    assert own.read_bytes() == weights.read_bytes()


def test_weights_are_not_replaced_by_the_second_file_of_a_format(weights: Path, tmp_path: Path) -> None:
    pytest.importorskip("ncnn")
    own = tmp_path / "N.bin"
    own.write_bytes(weights.read_bytes())
    with pytest.raises(UsageError, match="would replace the weights"):
        list(export_to_files(str(own), tmp_path / "N.param", "once", "ncnn", local_statistics=None, overwrite=True))
