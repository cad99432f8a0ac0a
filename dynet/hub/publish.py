"""`dynet publish`: gather → card → one commit on the Hub."""

import difflib
from collections.abc import Sequence
from pathlib import Path

from dynet.errors import UsageError
from dynet.hub.publish_result import PublishResult
from dynet.hub.source import check_evaluations, check_repo_id, locate_release
from dynet.model.weights import read_header

_CREATIVE_COMMONS = [
    f"cc-{kind}-{version}"
    for kind in ("by", "by-sa", "by-nc", "by-nd", "by-nc-nd", "by-nc-sa")
    for version in ("2.0", "2.5", "3.0", "4.0")
]
LICENCES = (
    *("apache-2.0", "mit", "openrail", "bigscience-openrail-m", "creativeml-openrail-m", "bigscience-bloom-rail-1.0"),
    *("bsd", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "cc0-1.0", "cc", *_CREATIVE_COMMONS),
    *("gpl", "gpl-2.0", "gpl-3.0", "agpl-3.0", "lgpl", "lgpl-2.1", "lgpl-3.0", "mpl-2.0", "eupl-1.1", "eupl-1.2"),
    *("afl-3.0", "artistic-2.0", "bsl-1.0", "ecl-2.0", "epl-1.0", "epl-2.0", "etalab-2.0", "isc", "ms-pl", "ncsa"),
    *("odbl", "odc-by", "ofl-1.1", "osl-3.0", "pddl", "postgresql", "unlicense", "wtfpl", "zlib", "other"),
)
"""The Hub's identifiers, https://huggingface.co/docs/hub/repositories-licenses, without those of single models."""


def publish(
    source: Path,
    repo_id: str,
    *,
    licence: str,
    evaluations: Sequence[Path] = (),
    private: bool = False,
    revision: str | None = None,
    dry_run: bool = False,
) -> PublishResult:
    """Publish weights, a model card, and what is known of the training as the model `repo_id`.

    Args:
        source: A finished RUN folder, a folder that holds weights, or a weights file.
        repo_id: user/name; created if it does not exist.
        licence: An identifier of the Hub, or `other`.
        evaluations: Folders that `dynet evaluate --out` wrote for these weights.
        private: Makes a new model private; an existing public model is refused.
        revision: The branch, `main` by default; created if it does not exist.
        dry_run: Gathers the files and renders the card without any network access.

    Raises:
        UsageError: A name, licence or evaluation is not usable, the run is not finished, there is no login, or the Hub
            refuses this user.
        WriteError: The Hub did not accept the release; another run continues.
    """
    check_repo_id(repo_id)
    check_licence(licence)
    read_header(locate_release(source))
    check_evaluations(evaluations)
    # What is refused above is refused at once: torch, which takes seconds, is loaded here.
    from dynet.hub.push import push
    from dynet.hub.release import gather_release

    release, branch = gather_release(source, repo_id, licence, evaluations), revision or "main"
    if not dry_run:
        return push(release, repo_id, private=private, branch=branch)
    return PublishResult(
        repo_id=repo_id,
        revision=branch,
        url="",
        commit="",
        files=release.sizes(),
        deleted=(),
        changed=False,
        card=release.card,
        dry_run=True,
    )


def check_licence(identifier: str) -> None:
    """Check that the Hub has this licence identifier.

    Raises:
        UsageError: It has not; the message names the most similar ones.
    """
    if identifier not in LICENCES:
        similar = difflib.get_close_matches(identifier.casefold(), LICENCES, n=3, cutoff=0.4)
        hint = f"; similar: {', '.join(similar)}" if similar else ""
        raise UsageError(
            f"--licence {identifier}: the Hub has no such identifier{hint}; use `other` for a licence without one"
        )
