"""ncnn files compared with torch, run by ncnn."""

from hashlib import sha256
from pathlib import Path

import pytest
import torch

from dynet import SMALL, DyNet, __version__
from dynet.errors import UsageError, WriteError
from dynet.exporting import export, ncnn_file
from dynet.exporting.export import FORMATS, MAX_DIFFERENCE, write_verified
from dynet.exporting.files import plan_files
from dynet.exporting.ncnn_form import SMALLEST, NcnnForm
from tests.dynet.exporting.conftest import MIXED, ONCE, ROOT, export_once, largest, network

pytestmark = pytest.mark.timeout(900)
SHAPES = ((1, SMALLEST, SMALLEST), (1, 9, 200), (1, 37, 53), (1, 64, 64), (1, 321, 481))


@pytest.fixture(scope="module")
def narrow_ncnn(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> tuple[Path, str]:
    """Write the two files with the command, and return the first with the command's output."""
    for module in ("ncnn", "pnnx"):
        pytest.importorskip(module)
    out = tmp_path_factory.mktemp("out") / "once.param"
    done = export_once(weights, "ncnn", out)
    assert "Warning" not in done.stderr
    return out, done.stdout


@pytest.mark.parametrize(
    "changes", [{}, {"per_repeat": 2}, *({"prompts_at": place} for place in ("decoder", "latent", "none"))], ids=str
)
@pytest.mark.parametrize("size", [(8, 8), (9, 15), (37, 53)], ids=str)
def test_the_form_for_ncnn_equals_the_network(size: tuple[int, int], changes: dict[str, object]) -> None:
    model, image = network(**changes), torch.rand(1, 3, *size)
    with torch.no_grad():
        expected = model(image, MIXED)
        assert (NcnnForm(model, MIXED)(image) - expected).abs().max() < 1e-5
        assert torch.equal(model(image, MIXED), expected)  # the network itself keeps its blocks


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_ncnn_gives_the_results_of_torch_at_any_size_from_8(
    narrow_ncnn: tuple[Path, str], shape: tuple[int, int, int]
) -> None:
    assert largest(ncnn_file.load(narrow_ncnn[0]), network(), ONCE, shape) <= MAX_DIFFERENCE


def test_the_input_layer_of_an_ncnn_file_is_named_after_the_weights(
    narrow_ncnn: tuple[Path, str], weights: Path
) -> None:
    path, printed = narrow_ncnn
    assert sorted(file.name for file in path.parent.iterdir()) == ["once.bin", "once.param"]
    assert printed.splitlines()[-1] == str(path)
    magic, _, first, *_ = path.read_text().splitlines()
    digest = sha256(weights.read_bytes()).hexdigest()
    name = f"dynet={__version__};variant=once;schedule=1,1,1,1;weights_sha256={digest}"
    assert (magic, first.split()) == ("7767517", ["Input", name, "0", "1", "in0"])
    assert str(ROOT) not in path.read_text()


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_the_network_of_the_paper_and_untied_repeats_are_exported_to_ncnn(tmp_path: Path) -> None:
    pytest.importorskip("ncnn")
    torch.manual_seed(0)
    for model, variant in ((network(per_repeat=2), MIXED), (DyNet().eval(), SMALL)):
        files = plan_files("ncnn", tmp_path / f"{variant.name}.param", (variant,), overwrite=False)
        (exported,) = export.export(model, {"dynet": "0"}, FORMATS["ncnn"], files)
        assert largest(ncnn_file.load(exported.path), model, variant, (1, 45, 67)) <= MAX_DIFFERENCE


def test_an_existing_file_of_weights_is_kept_unless_it_may_be_replaced(tmp_path: Path) -> None:
    pytest.importorskip("ncnn")
    (tmp_path / "S.bin").write_text("kept")
    with pytest.raises(UsageError, match=r"S\.bin already exists; --overwrite replaces it"):
        plan_files("ncnn", tmp_path / "S.param", (ONCE,), overwrite=False)


def test_two_files_are_both_written_or_neither(tmp_path: Path) -> None:
    paths = (tmp_path / "S.param", tmp_path / "S.bin")
    for path in paths:
        path.write_text("before")
    contents = dict(zip(paths, (b"layers", b"weights"), strict=True))
    seen: list[bytes] = []

    def compare(file: Path, difference: float) -> dict[tuple[int, int, int], float]:
        seen.extend((file.read_bytes(), file.with_suffix(".bin").read_bytes()))
        return {(1, 64, 64): difference}

    with pytest.raises(WriteError, match=r"S\.param is discarded"):
        write_verified(contents, lambda file: compare(file, 1.0))
    assert [path.read_text() for path in paths] == ["before", "before"]
    write_verified(contents, lambda file: compare(file, 0.0))
    assert [path.read_bytes() for path in paths] == [b"layers", b"weights"]
    assert seen == 2 * [b"layers", b"weights"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["S.bin", "S.param"]


def test_a_failure_of_pnnx_or_ncnn_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ncnn")
    pnnx = pytest.importorskip("pnnx")
    failing = tmp_path / "pnnx"
    failing.write_text("#!/bin/sh\necho one >&2\necho no such operator >&2\nexit 3\n")
    failing.chmod(0o755)
    monkeypatch.setattr(pnnx, "EXEC_PATH", str(failing))
    with pytest.raises(WriteError, match=r"^pnnx ended with status 3: no such operator$"):
        ncnn_file.serialise(network(), ONCE, {})
    (tmp_path / "f.param").write_text("7767517\n1 1\nTensor.reshape x 0 1 in0\n")
    (tmp_path / "f.bin").write_bytes(b"")
    with pytest.raises(WriteError, match=r"^f\.param: ncnn does not load"):
        ncnn_file.load(tmp_path / "f.param")
