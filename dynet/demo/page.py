"""The page: controls on the left, before and after on the right, and the functions behind the controls."""

import math
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI
from PIL import Image

from dynet.degradations.strengths import CHOICES, MAX_SEED, AddedDegradation
from dynet.demo.examples import write_examples
from dynet.demo.html import (
    HEAD,
    NO_RESULT,
    TITLE,
    describe_image,
    describe_times,
    error_line,
    figures_table,
    status_line,
    warning_line,
    weights_line,
)
from dynet.demo.request_filter import RequestFilter
from dynet.demo.restorer import Comparison, Restorer, VariantResult
from dynet.demo.theme import NAME_IMAGES_SCRIPT, STYLE, theme
from dynet.demo.uploads import PNG, PageFolder, UploadLimits, displayable_file, read_upload
from dynet.errors import DyNetError, ImageError, UsageError
from dynet.inference.decoded_image import DecodedImage
from dynet.inference.images import read_image, write_image
from dynet.model.clean_input import clean_input_warning
from dynet.model.variants import Variant

NONE = "none"
ALL = "*"  # no variant has this name
FIRST = "gaussian_noise"
"""The degradation that is chosen at first, in the middle of its range: noise of σ 25."""
MAX_WAITING = 8
"""How many requests may wait; further ones are rejected with the message that the queue is full."""
MAX_NAME_LENGTH = 60
"""How many characters of an image's name a download keeps, so that file systems accept the whole name."""

Upload = dict[str, Any] | None  # as gradio sends it: a path that the filter has checked, and the original file name


class DemoPage:
    """The parts of the page and their functions; all visitors share one."""

    def __init__(self, restorer: Restorer, limits: UploadLimits, folder: PageFolder) -> None:
        self.restorer = restorer
        self.limits = limits
        self.folder = folder
        self.variants: tuple[Variant, ...] = tuple(restorer.model.variants)
        with gr.Blocks(title=TITLE, analytics_enabled=False) as self.blocks:
            gr.HTML(HEAD, elem_id="head")
            names = [variant.name for variant in self.variants]
            gr.HTML(weights_line(restorer.name, restorer.training, names), elem_id="weights")
            warning = clean_input_warning(restorer.training, names)
            self.warning = gr.HTML(warning_line(warning), elem_id="warning", visible=warning is not None)
            with gr.Row(equal_height=False):
                with gr.Column(scale=4, min_width=320):
                    self._controls(write_examples(folder.path / "examples", int(limits.megapixels * 1e6)))
                with gr.Column(scale=7, min_width=320):
                    self._results()
            self._events()
        self.blocks.queue(max_size=MAX_WAITING, default_concurrency_limit=1, api_open=False)
        folder.keep_present_files()

    def _controls(self, examples: list[Path]) -> None:
        self.image = gr.Image(
            label="Image",
            type="filepath",
            image_mode=None,
            sources=["upload"],
            buttons=[],
            height=300,
            placeholder="Drop an image here, or click to choose one",
            elem_id="image",
            alt_text="The image to restore",
        )
        self.example_files = examples
        self.examples = gr.Dataset(
            components=[self.image],
            samples=[[str(path)] for path in self.example_files],
            type="index",
            label="Examples",
            elem_id="examples",
        )
        self.kind = gr.Dropdown(
            [("None", NONE), *((choice.label, kind) for kind, choice in CHOICES.items())],
            value=FIRST,
            label="Degradation to add",
            elem_id="kind",
            filterable=False,
        )
        with gr.Row() as self.settings:
            self.strength = gr.Slider(**_strength_of(FIRST), elem_id="strength", scale=2, min_width=160)
            self.seed = gr.Number(
                0, label="Seed", precision=0, minimum=0, maximum=MAX_SEED, elem_id="seed", scale=1, min_width=90
            )
        names = [variant.name for variant in self.variants]
        all_variants = [(f"{', '.join(names[:-1])} and {names[-1]}", ALL)] if len(names) > 1 else []
        self.variant = gr.Radio([*((name, name) for name in names), *all_variants], value=names[-1], label="Variant")
        self.button = gr.Button("Restore", variant="primary", elem_id="restore")
        self.message = gr.HTML("", elem_id="message")

    def _results(self) -> None:
        self.sliders, self.downloads = [], []
        for variant in self.variants:
            self.sliders.append(
                gr.ImageSlider(
                    label=f"Before | after {variant.name}",
                    type="filepath",
                    interactive=False,
                    visible=False,
                    buttons=["fullscreen"],
                    max_height=640,
                    elem_id=f"slider-{variant.name}",
                )
            )
        with gr.Row(elem_id="downloads"):
            for variant in self.variants:
                self.downloads.append(
                    gr.DownloadButton(
                        f"Download {variant.name} as PNG", visible=False, size="md", elem_id=f"download-{variant.name}"
                    )
                )
        self.figures = gr.HTML(NO_RESULT, elem_id="figures")

    def _events(self) -> None:
        private: dict[str, Any] = {"api_visibility": "private"}
        raw = private | {"preprocess": False}  # otherwise gradio would decode the image before its size is checked
        self.kind.change(_settings_of, self.kind, [self.settings, self.strength], **private)
        self.image.upload(self.receive, self.image, [self.image, self.message], **raw)
        self.image.clear(lambda: "", None, self.message, **private)
        self.examples.click(self.choose_example, self.examples, [self.image, self.message], **private)
        self.button.click(
            self.restore,
            [self.image, self.kind, self.strength, self.seed, self.variant],
            [self.message, self.figures, *self.sliders, *self.downloads],
            show_progress_on=[self.message],
            **raw,
        )

    def choose_example(self, number: int) -> tuple[str, str]:
        """Return the file of an example, and a line about it."""
        path = self.example_files[number]
        return str(path), status_line(describe_image(path.name, read_image(path)))

    def receive(self, upload: Upload) -> tuple[Any, str]:
        """Return the file to show for an upload, and a line about it; None removes an upload that cannot be read."""
        try:
            path, name = _path_and_name(upload)
            image = read_upload(path, name, self.limits)
            with self.folder.new_folder() as folder:
                shown = displayable_file(path, image, folder)
        except (ImageError, OSError) as error:
            return None, error_line(str(error))
        return (gr.skip() if shown == path else str(shown)), status_line(describe_image(name, image))

    def restore(
        self,
        upload: Upload,
        kind: object,
        strength: object,
        seed: object,
        variant: object,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  # gradio recognises such a default value
    ) -> list[Any]:
        """Return the message, the figures, and the updates of each variant's slider and download."""
        try:
            path, name = _path_and_name(upload)
            degradation = None
            if kind != NONE:
                degradation = _added(kind, strength, seed)
            variants = [known for known in self.variants if variant in (ALL, known.name)]
            if not variants:
                raise UsageError("There is no such variant.")
            comparison = self.restorer.compare(
                read_upload(path, name, self.limits),
                degradation,
                variants,
                lambda note, fraction: progress(fraction, desc=note),
            )
            with self.folder.new_folder() as folder:
                updates = self._write_results(folder, path.stem[:MAX_NAME_LENGTH], comparison)
        except (DyNetError, OSError) as error:
            return [error_line(str(error)), *[gr.skip()] * (1 + 2 * len(self.variants))]
        table = figures_table(name, comparison, degradation, self.restorer.device.type, self.restorer.memory)
        return [status_line(describe_times(comparison)), table, *updates]

    def _write_results(self, folder: Path, stem: str, comparison: Comparison) -> list[Any]:
        """Write the files of the results, and return the updates of each variant's slider and download."""
        before = _write_preview(folder / "before.png", comparison.before)
        by_name = {result.variant: result for result in comparison.results}
        hidden = gr.update(visible=False)
        results = [by_name.get(variant.name) for variant in self.variants]
        sliders = [_slider(before, folder, result) if result else hidden for result in results]
        downloads = [_download(folder, stem, result) if result else hidden for result in results]
        return [*sliders, *downloads]


