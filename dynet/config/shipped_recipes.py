"""The training recipes that come with the package, in `pipelines/`, and what each is for."""

from collections.abc import Mapping
from types import MappingProxyType

SHIPPED_RECIPES: Mapping[str, str] = MappingProxyType(
    {
        "demo_pretrain": "pre-training, a minute on two cores; not for real use",
        "demo_finetune": "noise, at the width of demo_pretrain; a minute on two cores",
        "dynet_laptop": "noise, JPEG and rain, blind: a small network for a machine without a GPU",
        "dynet_pretrain": "pre-training as in the paper: a million steps, needs a GPU",
        "dynet_finetune_noise": "Gaussian noise of three strengths, the protocol of PromptIR",
        "dynet_finetune_3task": "noise, rain and haze in one network, as published",
        "dynet_finetune_3task_strict": "the same, without training images that are in test sets",
        "dynet_finetune_5task": "noise, rain, haze, motion blur and low light, as published",
        "dynet_finetune_5task_strict": "the same, without training images that are in test sets",
    }
)
"""By the name that `--recipe` takes, without `.yaml`."""
