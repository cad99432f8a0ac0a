"""What the site carries from outside `docs/`: files that a page names by a link such as `../pipelines/demo.yaml`.

A link that leads out of `docs/` is right on GitHub and would be dead on the site. The file is put under `repo/` there,
and the link is turned to it, so that no page needs to know where the repository lives.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

FOLDER = "repo"
LINK = re.compile(r"\]\(((?:\.\./)+[^)#\s]+)")
SHOWN = {".json", ".txt", ".png", ".jpg", ".svg"}
"""What a browser shows as it is; everything else is carried as text."""


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to files outside `docs/` to their copies in the site; all others are left for mkdocs to check."""
    docs = Path(config.docs_dir)
    here = (docs / page.file.src_uri).parent
    out = "../" * page.file.src_uri.count("/")

    def turned(link: re.Match[str]) -> str:
        target = (here / link[1]).resolve()
        if target.is_relative_to(docs) or not target.is_relative_to(docs.parent) or not target.is_file():
            return link[0]
        inside = f"{FOLDER}/{target.relative_to(docs.parent).as_posix()}"
        inside += "" if target.suffix in SHOWN else ".txt"
        if files.get_file_from_path(inside) is None:
            carried = File.generated(config, inside, abs_src_path=str(target), inclusion=InclusionLevel.INCLUDED)
            files.append(carried)
        return f"]({out}{inside}"

    return LINK.sub(turned, markdown)
