"""The page itself: controls on one side, before and after on the other, and what happens at a press of the button."""

from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI
from PIL import Image

from dynet.demo.degradations import MOST_SEED, OFFERS, Addition
from dynet.demo.examples import write_examples
from dynet.demo.folder import PageFolder
from dynet.demo.html import HEAD, NOTHING_YET, TITLE, described, done, fault, figures, said
from dynet.demo.request_filter import Gate
from dynet.demo.restorer import After, Comparison, Restorer
from dynet.demo.theme import NAMES_OF_PICTURES, STYLE, theme
from dynet.demo.uploads import PNG, Limits, as_shown, read_upload
from dynet.errors import DyNetError, PictureError, UsageError
from dynet.inference.images import Picture, read_picture, write_picture
from dynet.model.variants import Variant

NONE = "none"
ALL = "*"  # the name of no variant
MOST_WAITING = 8
"""Requests that may wait for the one that is worked on; more are told to come back."""
MOST_LETTERS = 60
"""Of a picture's name that its download keeps: with the rest of it, no longer than a file system takes."""

Upload = dict[str, Any] | None  # as gradio sends it: a path that the gate has seen, and the name that the file had


class Page:
    """The parts of the page, and what they do; one for all who open it."""

    def __init__(self, restorer: Restorer, limits: Limits, folder: PageFolder) -> None:
        self.restorer = restorer
        self.limits = limits
        self.folder = folder
        self.variants: tuple[Variant, ...] = tuple(restorer.model.variants)
        with gr.Blocks(title=TITLE, analytics_enabled=False) as self.blocks:
            gr.HTML(HEAD, elem_id="head")
            with gr.Row(equal_height=False):
                with gr.Column(scale=4, min_width=320):
                    self._controls(write_examples(folder.path / "examples", int(limits.megapixels * 1e6)))
                with gr.Column(scale=7, min_width=320):
                    self._results()
            self._events()
        self.blocks.queue(max_size=MOST_WAITING, default_concurrency_limit=1, api_open=False)
        folder.keep()

    def _controls(self, examples: list[Path]) -> None:
        self.picture = gr.Image(
            label="Picture",
            type="filepath",
            image_mode=None,
            sources=["upload"],
            buttons=[],
            height=300,
            placeholder="Drop a picture here, or click to choose one",
            elem_id="picture",
            alt_text="The picture to restore",
        )
        self.example_files = examples
        self.examples = gr.Dataset(
            components=[self.picture],
            samples=[[str(path)] for path in self.example_files],
            type="index",
            label="Examples",
            elem_id="examples",
        )
        self.kind = gr.Dropdown(
            [("None", NONE), *((offer.label, kind) for kind, offer in OFFERS.items())],
            value=NONE,
            label="Degradation to add",
            elem_id="kind",
            filterable=False,
        )
        with gr.Row(visible=False) as self.how:
            self.strength = gr.Slider(0, 100, 50, step=1, label="Strength", elem_id="strength", scale=2, min_width=160)
            self.seed = gr.Number(
                0, label="Seed", precision=0, minimum=0, maximum=MOST_SEED, elem_id="seed", scale=1, min_width=90
            )
        names = [variant.name for variant in self.variants]
        every = [(f"{', '.join(names[:-1])} and {names[-1]}", ALL)] if len(names) > 1 else []
        self.variant = gr.Radio([*((name, name) for name in names), *every], value=names[-1], label="Variant")
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
        self.figures = gr.HTML(NOTHING_YET, elem_id="figures")

    def _events(self) -> None:
        private: dict[str, Any] = {"api_visibility": "private"}
        raw = private | {"preprocess": False}  # gradio would decode the picture before its size is looked at
        self.kind.change(lambda kind: gr.update(visible=kind != NONE), self.kind, self.how, **private)
        self.picture.upload(self.receive, self.picture, [self.picture, self.message], **raw)
        self.picture.clear(lambda: "", None, self.message, **private)
        self.examples.click(self.choose, self.examples, [self.picture, self.message], **private)
        self.button.click(
            self.restore,
            [self.picture, self.kind, self.strength, self.seed, self.variant],
            [self.message, self.figures, *self.sliders, *self.downloads],
            show_progress_on=[self.message],
            **raw,
        )

    def choose(self, number: int) -> tuple[str, str]:
        """What is shown of an example, and a line about it."""
        path = self.example_files[number]
        return str(path), said(described(path.name, read_picture(path)))

    def receive(self, upload: Upload) -> tuple[Any, str]:
        """What is shown of an uploaded file, and a line about it; the picture is taken out again where it cannot be."""
        self.folder.remove_old()
        try:
            path, name = _located(upload)
            picture = read_upload(path, name, self.limits)
            with self.folder.writing() as new:
                shown = as_shown(path, picture, new)
        except (PictureError, OSError) as error:
            return None, fault(str(error))
        return (gr.skip() if shown == path else str(shown)), said(described(name, picture))

    def restore(
        self,
        upload: Upload,
        kind: object,
        strength: object,
        seed: object,
        chosen: object,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  # how gradio finds out that a function reports
    ) -> list[Any]:
        """The message, the figures, and for each variant what its slider and its download hold."""
        self.folder.remove_old()
        try:
            path, name = _located(upload)
            addition = None if kind == NONE else Addition(str(kind), _number(strength) / 100, int(_number(seed)))
            variants = [variant for variant in self.variants if chosen in (ALL, variant.name)]
            if not variants:
                raise UsageError("There is no such variant.")
            comparison = self.restorer.compare(
                read_upload(path, name, self.limits),
                addition,
                variants,
                lambda note, share: progress(share, desc=note),
            )
            with self.folder.writing() as new:
                files = self._files(new, path.stem[:MOST_LETTERS], comparison)
        except (DyNetError, OSError) as error:
            return [fault(str(error)), *[gr.skip()] * (1 + 2 * len(self.variants))]
        table = figures(name, comparison, addition, self.restorer.device.type, self.restorer.memory)
        return [said(done(comparison)), table, *files]

    def _files(self, folder: Path, stem: str, comparison: Comparison) -> list[Any]:
        """For each variant what its slider and its download hold, written into the folder."""
        before = _write_shown(folder / "before.png", comparison.before)
        after = {each.variant: each for each in comparison.after}
        hidden = gr.update(visible=False)
        made = [after.get(variant.name) for variant in self.variants]
        sliders = [_slider(before, folder, one) if one else hidden for one in made]
        downloads = [_download(folder, stem, one) if one else hidden for one in made]
        return [*sliders, *downloads]


