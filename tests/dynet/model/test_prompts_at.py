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


def test_on_the_skips_and_in_the_decoder_are_as_large_and_the_others_smaller() -> None:
    sizes = {place: sum(parameter.numel() for parameter in _network(place).parameters()) for place in PLACES}
    assert sizes["skips"] == sizes["decoder"] > sizes["latent"] > sizes["none"]
    assert DyNet().architecture.prompts_at == "skips"


@pytest.mark.parametrize("place", PLACES)
def test_every_parameter_learns_in_both_variants(place: str) -> None:
    for variant in (SMALL, LARGE):
        model = _network(place)
        picture = torch.rand(1, 3, 21, 30)
        restored = model(picture, variant)
        assert restored.shape == picture.shape
        restored.square().sum().backward()
        assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


def test_the_places_give_different_pictures_from_the_same_weights() -> None:
    skips, decoder = _network("skips"), _network("decoder")
    decoder.load_state_dict(skips.state_dict())
    picture = torch.rand(1, 3, 24, 24)
    assert not torch.allclose(skips(picture), decoder(picture), atol=1e-4)


@pytest.mark.parametrize("place", PLACES)
def test_weights_know_their_place(place: str, tmp_path: Path) -> None:
    model = _network(place)
    model.save(tmp_path / "weights.safetensors")
    # The paper's network is described as before there were others.
    assert ("prompts_at" in read_header(tmp_path / "weights.safetensors").architecture.header_fields()) == (
        place != "skips"
    )
    loaded = DyNet.from_pretrained(tmp_path)
    picture = torch.rand(1, 3, 17, 40)
    assert torch.equal(loaded(picture), model(picture))
    use_local_statistics(loaded, 64, torch.float32)
    with torch.inference_mode():
        assert loaded(torch.rand(1, 3, 96, 80)).isfinite().all()


def test_a_place_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="prompts_at is one of skips, decoder, latent, none, not 'encoder'"):
        Architecture(**TINY, refinement_blocks=1, prompts_at="encoder")  # type: ignore[arg-type]
