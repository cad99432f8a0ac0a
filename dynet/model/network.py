"""The whole of DyNet: four levels with one shared block each, prompts on the skips, depth chosen at every call."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import torch
from huggingface_hub import ModelCard, ModelHubMixin
from torch import Tensor, nn
from torch.nn import functional as F

from dynet.errors import WeightsError
from dynet.model.blocks import Downsample, TransformerBlock, Upsample
from dynet.model.hub_download import CONFIG_FILE, HubAccess
from dynet.model.prompts import PromptBlock
from dynet.model.training_record import TrainingRecord
from dynet.model.variant_network import VariantNetwork, check_images
from dynet.model.variants import LARGE, SMALL, Variant
from dynet.model.weights import (
    FILE_NAME,
    Architecture,
    PromptsAt,
    WeightsHeader,
    check_tensors_fit,
    locate_weights,
    read_header,
    read_tensors,
    write_weights,
)
from dynet.runtime.atomic_files import write_atomically

STRIDE = 8  # three halvings: height and width are padded to a multiple of this


class DyNet(VariantNetwork, ModelHubMixin, library_name="dynet", pipeline_tag="image-to-image"):
    """An image-restoration network whose depth is chosen per call, on one set of weights.

    Each level has one transformer block, which is applied as often as the variant's reuse schedule says. Any height and
    width from 1 pixel work; the network is meant for 16 pixels and more.

    `from_pretrained`, `save_pretrained` and `push_to_hub` are those of `huggingface_hub.ModelHubMixin`, with our own
    weights file. `.to(device)` and `.to(dtype)` are torch's.

    Attributes:
        architecture: The shape of the network.
        variants: The variants that the weights were trained with; saved with the weights.
    """

    architecture: Architecture

    def __init__(
        self,
        dim: int = 48,
        heads: tuple[int, int, int, int] = (1, 2, 4, 8),
        prompts: int = 5,
        prompt_channels: tuple[int, int, int] = (64, 128, 320),
        prompt_sizes: tuple[int, int, int] = (64, 32, 16),
        refinement_blocks: int = 4,
        per_repeat: int = 0,
        prompts_at: PromptsAt = "skips",
    ) -> None:
        """Build the network with random weights; the defaults are the paper's.

        Args:
            dim: Channels of level 1.
            heads: Attention heads of levels 1, 2, 3 and of the latent.
            prompts: Learnt prompts of each prompt block.
            prompt_channels: Channels of a prompt at level 2, level 3 and the latent.
            prompt_sizes: Height and width of a prompt at level 2, level 3 and the latent.
            refinement_blocks: Blocks after the decoder.
            per_repeat: The number of repeats of each level's block that learn their own norms and temperature, as
                differences from the shared ones; later repeats use the last of them (relaxed recursive transformers,
                arXiv 2410.20672). The differences start at zero, which is the network without them.
            prompts_at: `skips` is the paper's network, with prompts on the skips and at the latent. `decoder` has the
                same blocks after the levels of the decoder, as PromptIR does. `latent` has only the one at the latent,
                `none` has no prompts.
        """
        super().__init__()
        self.architecture = Architecture(
            dim=dim,
            heads=heads,
            prompts=prompts,
            prompt_channels=prompt_channels,
            prompt_sizes=prompt_sizes,
            refinement_blocks=refinement_blocks,
            per_repeat=per_repeat,
            prompts_at=prompts_at,
        )
        self.variants: tuple[Variant, ...] = (SMALL, LARGE)
        self._add_layers()

    def _add_layers(self) -> None:
        """Create the layers of `architecture`; their order decides the initial weights that a seed gives."""
        shape, dim, heads = self.architecture, self.architecture.dim, self.architecture.heads
        self.embed = nn.Conv2d(3, dim, 3, padding=1, bias=False)
        self.encoder1 = TransformerBlock(dim, heads[0], shape.per_repeat)
        self.down1 = Downsample(dim)
        self.encoder2 = TransformerBlock(dim * 2, heads[1], shape.per_repeat)
        self.down2 = Downsample(dim * 2)
        self.encoder3 = TransformerBlock(dim * 4, heads[2], shape.per_repeat)
        self.down3 = Downsample(dim * 4)
        self.latent = TransformerBlock(dim * 8, heads[3], shape.per_repeat)

        self.prompt_skip2, self.prompt_skip3, self.prompt_latent = self._prompts()

        self.up3 = Upsample(dim * 4)
        self.reduce3 = nn.Conv2d(dim * 6, dim * 4, 1, bias=False)
        self.decoder3 = TransformerBlock(dim * 4, heads[2], shape.per_repeat)
        self.up2 = Upsample(dim * 4)
        self.reduce2 = nn.Conv2d(dim * 4, dim * 2, 1, bias=False)
        self.decoder2 = TransformerBlock(dim * 2, heads[1], shape.per_repeat)
        self.up1 = Upsample(dim * 2)
        self.decoder1 = TransformerBlock(dim * 2, heads[0], shape.per_repeat)
        self.refinement = nn.Sequential(*(TransformerBlock(dim * 2, heads[0]) for _ in range(shape.refinement_blocks)))
        self.output = nn.Conv2d(dim * 2, 3, 3, padding=1, bias=False)

    @property
    def gradient_checkpointing(self) -> bool:
        """Whether training recomputes each repeat of a block in the backward pass instead of keeping its features."""
        return all(block.gradient_checkpointing for block in self.blocks())

    @gradient_checkpointing.setter
    def gradient_checkpointing(self, enabled: bool) -> None:
        for block in self.blocks():
            block.gradient_checkpointing = enabled

    def blocks(self) -> Iterator[TransformerBlock]:
        """Return all transformer blocks: those of the levels, of the prompts, and of the refinement."""
        return (module for module in self.modules() if isinstance(module, TransformerBlock))

    def _prompts(self) -> tuple[nn.Module, nn.Module, nn.Module]:
        """Return the prompts of level 2, level 3 and the latent, or what is in their place.

        Without prompts, features pass unchanged; at the latent a convolution halves the channels instead.
        """
        shape, dim = self.architecture, self.architecture.dim

        def prompt(index: int, channels: int, out_channels: int) -> PromptBlock:
            size = {"prompt_channels": shape.prompt_channels[index], "prompt_size": shape.prompt_sizes[index]}
            return PromptBlock(channels, out_channels, prompts=shape.prompts, **size)

        beside_latent: tuple[nn.Module, nn.Module] = (nn.Identity(), nn.Identity())
        if shape.prompts_at in ("skips", "decoder"):
            beside_latent = prompt(0, dim * 2, dim * 2), prompt(1, dim * 4, dim * 4)
        if shape.prompts_at == "none":
            return *beside_latent, nn.Conv2d(dim * 8, dim * 4, 1, bias=False)
        return *beside_latent, prompt(2, dim * 8, dim * 4)

    def forward(self, x: Tensor, variant: Variant | str = LARGE) -> Tensor:
        """Restore images.

        The correction is cropped to the size of the input and then added to the input itself, so the internal padding
        loses nothing of the image.

        Args:
            x: (B, 3, H, W) float, sRGB in [0, 1].
            variant: The depth: any `Variant`, or the name of one of the weights.

        Returns:
            The restored images, of the same shape, not clamped to [0, 1].

        Raises:
            UsageError: `x` is no such tensor, or the weights have no variant of this name.
        """
        check_images(x, self.embed.weight)
        if not isinstance(variant, Variant):
            variant = self.named_variant(variant)
        height, width = x.shape[-2:]
        correction = self._correction(pad_to_stride(x), variant)
        return x + correction[..., :height, :width]

    def _correction(self, x: Tensor, variant: Variant) -> Tensor:
        """Return what to add to x (B, 3, H, W), H and W multiples of 8. c below is the base width, `dim`."""
        repeats = variant.schedule
        level1 = self.encoder1(self.embed(x), repeats.level1)  # (B, c, H, W)
        level2 = self.encoder2(self.down1(level1), repeats.level2)  # (B, 2c, H/2, W/2)
        level3 = self.encoder3(self.down2(level2), repeats.level3)  # (B, 4c, H/4, W/4)
        latent = self.latent(self.down3(level3), repeats.latent)  # (B, 8c, H/8, W/8)
        prompted = self.prompt_latent(latent)  # (B, 4c, H/8, W/8)

        in_decoder = self.architecture.prompts_at == "decoder"
        skip3 = level3 if in_decoder else self.prompt_skip3(level3)
        joined = torch.cat([self.up3(prompted), skip3], dim=1)  # (B, 2c + 4c, H/4, W/4)
        x = self.decoder3(self.reduce3(joined), repeats.level3)  # (B, 4c, H/4, W/4)
        x = self.prompt_skip3(x) if in_decoder else x
        skip2 = level2 if in_decoder else self.prompt_skip2(level2)
        joined = torch.cat([self.up2(x), skip2], dim=1)  # (B, 2c + 2c, H/2, W/2)
        x = self.decoder2(self.reduce2(joined), repeats.level2)  # (B, 2c, H/2, W/2)
        x = self.prompt_skip2(x) if in_decoder else x
        x = torch.cat([self.up1(x), level1], dim=1)  # (B, c + c, H, W)
        x = self.decoder1(x, repeats.level1)  # (B, 2c, H, W)
        correction: Tensor = self.output(self.refinement(x))  # (B, 3, H, W)
        return correction

    @classmethod
    def from_architecture(cls, architecture: Architecture) -> Self:
        """Return a network of this shape with random weights."""
        fields = dataclasses.fields(architecture)
        return cls(**{field.name: getattr(architecture, field.name) for field in fields})

    @classmethod
    def from_pretrained(  # type: ignore[override]  # a misspelt keyword is an error, and not passed on
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
        per_repeat: int | None = None,
    ) -> Self:
        """Load trained weights.

        Args:
            pretrained_model_name_or_path: A weights file, a folder with `weights.safetensors` (such as a RUN), the name
                of shipped weights, or a repository user/name on the Hub.
            force_download: Download even if the file is in the cache. This and the following arguments are those of
                `huggingface_hub`, and matter for a repository only.
            token: The token for the Hub.
            cache_dir: The folder of the cache.
            local_files_only: Use the cache only.
            revision: A branch, a tag or a commit.
            per_repeat: The number of untied repeats, at least that of the file. The network still computes exactly the
                same as the one in the file.

        Returns:
            The network on the CPU, in float32 for a file of any type, in evaluation mode.

        Raises:
            WeightsError: The weights are missing, damaged or of another network.
        """
        access = HubAccess(
            token=token, cache_dir=cache_dir, force_download=force_download, local_files_only=local_files_only
        )
        path = locate_weights(pretrained_model_name_or_path, revision, access)
        header = read_header(path)
        architecture, tensors = header.architecture, read_tensors(path)
        if per_repeat is not None and per_repeat != architecture.per_repeat:
            if per_repeat < architecture.per_repeat:
                raise WeightsError(f"{path}: its per_repeat of {architecture.per_repeat} does not go into {per_repeat}")
            architecture = dataclasses.replace(architecture, per_repeat=per_repeat)
        with torch.device("meta"):  # shapes only: a file may describe a network too large for memory
            check_tensors_fit(path, cls.from_architecture(header.architecture).state_dict(), tensors)
        model = cls.from_architecture(architecture)
        if architecture != header.architecture:
            tensors = _extend_repeats(tensors, model.state_dict(), header.architecture.per_repeat)
        model.load_state_dict(tensors)
        model.variants = header.variants
        return model.eval()

    def _save_pretrained(self, save_directory: Path) -> None:
        """Write the files of `save_pretrained` and `push_to_hub`; the mixin adds a README.md if there is none.

        Loading reads `weights.safetensors` only. `config.json` repeats the header inside it: the Hub counts downloads
        by requests for that file, and people read it.
        """
        self.save(save_directory / FILE_NAME)
        header = read_header(save_directory / FILE_NAME).as_object()
        write_atomically(save_directory / CONFIG_FILE, json.dumps(header, indent=1) + "\n")

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Upload weights, configuration and a card to a model on the Hub in one commit; create the model if needed.

        The card says nothing about training and evaluation; `dynet publish` writes one that does.

        Args:
            repo_id: The model, as user/name.
            options: `private`, `branch`, `commit_message`, `token`, `create_pr` and the other arguments of
                `huggingface_hub.ModelHubMixin.push_to_hub`. `model_card_kwargs={"licence": …}` sets the licence;
                without it the card says that none is given.

        Returns:
            The URL of the commit.

        Raises:
            HfHubHTTPError: The Hub refuses it; the other errors of `huggingface_hub` are raised as they are, too.
        """
        card_options = {"repo_id": repo_id} | (options.pop("model_card_kwargs", None) or {})
        return super().push_to_hub(repo_id, model_card_kwargs=card_options, **options)

    def generate_model_card(self, *, repo_id: str = "user/name", licence: str | None = None) -> ModelCard:
        """Return the card that `save_pretrained` writes: what the network is, and nothing about its training."""
        from dynet.model.card import network_values, render_template

        header = WeightsHeader(architecture=self.architecture, variants=self.variants, notes={})
        parameters = sum(parameter.numel() for parameter in self.parameters())
        return ModelCard(render_template(network_values(header, parameters, repo_id, licence)))

    def save(
        self,
        path: str | Path,
        *,
        notes: Mapping[str, str] | None = None,
        training: TrainingRecord | None = None,
    ) -> None:
        """Write one weights file.

        Args:
            path: The file.
            notes: Strings to store in its metadata.
            training: How the weights were trained.

        Raises:
            WriteError: The file cannot be written; an older file is unchanged.
        """
        header = WeightsHeader(
            architecture=self.architecture, variants=self.variants, notes=notes or {}, training=training
        )
        write_weights(Path(path), self.state_dict(), header)


def pad_to_stride(x: Tensor) -> Tensor:
    """Pad x (B, C, H, W) at the right and bottom to multiples of 8, by reflection.

    A side that is too short to reflect (under 5 pixels at worst) repeats its last row or column instead.
    """
    height, width = x.shape[-2:]
    down, right = -height % STRIDE, -width % STRIDE
    if right:
        x = F.pad(x, (0, right, 0, 0), mode="reflect" if right < width else "replicate")
    if down:
        x = F.pad(x, (0, 0, 0, down), mode="reflect" if down < height else "replicate")
    return x


def _extend_repeats(tensors: Mapping[str, Tensor], fresh: Mapping[str, Tensor], old: int) -> dict[str, Tensor]:
    """Return the tensors with as many rows per untied parameter as the fresh ones have, instead of `old` rows.

    Repeats after the last row used the last row, so each new row is a copy of it, or zero where there was no row.
    """
    extended = dict(tensors)
    for name, zeros in fresh.items():
        if not name.rpartition(".")[2].startswith("repeat_"):
            continue
        if not old:
            extended[name] = zeros
        elif name in tensors:
            extended[name] = torch.cat([tensors[name], tensors[name][-1:].expand_as(zeros[old:])])
    return extended
