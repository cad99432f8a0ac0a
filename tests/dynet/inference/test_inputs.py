"""The input files, the paths of their results, and what is refused before anything is written."""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dynet.errors import UsageError
from dynet.inference.encoding import Encoding
from dynet.inference.inputs import OutputNaming, find_input_files

Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """Make empty files in a folder that is the working directory; only names matter here."""
    monkeypatch.chdir(tmp_path)

    def make(*names: str) -> Path:
        for name in names:
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        return tmp_path

    return make


def targets(*arguments: str | Path, out: str = "out", **more: object) -> dict[str, str]:
    """Return the relative path below --out of each file."""
    inputs = find_input_files(arguments, Path(out), **more)  # type: ignore[arg-type]
    assert len({file.path for file in inputs}) == len(inputs)
    return {str(file.path): str(file.target.relative_to(out)) for file in inputs}


def refusal(*arguments: str | Path, out: str = "out", **more: object) -> str:
    with pytest.raises(UsageError) as caught:
        find_input_files(arguments, Path(out), **more)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_gives_its_images_with_their_relative_paths(tree: Tree) -> None:
    tree("in/b.JPG", "in/a.png", "in/below/deep/c.heic", "in/notes.txt", "in/README")
    assert list(targets("in").items()) == [
        ("in/a.png", "a.png"), ("in/b.JPG", "b.JPG"), ("in/below/deep/c.heic", "below/deep/c.heic"),
    ]  # fmt: skip


def test_hidden_files_and_folders_are_skipped_unless_named(tree: Tree) -> None:
    tree("in/a.png", "in/._a.png", "in/.thumbnails/t.png", "in/__MACOSX/a.jpg", "in/.dynet-1.tmp")
    assert targets("in") == {"in/a.png": "a.png"}
    assert targets("in/._a.png") == {"in/._a.png": "._a.png"}
    assert targets("in/*") == {"in/a.png": "a.png"}


def test_a_named_file_is_used_with_any_suffix(tree: Tree) -> None:
    tree("scan v1.2", "scan v1.3", "photo")
    assert targets("scan v1.2", "scan v1.3", "photo") == {
        "scan v1.2": "scan v1.2.png", "scan v1.3": "scan v1.3.png", "photo": "photo.png",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("in/*.jpg", ["a.jpg"]),
        ("in/?.jpg", ["a.jpg"]),
        ("in/**/*.jpg", ["a.jpg", "two/a.jpg", "one/b c.jpg", "one/ж.jpg"]),
        ("in/*/*.jpg", ["two/a.jpg", "one/b c.jpg", "one/ж.jpg"]),
        ("in/[ot]*/a.jpg", ["two/a.jpg"]),
        ("in/one/*", ["b c.jpg", "ж.jpg"]),
        ("in/o*", ["one/b c.jpg", "one/ж.jpg"]),
        ("in/**", ["a.jpg", "two/a.jpg", "one/b c.jpg", "one/ж.jpg"]),
        ("*/one", ["in/one/b c.jpg", "in/one/ж.jpg"]),
    ],
)
def test_matches_keep_their_path_relative_to_the_part_without_wildcards(
    tree: Tree, pattern: str, expected: list[str]
) -> None:
    top = tree("in/a.jpg", "in/two/a.jpg", "in/one/b c.jpg", "in/one/ж.jpg")
    assert sorted(targets(pattern).values()) == sorted(expected)
    assert sorted(targets(str(top / pattern)).values()) == sorted(expected)  # also with an absolute path


def test_a_name_with_brackets_is_that_file_if_it_exists(tree: Tree) -> None:
    tree("in [1]/a[1].png", "in [1]/a1.png", "what?.png", "in 1/b.png")
    assert targets("in [1]/a[1].png") == {"in [1]/a[1].png": "a[1].png"}
    assert targets("what?.png") == {"what?.png": "what?.png"}
    assert sorted(targets("in [1]/*.png").values()) == ["a1.png", "a[1].png"]
    assert targets("in [1]") == {"in [1]/a1.png": "a1.png", "in [1]/a[1].png": "a[1].png"}


def test_a_file_that_is_named_twice_is_restored_once(tree: Tree) -> None:
    top = tree("in/a.png", "in/below/b.png")
    os.symlink("in", "same")
    arguments = ("in", "in/a.png", "./in/../in/a.png", top / "in" / "a.png", "in/*.png", "same", "in/below/b.png")
    assert targets(*arguments) == {"in/a.png": "a.png", "in/below/b.png": "below/b.png"}


