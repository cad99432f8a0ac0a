"""The architecture DyNet for spandrel's registries."""

from collections.abc import Mapping
from typing import Any

from spandrel import Architecture, ArchRegistry, ArchSupport, ImageModelDescriptor, ModelTiling, SizeRequirements

from dynet.spandrel.file_settings import FORMAT_KEY, SCHEDULE_KEY
from dynet.spandrel.network import SpandrelNetwork

ARCHITECTURE_ID = "DyNet"


class DyNetArch(Architecture):  # type: ignore[misc]  # spandrel has no types
    """Detection and loading of files that `dynet export --format spandrel` wrote."""

    def __init__(self) -> None:
        super().__init__(id=ARCHITECTURE_ID, detect=is_dynet)

    def load(self, state_dict: Mapping[str, Any]) -> Any:
        """Return an ImageModelDescriptor for the tensors of a file: restoration, from 3 to 3 channels, of any size.

        float16 is refused, since sums over pixels in attention exceed its range from some 128² pixels on; with local
        statistics, which are computed in float32, so is bfloat16.

        Raises:
            WeightsError: The settings in the file are unusable, or do not fit its tensors.
        """
        network = SpandrelNetwork.from_state_dict(state_dict)
        settings = network.settings
        return ImageModelDescriptor(
            network,
            state_dict,
            architecture=self,
            purpose="Restoration",
            tags=[settings.variant.name, f"{settings.architecture.dim}dim"],
            supports_half=False,
            supports_bfloat16=settings.local_statistics is None,
            scale=1,
            input_channels=3,
            output_channels=3,
            # The network itself pads; what spandrel would add is another rule for the smallest images.
            size_requirements=SizeRequirements(),
            tiling=ModelTiling.SUPPORTED,
        )


def is_dynet(state_dict: Mapping[str, Any]) -> bool:
    """Return whether these are the tensors of a file for spandrel; no other architecture has such names."""
    return FORMAT_KEY in state_dict and SCHEDULE_KEY in state_dict


def add_dynet(registry: ArchRegistry) -> None:
    """Add DyNet to a registry, to be detected before all that are in it; nothing changes where it is already."""
    if ARCHITECTURE_ID not in registry:
        others = tuple(support.architecture.id for support in registry.architectures())
        registry.add(ArchSupport.from_architecture(DyNetArch(), before=others))
