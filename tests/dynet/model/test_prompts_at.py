"""Where the prompts are: on the skips as in the paper, or elsewhere for studies."""

from pathlib import Path

import pytest
import torch

from dynet import LARGE, SMALL, DyNet
from dynet.inference.tlc import use_local_statistics
from dynet.model.weights import Architecture, read_header

TINY = {"dim": 4, "heads": (1, 1, 2, 2), "prompts": 3, "prompt_channels": (4, 4, 8), "prompt_sizes": (8, 4, 2)}
PLACES = ("skips", "decoder", "latent", "none")


def _network(place: str) -> DyNet:
    torch.manual_seed(0)
    return DyNet(**TINY, refinement_blocks=1, prompts_at=place).eval()  # type: ignore[arg-type]


def test_skips_and_decoder_have_the_same_size_and_the_others_are_smaller() -> None:
    sizes = {place: sum(parameter.numel() for parameter in _network(place).parameters()) for place in PLACES}
    assert sizes["skips"] == sizes["decoder"] > sizes["latent"] > sizes["none"]
    assert DyNet().architecture.prompts_at == "skips"


@pytest.mark.parametrize("place", PLACES)
def test_every_parameter_learns_in_both_variants(place: str) -> None:
    for variant in (SMALL, LARGE):
        model = _network(place)
        image = torch.rand(1, 3, 21, 30)
        restored = model(image, variant)
        assert restored.shape == image.shape
        restored.square().sum().backward()
        assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


def test_each_setting_computes_something_else_from_the_same_weights() -> None:
    skips, decoder = _network("skips"), _network("decoder")
    decoder.load_state_dict(skips.state_dict())
    image = torch.rand(1, 3, 24, 24)
    assert not torch.allclose(skips(image), decoder(image), atol=1e-4)


@pytest.mark.parametrize("place", PLACES)
def test_the_weights_file_stores_the_setting(place: str, tmp_path: Path) -> None:
    model = _network(place)
    model.save(tmp_path / "weights.safetensors")
    # The paper's network is described as before there were others.
    assert ("prompts_at" in read_header(tmp_path / "weights.safetensors").architecture.header_fields()) == (
        place != "skips"
    )
    loaded = DyNet.from_pretrained(tmp_path)
    image = torch.rand(1, 3, 17, 40)
    assert torch.equal(loaded(image), model(image))
    use_local_statistics(loaded, 64, torch.float32)
    with torch.inference_mode():
        assert loaded(torch.rand(1, 3, 96, 80)).isfinite().all()


def test_an_unknown_setting_is_an_error() -> None:
    with pytest.raises(ValueError, match="prompts_at is one of skips, decoder, latent, none, not 'encoder'"):
        Architecture(**TINY, refinement_blocks=1, prompts_at="encoder")  # type: ignore[arg-type]
