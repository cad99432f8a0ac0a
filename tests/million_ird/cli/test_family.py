"""What the command line does alike everywhere: names, hints, listings, tables, answers to Ctrl-C."""

import io
import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from million_ird.cli import app as cli
from million_ird.cli import terminal
from million_ird.config.loading import load, shipped
from million_ird.config.score_names import known_metrics, pyiqa_scores
from million_ird.ledger import Funnel
from million_ird.runtime.executor import Executor
from million_ird.runtime.storage import Folder
from million_ird.scan import warm_up
from million_ird.sources.listing import list_files
from tests.million_ird import scenes
from tests.million_ird.conftest import CommandResult

Program = Callable[..., CommandResult]
WIDE = "-" * 60 + "one_word_of_more_than_sixty_letters"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(2):
        scenes.photograph(number).save(folder / f"chessboard_{number}.png")
    return folder


def test_sources_can_be_arguments(photos: Path, tmp_path: Path, program: Program) -> None:
    (tmp_path / "mine.yaml").write_text(scenes.recipe().dump())
    two = photos.parent / "more"
    two.mkdir()
    scenes.photograph(5).save(two / "p.png")
    recipe = ("--recipe", tmp_path / "mine.yaml")
    done = program("build", photos, "--sources", two, "--out", tmp_path / "a", *recipe, "--workers", 0, "--json")
    assert done.code == 0
    counted = json.loads(done.out.splitlines()[-1])
    assert (counted["candidates"], counted["next"]) == (3, [])
    assert "3 candidates" in program("status", tmp_path / "a").out
    plans = [program("plan", *given, "--out", tmp_path / "c", *recipe) for given in ((photos,), ("--sources", photos))]
    assert plans[0].out == plans[1].out
    assert plans[0].code == 0


def test_the_nearest_name_is_suggested_everywhere(finished: Path, program: Program) -> None:
    cases = {
        ("explain", finished, "turnd.jpg"): "'turned.jpg'",
        ("explain", finished, "saved"): "'deep/saved again.jpg'",
        ("score", "x.png", "--metrics", "niqe_irds"): "'niqe_ird'",
        ("score", "x.png", "--metrics", "briske"): "'brisque'",
        ("export", finished, "--format", "foldr"): "'folder'",
        ("export", finished, "--format", "folder", "--config", "patchs"): "'patches'",
        ("decide", finished, "--recipe", "stricd"): "'strict'",
        ("decide", finished, "--exclude-benchmark", "CBSD86"): "'CBSD68'",
        ("explian", finished, "x"): "explain",
    }
    for arguments, name in cases.items():
        done = program(*arguments)
        assert done.code == 2, arguments
        assert name in done.line, arguments
        assert "did you mean" in done.line.lower(), arguments


