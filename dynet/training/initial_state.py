"""What a run starts from: the device with its processes, and the network before the first step."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from dynet.config.recipe import AnyRecipe
from dynet.errors import OutOfMemory, UsageError
from dynet.model.network import DyNet
from dynet.runtime import memory
from dynet.runtime.memory import is_out_of_memory
from dynet.runtime.rng import integer_seed

if TYPE_CHECKING:
    from accelerate import Accelerator

    from dynet.runtime.devices import DeviceName


def make_accelerator(recipe: AnyRecipe, device: "DeviceName") -> "Accelerator":
    """Set up the device and the processes, deterministic on a GPU.

    Raises:
        UsageError: A batch of the recipe does not divide among the processes.
    """
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=device == "cpu", mixed_precision="bf16" if recipe.precision == "bf16" else "no")
    if accelerator.device.type == "cpu":
        memory.keep_freed_memory()
    if accelerator.device.type == "cuda":
        # Without it some kernels add up in the order in which threads arrive, and a resumed run would differ.
        torch.use_deterministic_algorithms(True)
        # Left on, it fills each new tensor by one more kernel, for the sake of code that reads uninitialised memory.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    for batch in {recipe.batch, *(phase.batch for phase in recipe.larger_crops)}:
        if batch % accelerator.num_processes:
            raise UsageError(f"batch: {batch} does not divide among {accelerator.num_processes} processes")
    return accelerator


def initial_network(recipe: AnyRecipe, init: Path | None) -> DyNet:
    """Return the network before the first step: weights drawn from the recipe's seed, or those of the file `init`.

    Raises:
        OutOfMemory: The network does not fit into memory.
    """
    if init is not None:
        model = DyNet.from_pretrained(init, per_repeat=recipe.network.per_repeat)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(integer_seed(recipe.seed, "weights"))
            try:
                model = DyNet.from_architecture(recipe.network.architecture())
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                raise OutOfMemory(f"out of memory: a network of dim: {recipe.network.dim} does not fit") from error
    model.variants = recipe.sampler().variants
    model.gradient_checkpointing = recipe.gradient_checkpointing
    return model.train()
