"""Files for spandrel as spandrel's own loader sees them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dynet import LARGE, SMALL, DyNet
from dynet.errors import WeightsError
from dynet.exporting.spandrel_file import serialise
from dynet.inference.tlc import use_local_statistics
from dynet.spandrel import register
from dynet.spandrel.architecture import ARCHITECTURE_ID
from dynet.spandrel.file_settings import SpandrelSettings
from tests.dynet.conftest import tiny_network

spandrel = pytest.importorskip("spandrel")

SIZES = ((1, 1), (2, 5), (37, 53), (64, 64), (71, 129))
SHAPES = (
    {},
    {"per_repeat": 2},
    {"prompts_at": "decoder"},
    {"prompts_at": "latent"},
    {"prompts_at": "none"},
    {"refinement_blocks": 0, "heads": (2, 2, 4, 8), "dim": 8},
)


@pytest.fixture(autouse=True)
def _registry_as_spandrel_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = spandrel.MAIN_REGISTRY
    for name in ("_architectures", "_ordered", "_by_id"):
        monkeypatch.setattr(registry, name, getattr(registry, name))


def written(folder: Path, model: DyNet, variant: object = SMALL, window: int | None = None) -> Path:
    file = folder / "w.safetensors"
    file.write_bytes(serialise(model, variant, {}, local_statistics=window))  # type: ignore[arg-type]
    return file


def pictures() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(1, 3, height, width, generator=generator) for height, width in SIZES]


@pytest.mark.parametrize("changes", SHAPES, ids=str)
@pytest.mark.parametrize("variant", [SMALL, LARGE], ids=lambda variant: variant.name)
def test_a_loaded_file_equals_the_network_bit_for_bit(
    variant: object, changes: dict[str, object], tmp_path: Path
) -> None:
    register()
    model = tiny_network(**changes)
    loaded = spandrel.ModelLoader().load_from_file(written(tmp_path, model, variant))
    assert isinstance(loaded, spandrel.ImageModelDescriptor)
    with torch.inference_mode():
        for picture in pictures():
            expected = model(picture, variant)
            assert torch.equal(loaded.model(picture), expected)
            assert torch.equal(loaded(picture), expected.clamp(0, 1))


def test_the_variants_differ_so_the_equality_above_means_something(tmp_path: Path) -> None:
    register()
    small, large = (
        spandrel.ModelLoader().load_from_file(written(tmp_path, tiny_network(), variant)) for variant in (SMALL, LARGE)
    )
    assert not torch.equal(small(pictures()[2]), large(pictures()[2]))


def test_local_statistics_of_a_file_equal_those_of_dynet_and_follow_the_device_and_the_weights(tmp_path: Path) -> None:
    register()
    model, picture = tiny_network(), pictures()[-1]
    loaded = spandrel.ModelLoader().load_from_file(written(tmp_path, model, SMALL, 64))
    plain = model(picture, SMALL).detach()
    use_local_statistics(model, 64, torch.float32)
    with torch.inference_mode():
        expected = model(picture, SMALL)
        assert torch.equal(loaded.model(picture), expected)
        assert not torch.allclose(expected, plain, atol=1e-4)  # the windows do something
        assert torch.equal(loaded.to("cpu").float().model(picture), expected)
        # Blocks in bands hold copies of the weights: new weights must replace these.
        changed = {
            name: tensor * 0.5 if name.startswith("network.") else tensor
            for name, tensor in loaded.model.state_dict().items()
        }
        loaded.model.load_state_dict(changed)
        assert not torch.equal(loaded.model(picture), expected)


def test_what_a_host_reads_off_the_descriptor(tmp_path: Path) -> None:
    register()
    loaded = spandrel.ModelLoader().load_from_file(written(tmp_path, tiny_network()))
    assert (loaded.scale, loaded.input_channels, loaded.output_channels, loaded.purpose) == (1, 3, 3, "Restoration")
    assert loaded.architecture.id == ARCHITECTURE_ID
    assert loaded.tags == ["S", "4dim"]
    assert loaded.size_requirements.none
    assert loaded.tiling is spandrel.ModelTiling.SUPPORTED


def test_bfloat16_is_close_to_float32_and_refused_where_it_is_not_computed(tmp_path: Path) -> None:
    register()
    model, picture = tiny_network(), pictures()[-1]
    loaded = spandrel.ModelLoader().load_from_file(written(tmp_path, model)).bfloat16()
    with torch.inference_mode():
        assert (loaded(picture.bfloat16()).float() - model(picture, SMALL).clamp(0, 1)).abs().max() < 0.03
    windowed = spandrel.ModelLoader().load_from_file(written(tmp_path, model, SMALL, 64))
    with pytest.raises(spandrel.UnsupportedDtypeError):
        windowed.bfloat16()
    with pytest.raises(spandrel.UnsupportedDtypeError):
        loaded.half()


def test_registering_twice_changes_nothing() -> None:
    before = len(spandrel.MAIN_REGISTRY)
    register()
    once = spandrel.MAIN_REGISTRY.architectures("detection")
    register()
    assert spandrel.MAIN_REGISTRY.architectures("detection") == once
    assert len(once) == before + 1
    assert once[0].architecture.id == ARCHITECTURE_ID


def test_no_other_architecture_takes_a_file_for_its_own(tmp_path: Path) -> None:
    tensors = load_file(written(tmp_path, tiny_network()))
    for support in spandrel.MAIN_REGISTRY.architectures():
        assert not support.detect(tensors), support.architecture.id


def test_no_foreign_file_is_taken_for_a_dynet(tmp_path: Path) -> None:
    register()
    ours = spandrel.MAIN_REGISTRY[ARCHITECTURE_ID]
    for foreign in (tiny_network().state_dict(), nn.Conv2d(3, 3, 3).state_dict(), {}):
        assert not ours.detect(foreign)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dynet_format": torch.tensor(2)}, "of format 2"),
        ({"reuse_schedule": torch.tensor([1, 1, 1])}, "unusable settings"),
        ({"reuse_schedule": torch.tensor([0, 1, 1, 1])}, "unusable settings"),
        ({"dynet_architecture_prompts_at": torch.tensor(9)}, "unusable settings"),
        ({"dynet_architecture_heads": torch.tensor([3, 3, 3, 3])}, "unusable settings"),
        ({"dynet_variant": torch.tensor([300])}, "unusable settings"),
        ({"dynet_architecture_dim": torch.tensor(100_000)}, "do not fit its settings"),
        ({"network.embed.weight": torch.zeros(4, 3, 5, 5)}, "do not fit its settings: first embed.weight"),
        ({"network.more": torch.zeros(1)}, "do not fit its settings: first more"),
    ],
    ids=str,
)
def test_a_damaged_file_is_one_line(change: dict[str, Tensor], words: str, tmp_path: Path) -> None:
    register()
    file = written(tmp_path, tiny_network())
    save_file(load_file(file) | change, file)
    with pytest.raises(WeightsError, match=words) as raised:
        spandrel.ModelLoader().load_from_file(file)
    assert "\n" not in str(raised.value)


def test_settings_survive_their_tensors() -> None:
    settings = SpandrelSettings(
        architecture=tiny_network(prompts_at="latent", per_repeat=1).architecture, variant=LARGE
    )
    assert SpandrelSettings.from_tensors(settings.as_tensors()) == settings
    windowed = replace(settings, local_statistics=192)
    assert SpandrelSettings.from_tensors(windowed.as_tensors()) == windowed
    assert windowed.as_tensors()["reuse_schedule"].shape == (4,)


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    assert serialise(tiny_network(), SMALL, {"b": "1", "a": "2"}) == serialise(
        tiny_network(), SMALL, {"a": "2", "b": "1"}
    )
