"""The look of the page: the colours of the project's reports and the fonts of the visitor's system; no downloads."""

from typing import Any

import gradio as gr

_TEXT = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
_CODE = ("ui-monospace", "Consolas", "monospace")

_BLUE = gr.themes.Color(
    c50="#eef5fa",
    c100="#d8e8f2",
    c200="#b4d2e6",
    c300="#8fbcd9",
    c400="#6fb4e0",
    c500="#3a83b0",
    c600="#1f6690",
    c700="#1a5577",
    c800="#16455f",
    c900="#12364a",
    c950="#0c2431",
    name="report_blue",
)
_STONE = gr.themes.Color(
    c50="#fdfdfc",
    c100="#f4f4f1",
    c200="#e7e6e1",
    c300="#dbdad4",
    c400="#a9a8a2",
    c500="#75746e",
    c600="#5c5b56",
    c700="#3a3c3f",
    c800="#202224",
    c900="#191a1b",
    c950="#151617",
    name="report_stone",
)


def theme() -> Any:
    """Return the theme, for light and dark mode."""
    base = gr.themes.Base(
        primary_hue=_BLUE,
        secondary_hue=_BLUE,
        neutral_hue=_STONE,
        font=list(_TEXT),
        font_mono=list(_CODE),
        radius_size=gr.themes.sizes.radius_sm,
    )
    return base.set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color="#1d1d1b",
        body_text_color_dark="#e9e8e4",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_400",
        button_primary_background_fill_hover_dark="*primary_300",
        button_primary_text_color="white",
        button_primary_text_color_dark="#151617",
        checkbox_label_background_fill="*neutral_100",
        checkbox_label_background_fill_dark="*neutral_700",
        checkbox_label_background_fill_hover="*neutral_200",
        checkbox_label_background_fill_hover_dark="*neutral_600",
        button_secondary_background_fill="*neutral_100",
        button_secondary_background_fill_hover="*neutral_200",
        button_secondary_background_fill_dark="*neutral_700",
        button_secondary_background_fill_hover_dark="*neutral_600",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_400",
        block_title_text_color="*neutral_600",
        block_title_text_color_dark="*neutral_400",
    )


# gradio gives images no names for screen readers; this script names an example after its file.
NAME_IMAGES_SCRIPT = """() => {
  const name = () => {
    for (const image of document.querySelectorAll("#examples button:not([aria-label]) img"))
      image.closest("button").ariaLabel = "Example: " + image.src.split("/").at(-1).split(".")[0];
    for (const image of document.querySelectorAll("[data-testid=imageslider-image][alt='']"))
      image.alt = image.classList.contains("fixed") ? "After" : "Before";
  };
  name();
  new MutationObserver(name).observe(document.body, { childList: true, subtree: true });
}"""

STYLE = """
.gradio-container { max-width: 80rem !important; }
#head, #weights, #warning, #message, #figures { overflow: visible; }
:is(#head, #weights, #warning, #message, #figures) .html-container { padding: 0; }
header h1 { margin: .5rem 0 .25rem; font-size: 1.75rem; font-weight: 600; line-height: 1.2; }
header p { max-width: 44rem; color: var(--body-text-color-subdued); }
:focus-visible { outline: 2px solid var(--primary-500); outline-offset: 2px; }
#message { min-height: 5.5rem; }
.dark #strength { --neutral-200: var(--neutral-700); }
#message p { margin: 0; }
#message .fault { padding: .6rem .8rem; border-left: 3px solid #b3261e; background: #fbeceb; color: #7d1a15; }
.dark #message .fault { border-color: #f2a19b; background: #3a1f1d; color: #f8d3d0; }
#warning .warning {
  margin: 0; max-width: 44rem; padding: .6rem .8rem; border-left: 3px solid #8a5a00;
  background: #fbf3e0; color: #5c3c00;
}
.dark #warning .warning { border-color: #e5b567; background: #33290f; color: #f3dfb8; }
#figures .nothing {
  display: grid; place-items: center; min-height: 18rem; margin: 0; border: 1px dashed var(--border-color-primary);
  border-radius: var(--block-radius); color: var(--body-text-color-subdued);
}
#figures :is(table, thead, tbody, tr) { border: 0 !important; }
#figures table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
#figures th, #figures td {
  padding: .4rem .6rem .4rem 0; border: 0; border-bottom: 1px solid var(--border-color-primary); text-align: right;
}
#figures th:first-child { text-align: left; }
#figures thead th { font-size: .875rem; font-weight: 400; color: var(--body-text-color-subdued); }
#figures tbody th { font-weight: 600; }
#figures p { margin: .5rem 0 0; font-size: .875rem; color: var(--body-text-color-subdued); }
#figures td { white-space: nowrap; }
#downloads:not(:has(button)) { display: none; }
@media (max-width: 480px) {
  #figures table { font-size: .8125rem; }
  #figures th, #figures td { padding-right: .3rem; }
}
"""