def application(restorer: Restorer, limits: Limits, folder: PageFolder, *, loopback: bool) -> Gate:
    """The page as an ASGI application, behind its gate; gradio's GRADIO_TEMP_DIR is the folder."""
    page = Page(restorer, limits, folder)
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
        js=NAMES_OF_PICTURES,
    )
    return Gate(app, folder.path, most_upload=limits.file_bytes + 2**16, loopback=loopback)


def _located(upload: Upload) -> tuple[Path, str]:
    """The file of an upload, and the name that it had where it came from."""
    if not upload or not isinstance(upload.get("path"), str):
        raise PictureError("Choose a picture first.")
    path = Path(upload["path"])
    return path, Path(str(upload.get("orig_name") or path.name)).name


def _number(value: object) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise UsageError("The strength and the seed are numbers.") from error
    if number - number != 0:
        raise UsageError("The strength and the seed are finite numbers.")
    return number


def _slider(before: Path, folder: Path, after: After) -> Any:
    shown = _write_shown(folder / f"after-{after.variant}.png", after.picture)
    return gr.update(value=(str(before), str(shown)), visible=True)


def _download(folder: Path, stem: str, after: After) -> Any:
    path = folder / f"{stem}.{after.variant}.png"
    write_picture(path, after.picture, PNG)
    return gr.update(value=str(path), visible=True)


def _write_shown(path: Path, picture: Picture) -> Path:
    """In 8 bits and without alpha, so that the half of the slider in front covers the other."""
    profile = picture.carried.get("icc_profile")
    Image.fromarray(picture.as_levels()).save(path, compress_level=1, icc_profile=profile)
    return path
