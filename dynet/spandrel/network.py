"""One variant of a DyNet as the module that programs with spandrel call: `module(image)`, no other argument."""

from collections.abc import Callable, Mapping
from typing import Self, cast

import torch
from torch import Tensor, nn

from dynet.errors import WeightsError
from dynet.inference.tlc import use_local_statistics
from dynet.model.network import DyNet
from dynet.model.weights import as_contiguous
from dynet.spandrel.file_settings import SpandrelSettings

_NETWORK = "network."


class SpandrelNetwork(nn.Module):
    """One variant of a network, with its settings as buffers, so that its state dict is the whole file.

    Without local statistics its output equals `model(image, variant)` bit for bit. With them it equals the output of a
    network after `dynet.inference.tlc.use_local_statistics`; it then runs in bands, in float32 and without gradients.
    """

    def __init__(self, network: DyNet, settings: SpandrelSettings) -> None:
        super().__init__()
        self.network = network
        self.settings = settings
        self._prepared_on: torch.device | None = None
        for name, tensor in settings.as_tensors().items():
            self.register_buffer(name, tensor)
        self.register_load_state_dict_post_hook(lambda *_: self._forget())  # type: ignore[no-untyped-call]

    @classmethod
    def from_state_dict(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Return a network of the shape that a file describes, with random weights.

        Raises:
            WeightsError: The file's settings are unusable, or do not fit its tensors.
        """
        settings = SpandrelSettings.from_tensors(tensors)
        with torch.device("meta"):  # shapes only: a file may describe a network too large for memory
            expected = DyNet.from_architecture(settings.architecture).state_dict()
        actual = {name.removeprefix(_NETWORK): tensor for name, tensor in tensors.items() if name.startswith(_NETWORK)}
        if wrong := sorted(name for name in expected.keys() | actual if not _same_shape(expected, actual, name)):
            raise WeightsError(f"a file of dynet for spandrel whose tensors do not fit its settings: first {wrong[0]}")
        return cls(DyNet.from_architecture(settings.architecture), settings)

    def forward(self, image: Tensor) -> Tensor:
        """Restore images, (B, 3, H, W) float of sRGB in [0, 1] of any size, to the same shape, not clamped."""
        window = self.settings.local_statistics
        if window is not None and self._prepared_on != image.device:
            use_local_statistics(self.network, window, torch.float32)
            self._prepared_on = image.device
        restored: Tensor = self.network(image, self.settings.variant)
        return restored

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._forget()
        return cast(Self, super()._apply(fn, recurse))  # type: ignore[no-untyped-call]

    def _forget(self) -> None:
        """Prepare the blocks anew at the next call: in bands they hold copies of the weights."""
        self._prepared_on = None


def state_dict_of(network: DyNet, settings: SpandrelSettings) -> dict[str, Tensor]:
    """Return the tensors of the file, contiguous and on the CPU."""
    return as_contiguous(SpandrelNetwork(network, settings).state_dict())


def _same_shape(expected: Mapping[str, Tensor], actual: Mapping[str, Tensor], name: str) -> bool:
    return name in expected and name in actual and expected[name].shape == actual[name].shape