@pytest.mark.parametrize(
    "arguments", [("score", "x.png", "--metrics", "niqe_irds"), ("explain", "OUT", "chess"), ("metrics",), ("recipes",)]
)
def test_a_wrong_name_and_a_listing_wait_for_no_large_library(arguments: tuple[str, ...], finished: Path) -> None:
    code = (
        "import sys, time\nfrom million_ird.cli.app import main\ntry:\n    main()\nexcept SystemExit: pass\n"
        "print(time.process_time(), *sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    given = [str(finished) if part == "OUT" else part for part in arguments]
    done = subprocess.run([sys.executable, "-c", code, *given], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.splitlines()[-1].split())
    assert not loaded & {"pyiqa", "torch", "numba", "cv2", "scipy", "dask", "datasets", "matplotlib"}


def test_the_listings_have_one_line_for_each_name_that_there_is(program: Program) -> None:
    names = [name.removesuffix(".yaml") for name in shipped()]
    assert [line.split()[0] for line in program("recipes").out.splitlines()] == names
    assert all(load(name).name for name in names)
    lines = program("metrics").out.splitlines()
    assert [line.split()[0] for line in lines] == [*known_metrics()]
    assert all(len(line.split()) > 1 for line in lines)
    assert json.loads(program("recipes", "--json").out).keys() == {*names}
    assert json.loads(program("metrics", "--json").out).keys() == known_metrics().keys()


def test_the_scores_that_are_listed_are_those_of_pyiqa() -> None:
    package = find_spec("pyiqa")
    if package is None or package.origin is None:
        pytest.skip("pyiqa is not installed")
    # Run alone, the file needs no second; the package takes half a minute.
    configs = runpy.run_path(str(Path(package.origin).with_name("default_model_configs.py")))["DEFAULT_CONFIGS"].items()
    assert pyiqa_scores() == tuple(sorted(name for name, config in configs if config["metric_mode"] == "NR"))


def test_options_name_their_values_and_completion_is_there(program: Program) -> None:
    assert "--install-completion" in program("--help").out
    for command in ("build", "plan", "scan", "decide", "write", "score", "calibrate", "publish", "export", "remove"):
        lines = program(command, "--help").out.splitlines()
        unnamed = [line for line in lines if re.match(r"\s+--[\w-]+ <(?!\w+\|)", line)]
        assert not unnamed, (command, unnamed)


def test_python_m_starts_it_and_the_shell_completes_it() -> None:
    start = [sys.executable, "-m", "million_ird"]
    done = subprocess.run([*start, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("million-ird ")
    words = {"_MILLION_IRD_COMPLETE": "complete_bash", "COMP_WORDS": "million-ird bui", "COMP_CWORD": "1"}
    done = subprocess.run(start, env=os.environ | words, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["build"]


def test_an_image_on_both_sides_is_refused(photos: Path, tmp_path: Path, program: Program) -> None:
    (tmp_path / "bad").mkdir()
    shutil.copyfile(photos / "chessboard_1.png", tmp_path / "bad" / "another name.png")
    for bad in (photos, tmp_path / "bad"):
        done = program("calibrate", "--good", photos, "--bad", bad, "--workers", 0)
        assert done.code == 2
        assert "is the same image as" in done.line
        assert "(--bad)" in done.line


def test_outputs_of_other_builds_in_a_source_are_left_out(photos: Path, tmp_path: Path) -> None:
    other = photos / "deep" / "my set"
    (other / "export").mkdir(parents=True)
    (other / "recipe.yaml").write_text(scenes.recipe().dump())
    scenes.photograph(7).save(other / "export" / "copy.png")
    (photos / "plain").mkdir()
    (photos / "plain" / "recipe.yaml").write_text("name: of another program")
    scenes.photograph(8).save(photos / "plain" / "p.png")
    wanted = ["chessboard_0.png", "chessboard_1.png", "plain/p.png"]
    for root in (str(photos), f"{photos}/**/*.png"):
        listed = [entry.uri for entry in list_files(root)[1]]
        assert [name for name in listed if name.endswith("png")] == wanted
    named = [entry.uri for entry in list_files(str(other))[1]]
    assert "export/copy.png" in named  # who names it wants it
    remote = Folder("memory://others")
    for path in (path for path in photos.rglob("*") if path.is_file()):
        remote.write(path.relative_to(photos).as_posix(), path.read_bytes())
    listed = [entry.uri for entry in list_files("memory://others")[1]]
    assert [name for name in listed if name.endswith("png")] == wanted


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_tables_never_break_a_word(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    reasons = {WIDE: 3, "laplacian_variance_of_the_sharpest_blocks too low": 4, "benchmark_leak": 1}
    table = terminal.funnel_table(Funnel(candidates=9, kept=1, dropped=reasons, failures={}))
    words = {word for reason in reasons for word in reason.split()}
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    terminal.info(table)
    printed = sys.stdout.getvalue()  # type: ignore[attr-defined]
    assert words <= {*printed.split()}
    if columns == 80 and WIDE not in words:
        assert max(map(len, printed.splitlines())) <= 80


def test_a_narrow_table_still_wraps_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    table = Table(box=None)
    table.add_column("a")
    table.add_row("many short words that fit into no line of forty columns at once")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    terminal.info(table)
    printed = sys.stdout.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, printed.splitlines())) <= 40
    assert Console().width == 40


def test_there_are_at_most_as_many_workers_as_cores(caplog: pytest.LogCaptureFixture) -> None:
    cores = os.cpu_count() or 1
    assert Executor(10 * cores).parallelism == cores
    assert f"--workers {10 * cores}" in caplog.text
    assert Executor(0).parallelism == 1
    assert Executor(1).parallelism == 1


class Heard:
    """A listener that records its messages."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int, str]] = []
        self.done = 0

    def stage(self, name: str, total: int, unit: str) -> None:
        self.stages.append((name, total, unit))
        self.done = 0

    def advance(self, done: int) -> None:
        self.done += done

    def more(self, items: int) -> None:
        """Nothing is added."""


def test_compiling_is_said_when_it_takes_long_and_only_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_up, "SILENT", 0.05)
    monkeypatch.setattr(warm_up, "compile_measures", lambda: time.sleep(0.3))
    heard = Heard()
    warm_up.prepare_measures(heard)
    assert heard.stages == [("preparing measures, once", warm_up.SECONDS, "s")]
    assert heard.done == warm_up.SECONDS
    monkeypatch.setattr(warm_up, "SILENT", 30.0)
    monkeypatch.setattr(warm_up, "compile_measures", lambda: None)
    quiet = Heard()
    warm_up.prepare_measures(quiet)
    assert quiet.stages == []


def test_card_and_report_show_their_progress(photos: Path, tmp_path: Path) -> None:
    heard = Heard()
    scenes.make(photos, tmp_path / "out", listener=heard)
    names = [name for name, _, _ in heard.stages if name != "preparing measures, once"]
    assert names == ["scan", "write", "card", "report"]
    assert heard.done == heard.stages[-1][1] == 2


def test_the_first_ctrl_c_answers_at_once_and_the_second_ends_it() -> None:
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt):
            cli._answer_and_interrupt(signal.SIGINT, None)
        assert signal.getsignal(signal.SIGINT) is cli._stop_now
    finally:
        signal.signal(signal.SIGINT, before)
