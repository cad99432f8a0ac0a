"""What other programs call besides `build`: the commands that inspect and publish a build, as functions.

Every function checks its arguments before it begins, returns what the command of the same name prints, and raises the
errors of `million_ird.errors`, each one line that names what is wrong.
"""

import os
from collections.abc import Iterable

from million_ird.arguments import as_count, as_flag, as_path, as_paths, as_text, as_texts, naming_arguments
from million_ird.config.loading import parse
from million_ird.config.recipe import Recipe
from million_ird.hub.publish import publish as run_publication
from million_ird.hub.publish_result import DatasetPublishResult
from million_ird.maintenance.explain import Explanation
from million_ird.maintenance.explain import explain as run_explanation
from million_ird.maintenance.plan import BuildPlan
from million_ird.maintenance.plan import plan as run_plan
from million_ird.maintenance.verify import VerifyReport
from million_ird.maintenance.verify import verify as run_verification
from million_ird.scoring import ImageScores, score_files
from million_ird.workflow import Options, SourceArgument, checked_arguments

PathLike = str | os.PathLike[str]


@naming_arguments
def plan(
    sources: SourceArgument | Iterable[SourceArgument],
    out: PathLike,
    recipe: PathLike | Recipe = "million_ird.yaml",
    options: Options | None = None,
) -> BuildPlan:
    """Return what `build` with the same arguments would do; nothing is written, fetched or measured.

    Args:
        sources: One or several folders, files, patterns, tables, archives, datasets, sites; see `SourceSpec`.
        out: The output folder; new, empty, or of an earlier build.
        recipe: A recipe, its file, or the name of a shipped one (`demo`).
        options: How the build would be run.

    Returns:
        The candidates of every source and what would be measured; `text` shows it.

    Raises:
        UsageError: `build` with the same arguments would raise it.
    """
    options = Options() if options is None else options
    listed, folder, resolved = checked_arguments(sources, out, recipe, options)
    return run_plan(
        listed,
        folder,
        resolved,
        limit=options.limit,
        models=options.models,
        benchmarks=options.benchmarks,
        follow_links=options.follow_links,
    )


@naming_arguments
def verify(out: PathLike, *, workers: int | None = 0, scheduler: str | None = None) -> VerifyReport:
    """Read a build again as a whole, and compare it with its ledger and its recipe.

    Args:
        out: The output folder of a build.
        workers: Processes; 0 works in this process, None takes one per core.
        scheduler: The address of a dask scheduler to use instead.

    Returns:
        The faults, none of an intact build, and how many images and patches were read.

    Raises:
        UsageError: There is no build in the folder, or the scheduler does not answer.
        BuildError: Its ledger is missing or damaged.
    """
    workers = None if workers is None else as_count("workers", workers, at_least=0)
    return run_verification(
        as_path("out", out), workers, None if scheduler is None else as_text("scheduler", scheduler)
    )


@naming_arguments
def explain(out: PathLike, candidate: PathLike) -> Explanation:
    """Return all that is known of one candidate, and why it was kept or dropped.

    Args:
        out: The output folder of a build.
        candidate: An id, a key, a uri, or at least 4 characters of an id or key.

    Returns:
        Its row of the ledger, and the same in words as `text`.

    Raises:
        UsageError: There is no build, or not exactly one candidate of this name.
    """
    return run_explanation(as_path("out", out), as_path("candidate", candidate))


@naming_arguments
def publish(
    out: PathLike, repo_id: str, *, private: bool = False, revision: str | None = None, dry_run: bool = False
) -> DatasetPublishResult:
    """Verify a build, and upload it to the Hugging Face Hub in one commit; run again, it resumes.

    Args:
        out: The output folder of a build, on a local disk.
        repo_id: The dataset, `user/name`; created if it does not exist.
        private: Whether a new dataset is private; an existing public one is refused.
        revision: The branch; None is `main`.
        dry_run: Verify and list the files, without network access.

    Returns:
        The files and the address of the commit.

    Raises:
        UsageError: The name is invalid, or the Hub refuses this user.
        BuildError: The build has faults, or the upload failed.
    """
    return run_publication(
        as_path("out", out),
        as_text("repo_id", repo_id),
        private=as_flag("private", private),
        revision=None if revision is None else as_text("revision", revision),
        dry_run=as_flag("dry_run", dry_run),
    )


@naming_arguments
def score(
    files: PathLike | Iterable[PathLike],
    metrics: str | Iterable[str],
    *,
    models: PathLike | None = None,
    measures: str | Iterable[str] | None = None,
) -> list[ImageScores]:
    """Measure single image files.

    Args:
        files: One or several files, also fsspec URLs.
        metrics: Columns of the ledger (`laplacian_variance`, …), `niqe`, `brisque`, or scores of pyiqa; one text with
            commas, or a list.
        models: A folder with the parameters of scores.
        measures: Measures of your own modules, `package.module:Class`.

    Returns:
        The numbers of each file in the order of `files`; a file that cannot be read has a `failure` instead.

    Raises:
        UsageError: A metric or a measure is unknown, or the parameters of a score are missing.
    """
    own = [] if measures is None else as_texts("measures", measures)
    return list(
        score_files(
            as_paths("files", files),
            as_texts("metrics", metrics),
            None if models is None else as_path("models", models),
            parse({"measures": own}, origin="measures").measures,
        )
    )