def create_app(restorer: Restorer, limits: UploadLimits, folder: PageFolder, *, loopback: bool) -> RequestFilter:
    """Return the page as an ASGI application behind its filter; gradio's GRADIO_TEMP_DIR must be the folder."""
    page = DemoPage(restorer, limits, folder)
    app = gr.mount_gradio_app(
        FastAPI(openapi_url=None),
        page.blocks,
        path="/",
        footer_links=[],
        run_history=False,
        root_path="",
        allowed_paths=[],
        show_error=False,
        max_file_size=limits.file_bytes,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=theme(),
        css=STYLE,
        js=NAME_IMAGES_SCRIPT,
    )
    return RequestFilter(
        app,
        folder.path,
        max_upload_bytes=limits.file_bytes + 2**16,
        loopback=loopback,
        room_for=folder.room_for,
    )


def _strength_of(kind: str) -> dict[str, Any]:
    """Return range, value and label of the slider for a degradation, in the unit of its main parameter."""
    choice = CHOICES[kind]
    low, high = sorted(choice.ends)
    step = 10 ** math.floor(math.log10(high - low) - 1)
    label = f"Strength: {choice.unit}"
    return {"minimum": low, "maximum": high, "value": round(choice.middle, 6), "step": step, "label": label}


def _settings_of(kind: object) -> list[Any]:
    """Return the updates of the settings and of the slider when a degradation is chosen."""
    if not isinstance(kind, str) or kind not in CHOICES:
        return [gr.update(visible=False), gr.skip()]
    return [gr.update(visible=True), gr.update(**_strength_of(kind))]


def _added(kind: object, value: object, seed: object) -> AddedDegradation:
    """Return the degradation that a visitor asks for, with the number of the slider.

    Raises:
        UsageError: There is no such degradation, or a number is out of range.
    """
    if not isinstance(kind, str) or kind not in CHOICES:
        raise UsageError("There is no such degradation.")
    return AddedDegradation(kind, CHOICES[kind].strength_of(_number(value)), int(_number(seed)))


def _path_and_name(upload: Upload) -> tuple[Path, str]:
    """Return the file of an upload, and its name on the visitor's machine."""
    if not upload or not isinstance(upload.get("path"), str):
        raise ImageError("Choose an image first.")
    path = Path(upload["path"])
    return path, Path(str(upload.get("orig_name") or path.name)).name


def _number(value: object) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise UsageError("The strength and the seed must be numbers.") from error
    if number - number != 0:
        raise UsageError("The strength and the seed must be finite numbers.")
    return number


def _slider(before: Path, folder: Path, result: VariantResult) -> Any:
    after = _write_preview(folder / f"after-{result.variant}.png", result.image)
    return gr.update(value=(str(before), str(after)), visible=True)


def _download(folder: Path, stem: str, result: VariantResult) -> Any:
    path = folder / f"{stem}.{result.variant}.png"
    write_image(path, result.image, PNG)
    return gr.update(value=str(path), visible=True)


def _write_preview(path: Path, image: DecodedImage) -> Path:
    """Write an image with 8 bits and without alpha, so that the slider's front image covers the other."""
    profile = image.metadata.get("icc_profile")
    Image.fromarray(image.as_uint8_rgb()).save(path, compress_level=1, icc_profile=profile)
    return path
