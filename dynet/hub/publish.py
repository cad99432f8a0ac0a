"""`dynet publish`: gather → card → one commit on the Hub."""

from collections.abc import Sequence
from pathlib import Path

from dynet.hub.licences import check_licence
from dynet.hub.publish_result import Published
from dynet.hub.push import push
from dynet.hub.release import check_name, gather


def publish(
    source: Path,
    repo_id: str,
    *,
    licence: str,
    evaluations: Sequence[Path] = (),
    private: bool = False,
    revision: str | None = None,
    dry_run: bool = False,
) -> Published:
    """Have the model `repo_id` hold these weights, a card, and what is known of them.

    Args:
        source: a finished RUN folder, a folder that holds weights, or a weights file.
        repo_id: user/name; made when it is not there.
        licence: an identifier of the Hub's, or `other`.
        evaluations: folders that `dynet evaluate --out` wrote, of these weights.
        private: makes a new model private; one that is there and public is refused.
        revision: the branch, `main` by default; made when it is not there.
        dry_run: gathers and renders the card, and asks nothing of any network.

    Raises:
        UsageError: a name, licence or evaluation is not usable, the run is not finished, nobody is logged in, or the
            Hub refuses this user. WriteError: the Hub could not be brought to take it; run again to go on.
    """
    check_name(repo_id)
    check_licence(licence)
    release, branch = gather(source, repo_id, licence, evaluations), revision or "main"
    if not dry_run:
        return push(release, repo_id, private=private, branch=branch)
    return Published(
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