def test_links_are_followed_and_loops_end(tree: Tree) -> None:
    tree("in/a.png", "elsewhere/b.png")
    os.symlink("..", "in/loop")
    os.symlink("../elsewhere", "in/linked")
    os.symlink("a.png", "in/also a.png")
    os.symlink("nothing", "in/broken.png")
    assert targets("in") == {
        "in/a.png": "a.png",
        "in/also a.png": "also a.png",  # another name, so another result
        "in/broken.png": "broken.png",  # listed, so that it is reported as unreadable
        "in/linked/b.png": "linked/b.png",
    }
    assert sorted(targets("in/**/[ab].png").values()) == ["a.png", "linked/b.png"]


def test_results_inside_the_input_folder_are_not_inputs(tree: Tree) -> None:
    tree("in/a.png", "in/out/a.png", "in/out/below/b.png")
    os.symlink("out", "in/results")
    for argument in ("in", "in/**/*.png", "in/**", "in/*"):
        assert targets(argument, out="in/out") == {"in/a.png": "a.png"}, argument
    assert targets("in/out", out="in/out/again") == {"in/out/a.png": "a.png", "in/out/below/b.png": "below/b.png"}


def test_an_input_is_replaced_by_its_result_only_with_overwrite(tree: Tree) -> None:
    top = tree("in/a.png", "in/b.jpg")
    message = refusal("in", out="in")
    assert message == "in/a.png would be replaced by its own result; --overwrite allows that"
    assert refusal("in/a.png", out=str(top / "in")).startswith("in/a.png would be replaced")
    assert targets("in", out="in", overwrite=True) == {"in/a.png": "a.png", "in/b.jpg": "b.jpg"}
    both = OutputNaming(variants=("S", "L"))
    assert targets("in", out="in", naming=both) == {"in/a.png": "a.png", "in/b.jpg": "b.jpg"}


def test_an_input_is_never_replaced_by_the_result_of_another(tree: Tree) -> None:
    tree("in/a.png", "in/a.S.png")
    message = refusal("in", out="in", naming=OutputNaming(variants=("S", "L")), overwrite=True)
    assert message == "in/a.S.png would be replaced by the result of in/a.png; use another --out"


@pytest.mark.parametrize(
    ("names", "naming", "message"),
    [
        (("one/a.png", "two/a.png"), OutputNaming(), "one/a.png and two/a.png lead to the same result, out/a.png"),
        (("a.png", "a.jpg"), OutputNaming(encoding=Encoding("png")), "a.png and a.jpg lead to the same result"),
        (("a.jpg", "a.jpeg"), OutputNaming(encoding=Encoding("webp")), "the same result, out/a.webp"),
        (("a.gif", "a.png"), OutputNaming(), "a.gif and a.png lead to the same result"),
        (
            ("a.png", "A.png"),
            OutputNaming(),
            "a.png and A.png lead to the same result, out/A.png (",
        ),
        (("a.png", "A.PNG"), OutputNaming(), "(except for letter case)"),
        (("é.png", "e\u0301.png"), OutputNaming(), "the same result"),
        (("a.png", "a.compare.png"), OutputNaming(compare=True), "a.png and a.compare.png lead to the same result"),
        (("a", "a.png"), OutputNaming(), "the same result"),
    ],
    ids=str,
)
def test_results_with_the_same_name_are_refused(
    tree: Tree, names: tuple[str, ...], naming: OutputNaming, message: str
) -> None:
    tree(*names)
    assert message in refusal(*names, naming=naming)


def test_all_conflicts_are_counted_in_one_line(tree: Tree) -> None:
    tree("in/a.png", "in/a.jpg", "in/b.png", "in/b.jpg", "in/c.png", "in/c.tif")
    message = refusal("in", naming=OutputNaming(encoding=Encoding("png")))
    assert message.endswith("out/a.png (and 2 more); restore them into separate folders")


@pytest.mark.parametrize(
    ("names", "naming"),
    [
        (("a.png", "a.jpg"), OutputNaming()),  # as cameras write them
        (("a.jpg", "a.jpeg"), OutputNaming(encoding=Encoding("jpeg"))),
        (("a.png", "a.S.png", "a.L.png"), OutputNaming(variants=("S", "L"))),
        (("a.png", "a.S.png"), OutputNaming(compare=True)),
        (("one/a.png", "two/b.png"), OutputNaming()),
    ],
    ids=str,
)
def test_names_that_only_look_alike_do_not_conflict(tree: Tree, names: tuple[str, ...], naming: OutputNaming) -> None:
    tree(*names)
    assert len(targets(*names, naming=naming)) == len(names)


