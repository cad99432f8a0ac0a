"""DyNet, whole: four levels of one shared block each, prompts on the skips, depth chosen at every call."""

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

STRIDE = 8  # three halvings: what height and width are padded to inside


class DyNet(nn.Module, ModelHubMixin, library_name="dynet", pipeline_tag="image-to-image"):
    """An image-restoration network whose depth is chosen per call, on one set of weights.

    Each level has one transformer block that is applied as often as the variant's reuse schedule says. Any
    height and width from 1 pixel up work; from 16 up they are what the network is meant for.

    `from_pretrained`, `save_pretrained` and `push_to_hub` are those of `huggingface_hub.ModelHubMixin`, over our own
    weights file. `.to(device)` and `.to(dtype)` are torch's.
    """

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
        """Build with fresh weights; `prompt_channels` and `prompt_sizes` are for level 2, level 3 and the latent.

        `per_repeat`: so many repeats of each level's block learn, as differences to what they share, a norm and a
        temperature of their own; later repeats use the last (relaxed recursive transformers, arXiv 2410.20672).
        The differences start at zero, where the network is the one without them.

        `prompts_at`: `skips` is the paper's network, with prompts on the skips and at the latent; `decoder` has the
        same blocks after the decoder's levels instead, where PromptIR has them; `latent` has those at the latent
        alone; `none` has no prompts.
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
        self.variants: tuple[Variant, ...] = (SMALL, LARGE)  # those it was trained with; saved with the weights

        self.embed = nn.Conv2d(3, dim, 3, padding=1, bias=False)
        self.encoder1 = TransformerBlock(dim, heads[0], per_repeat)
        self.down1 = Downsample(dim)
        self.encoder2 = TransformerBlock(dim * 2, heads[1], per_repeat)
        self.down2 = Downsample(dim * 2)
        self.encoder3 = TransformerBlock(dim * 4, heads[2], per_repeat)
        self.down3 = Downsample(dim * 4)
        self.latent = TransformerBlock(dim * 8, heads[3], per_repeat)

        # What has no prompts passes features on; at the latent they also halve the channels.
        beside = prompts_at in ("skips", "decoder")
        self.prompt_skip2 = self._prompt(0, dim * 2, dim * 2) if beside else nn.Identity()
        self.prompt_skip3 = self._prompt(1, dim * 4, dim * 4) if beside else nn.Identity()
        self.prompt_latent = (
            self._prompt(2, dim * 8, dim * 4) if prompts_at != "none" else nn.Conv2d(dim * 8, dim * 4, 1, bias=False)
        )

        self.up3 = Upsample(dim * 4)
        self.reduce3 = nn.Conv2d(dim * 6, dim * 4, 1, bias=False)
        self.decoder3 = TransformerBlock(dim * 4, heads[2], per_repeat)
        self.up2 = Upsample(dim * 4)
        self.reduce2 = nn.Conv2d(dim * 4, dim * 2, 1, bias=False)
        self.decoder2 = TransformerBlock(dim * 2, heads[1], per_repeat)
        self.up1 = Upsample(dim * 2)
        self.decoder1 = TransformerBlock(dim * 2, heads[0], per_repeat)
        self.refinement = nn.Sequential(*(TransformerBlock(dim * 2, heads[0]) for _ in range(refinement_blocks)))
        self.output = nn.Conv2d(dim * 2, 3, 3, padding=1, bias=False)

    @property
    def gradient_checkpointing(self) -> bool:
        """Whether training computes each application of a block anew in the backward pass instead of keeping it."""
        return all(block.gradient_checkpointing for block in self.blocks())

    @gradient_checkpointing.setter
    def gradient_checkpointing(self, on: bool) -> None:
        for block in self.blocks():
            block.gradient_checkpointing = on

    def blocks(self) -> Iterator[TransformerBlock]:
        """All transformer blocks: those of the levels, of the prompts, and of the refinement."""
        return (module for module in self.modules() if isinstance(module, TransformerBlock))

    def _prompt(self, place: int, channels: int, out_channels: int) -> PromptBlock:
        shape = self.architecture
        return PromptBlock(
            channels,
            out_channels,
            prompts=shape.prompts,
            prompt_channels=shape.prompt_channels[place],
            prompt_size=shape.prompt_sizes[place],
        )

    def forward(self, x: Tensor, variant: Variant = LARGE) -> Tensor:
        """x: (B, 3, H, W) float in [0, 1] to the restored pictures, same shape, not clamped.

        The correction is cropped to the input's size and then added to the input itself, so padding inside loses
        nothing of the picture.
        """
        height, width = x.shape[-2:]
        correction = self._correction(pad_to_stride(x), variant)
        return x + correction[..., :height, :width]

    def _correction(self, x: Tensor, variant: Variant) -> Tensor:
        """x: (B, 3, H, W), H and W multiples of 8, to what should be added to it. c is the base width, `dim`."""
        times = variant.schedule
        level1 = self.encoder1(self.embed(x), times.level1)  # (B, c, H, W)
        level2 = self.encoder2(self.down1(level1), times.level2)  # (B, 2c, H/2, W/2)
        level3 = self.encoder3(self.down2(level2), times.level3)  # (B, 4c, H/4, W/4)
        latent = self.latent(self.down3(level3), times.latent)  # (B, 8c, H/8, W/8)
        prompted = self.prompt_latent(latent)  # (B, 4c, H/8, W/8)

        in_decoder = self.architecture.prompts_at == "decoder"
        skip3 = level3 if in_decoder else self.prompt_skip3(level3)
        joined = torch.cat([self.up3(prompted), skip3], dim=1)  # (B, 2c + 4c, H/4, W/4)
        x = self.decoder3(self.reduce3(joined), times.level3)  # (B, 4c, H/4, W/4)
        x = self.prompt_skip3(x) if in_decoder else x
        skip2 = level2 if in_decoder else self.prompt_skip2(level2)
        joined = torch.cat([self.up2(x), skip2], dim=1)  # (B, 2c + 2c, H/2, W/2)
        x = self.decoder2(self.reduce2(joined), times.level2)  # (B, 2c, H/2, W/2)
        x = self.prompt_skip2(x) if in_decoder else x
        x = torch.cat([self.up1(x), level1], dim=1)  # (B, c + c, H, W)
        x = self.decoder1(x, times.level1)  # (B, 2c, H, W)
        correction: Tensor = self.output(self.refinement(x))  # (B, 3, H, W)
        return correction

    @classmethod
    def from_architecture(cls, architecture: Architecture) -> Self:
        """A network of this shape with fresh weights."""
        fields = dataclasses.fields(architecture)
        return cls(**{field.name: getattr(architecture, field.name) for field in fields})

    @classmethod
    def from_pretrained(  # type: ignore[override]  # a keyword that is misspelt is refused, and not passed on
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
        """Load a weights file, a folder that holds `weights.safetensors` (a RUN is one), or a Hub repository user/name.

        The network is on the CPU, in float32 whatever the file's type, and in evaluation mode.

        With `per_repeat` the network has so many repeats of its own, at least as many as the file, and still does
        exactly what the file's does. The other arguments are those of `huggingface_hub`, and matter for a repository
        only: `revision` is a branch, a tag or a commit. Raises WeightsError.
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
        with torch.device("meta"):  # shapes alone: a file may claim a network that no memory holds
            check_tensors_fit(path, cls.from_architecture(header.architecture).state_dict(), tensors)
        model = cls.from_architecture(architecture)
        if architecture != header.architecture:
            tensors = _with_more_repeats(tensors, model.state_dict(), header.architecture.per_repeat)
        model.load_state_dict(tensors)
        model.variants = header.variants
        return model.eval()

    def _save_pretrained(self, save_directory: Path) -> None:
        """What `save_pretrained` and `push_to_hub` write, beside a README.md where there is none.

        `weights.safetensors` is all that loading reads. `config.json` says the same as the header inside it: the Hub
        counts downloads by requests for that file, and people read it.
        """
        self.save(save_directory / FILE_NAME)
        about = read_header(save_directory / FILE_NAME).as_object()
        write_atomically(save_directory / CONFIG_FILE, json.dumps(about, indent=1) + "\n")

    def push_to_hub(self, repo_id: str, **how: Any) -> str:
        """Write weights, configuration and a card to a model on the Hub, made if it is not there, in one commit.

        `how`: `private`, `branch`, `commit_message`, `token`, `create_pr` and the others of
        `huggingface_hub.ModelHubMixin.push_to_hub`; returns the commit's address. `model_card_kwargs={"licence": …}`
        names a licence; without it the card says that none is given. `dynet publish` also tells how the weights were
        trained and measured. Raises the errors of `huggingface_hub`.
        """
        told = {"repo_id": repo_id} | (how.pop("model_card_kwargs", None) or {})
        return super().push_to_hub(repo_id, model_card_kwargs=told, **how)

    def generate_model_card(self, *, repo_id: str = "user/name", licence: str | None = None) -> ModelCard:
        """The card that `save_pretrained` writes: what the network is, and nothing of how it was trained."""
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
        """Write one weights file; `notes` are strings to keep in its metadata, `training` how it was trained."""
        header = WeightsHeader(
            architecture=self.architecture, variants=self.variants, notes=notes or {}, training=training
        )
        write_weights(Path(path), self.state_dict(), header)


def pad_to_stride(x: Tensor) -> Tensor:
    """x: (B, C, H, W), H and W rounded up to multiples of 8 by reflection at the right and bottom.

    A side too short to reflect (under 5 pixels at worst) repeats its last row or column instead.
    """
    height, width = x.shape[-2:]
    down, right = -height % STRIDE, -width % STRIDE
    if right:
        x = F.pad(x, (0, right, 0, 0), mode="reflect" if right < width else "replicate")
    if down:
        x = F.pad(x, (0, 0, 0, down), mode="reflect" if down < height else "replicate")
    return x


def _with_more_repeats(tensors: Mapping[str, Tensor], fresh: Mapping[str, Tensor], old: int) -> dict[str, Tensor]:
    """The tensors with their `old` rows of each difference between repeats made as many as in the fresh ones.

    Repeats after the last row used that row before, so each new row is a copy of it, or zero where there was none.
    """
    grown = dict(tensors)
    for name, zeros in fresh.items():
        if not name.rpartition(".")[2].startswith("repeat_"):
            continue
        if not old:
            grown[name] = zeros
        elif name in tensors:
            grown[name] = torch.cat([tensors[name], tensors[name][-1:].expand_as(zeros[old:])])
    return grown