def test_results_are_named_by_variant() -> None:
    target = Path("out/my.cat.png")
    assert OutputNaming().result_paths(target, ".jpg") == [Path("out/my.cat.jpg")]
    both = OutputNaming(variants=("S", "L"))
    assert both.result_paths(target, ".png") == [Path("out/my.cat.S.png"), Path("out/my.cat.L.png")]
    assert both.sheet_path(target) == Path("out/my.cat.compare.png")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("missing.png", "missing.png: no such file or folder"),
        ("", "one of the inputs is an empty name"),
        ("empty", "empty: the folder contains no images"),
        ("nothing/*.png", "nothing/*.png: no file matches this pattern"),
        ("in/*.tif", "in/*.tif: no file matches this pattern"),
        ("to nothing.png", "to nothing.png: a broken link"),
        ("pipe.png", "pipe.png: is neither a file nor a folder"),
        ("in/" + "n" * 300 + ".png", "cannot be read: File name too long"),
        ("in/a.png/b.png", "no such file or folder"),
        ("set [2]/missing.png", "set [2]/missing.png: no such file or folder"),
        ("set [2]/a.png/b", "set [2]/a.png/b: no such file or folder"),
        ("set [2]/*.tif", "set [2]/*.tif: no file matches this pattern"),
    ],
)
def test_an_unusable_argument_is_named(tree: Tree, argument: str, message: str) -> None:
    top = tree("in/a.png", "empty/notes.txt", "set [2]/a.png")
    os.symlink("nowhere", top / "to nothing.png")
    os.mkfifo(top / "pipe.png")
    assert message in refusal("in/a.png", argument)


def test_an_out_that_is_a_file_is_named(tree: Tree) -> None:
    tree("a.png", "out")
    assert refusal("a.png") == "--out out: is not a folder"


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and users")
@pytest.mark.parametrize("argument", ["in", "in/closed/a.png", "in/closed/*", "in/**/a.png"])
def test_a_folder_without_permission_to_read_is_named(tree: Tree, tmp_path: Path, argument: str) -> None:
    tree("in/a.png", "in/closed/a.png")
    (tmp_path / "in" / "closed").chmod(0)
    for folder in (tmp_path, *tmp_path.parents):  # pytest's folders, which only root may enter
        if Path(tempfile.gettempdir()) in folder.parents:
            folder.chmod(folder.stat().st_mode | 0o055)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setuid(65534)  # root may read everything
            find_input_files([argument], Path("out"))
            os.write(write, b"no error")
        except BaseException as error:
            os.write(write, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    message = os.read(read, 1000).decode()
    (tmp_path / "in" / "closed").chmod(0o755)
    if argument == "in/**/a.png":
        assert message == "no error"  # as in a shell, where such a folder has no matches
    else:
        assert message.startswith("UsageError: in/closed") or "no file matches" in message
        assert "Permission denied" in message or argument == "in/closed/*"


@pytest.mark.parametrize("letter", ["n", "é", "語", "👩", "e\u0301", "\udce9"], ids=ascii)
@pytest.mark.parametrize("suffix", ["", ".png", ".gif", ".jpeg"])
def test_results_of_the_longest_names_fit_the_file_system_and_stay_apart(tree: Tree, letter: str, suffix: str) -> None:
    size = len(os.fsencode(letter))
    for room in range(255 - len(suffix) - 14, 255 - len(suffix)):  # the bytes of the stem, the last but its last digit
        names = [letter * (room // size) + "-" * (room % size) + digit + suffix for digit in "12"]
        tree(*(f"in/{name}" for name in names))
        for variants, compare in ((("L",), False), (("L",), True), (("S", "L"), True)):
            naming = OutputNaming(variants=variants, compare=compare)
            inputs = find_input_files([f"in/{name}" for name in names], Path("out"), naming)
            paths = [path for file in inputs for path in naming.expected_paths(file)]
            assert len(set(paths)) == len(paths) == 2 * (len(variants) + compare)
            assert paths == [path for file in inputs for path in naming.expected_paths(file)]
            for path in paths:
                tree(str(path))  # fails for a name that is too long
                assert len(os.fsencode(path.name)) > 240 - 2 * size  # no shorter than it has to be
                assert path.name.startswith(letter * 40)
                assert path.name.count("\ufffd") == 0


def test_a_name_that_fits_is_not_changed() -> None:
    naming = OutputNaming(variants=("S", "L"), compare=True)
    target = Path("out") / ("n" * 243 + ".png")  # 255 bytes with .compare.png
    assert naming.sheet_path(target).name == "n" * 243 + ".compare.png"
    assert naming.result_paths(target, ".png")[0].name == "n" * 243 + ".S.png"
    assert naming.sheet_path(target.with_name(f"n{target.name}")).name != "n" * 244 + ".compare.png"
