"""Which files are meant, where their results go, and what is refused before anything is written."""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dynet.errors import UsageError
from dynet.inference.encoding import Encoding
from dynet.inference.inputs import Naming, find_inputs

Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """Makes empty files by their names, in a folder that is the working directory; names alone count here."""
    monkeypatch.chdir(tmp_path)

    def make(*names: str) -> Path:
        for name in names:
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        return tmp_path

    return make


def found(*arguments: str | Path, out: str = "out", **more: object) -> dict[str, str]:
    """Files by name, and their places under --out."""
    inputs = find_inputs(arguments, Path(out), **more)  # type: ignore[arg-type]
    assert len({entry.path for entry in inputs}) == len(inputs)
    return {str(entry.path): str(entry.target.relative_to(out)) for entry in inputs}


def refused(*arguments: str | Path, out: str = "out", **more: object) -> str:
    with pytest.raises(UsageError) as caught:
        find_inputs(arguments, Path(out), **more)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_gives_its_pictures_with_their_place_under_it(tree: Tree) -> None:
    tree("in/b.JPG", "in/a.png", "in/below/deep/c.heic", "in/notes.txt", "in/README")
    assert list(found("in").items()) == [
        ("in/a.png", "a.png"), ("in/b.JPG", "b.JPG"), ("in/below/deep/c.heic", "below/deep/c.heic"),
    ]  # fmt: skip


def test_hidden_files_and_folders_are_passed_over_unless_named(tree: Tree) -> None:
    tree("in/a.png", "in/._a.png", "in/.thumbnails/t.png", "in/__MACOSX/a.jpg", "in/.dynet-1.tmp")
    assert found("in") == {"in/a.png": "a.png"}
    assert found("in/._a.png") == {"in/._a.png": "._a.png"}
    assert found("in/*") == {"in/a.png": "a.png"}


def test_a_file_that_is_named_is_taken_whatever_its_name(tree: Tree) -> None:
    tree("scan v1.2", "scan v1.3", "picture")
    assert found("scan v1.2", "scan v1.3", "picture") == {
        "scan v1.2": "scan v1.2.png", "scan v1.3": "scan v1.3.png", "picture": "picture.png",
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
def test_what_a_pattern_matches_keeps_its_place_below_the_part_without_wildcards(
    tree: Tree, pattern: str, expected: list[str]
) -> None:
    top = tree("in/a.jpg", "in/two/a.jpg", "in/one/b c.jpg", "in/one/ж.jpg")
    assert sorted(found(pattern).values()) == sorted(expected)
    assert sorted(found(str(top / pattern)).values()) == sorted(expected)  # from the root, too


def test_a_name_with_brackets_is_that_file_if_there_is_one(tree: Tree) -> None:
    tree("in [1]/a[1].png", "in [1]/a1.png", "what?.png", "in 1/b.png")
    assert found("in [1]/a[1].png") == {"in [1]/a[1].png": "a[1].png"}
    assert found("what?.png") == {"what?.png": "what?.png"}
    assert sorted(found("in [1]/*.png").values()) == ["a1.png", "a[1].png"]
    assert found("in [1]") == {"in [1]/a1.png": "a1.png", "in [1]/a[1].png": "a[1].png"}


def test_a_file_that_is_named_twice_is_restored_once(tree: Tree) -> None:
    top = tree("in/a.png", "in/below/b.png")
    os.symlink("in", "same")
    given = ("in", "in/a.png", "./in/../in/a.png", top / "in" / "a.png", "in/*.png", "same", "in/below/b.png")
    assert found(*given) == {"in/a.png": "a.png", "in/below/b.png": "below/b.png"}


def test_links_are_followed_and_loops_end(tree: Tree) -> None:
    tree("in/a.png", "elsewhere/b.png")
    os.symlink("..", "in/loop")
    os.symlink("../elsewhere", "in/linked")
    os.symlink("a.png", "in/also a.png")
    os.symlink("nothing", "in/broken.png")
    assert found("in") == {
        "in/a.png": "a.png",
        "in/also a.png": "also a.png",  # another name, so another result
        "in/broken.png": "broken.png",  # named, to be told that it cannot be read
        "in/linked/b.png": "linked/b.png",
    }
    assert sorted(found("in/**/[ab].png").values()) == ["a.png", "linked/b.png"]


def test_results_inside_the_input_folder_are_not_inputs(tree: Tree) -> None:
    tree("in/a.png", "in/out/a.png", "in/out/below/b.png")
    os.symlink("out", "in/results")
    for given in ("in", "in/**/*.png", "in/**", "in/*"):
        assert found(given, out="in/out") == {"in/a.png": "a.png"}, given
    assert found("in/out", out="in/out/again") == {"in/out/a.png": "a.png", "in/out/below/b.png": "below/b.png"}


def test_an_original_is_replaced_by_its_result_only_if_that_is_asked_for(tree: Tree) -> None:
    top = tree("in/a.png", "in/b.jpg")
    said = refused("in", out="in")
    assert said == "in/a.png would be replaced by its own restoration; --overwrite allows that"
    assert refused("in/a.png", out=str(top / "in")).startswith("in/a.png would be replaced")
    assert found("in", out="in", overwrite=True) == {"in/a.png": "a.png", "in/b.jpg": "b.jpg"}
    both = Naming(variants=("S", "L"))
    assert found("in", out="in", naming=both) == {"in/a.png": "a.png", "in/b.jpg": "b.jpg"}


def test_an_input_is_never_replaced_by_the_result_of_another(tree: Tree) -> None:
    tree("in/a.png", "in/a.S.png")
    said = refused("in", out="in", naming=Naming(variants=("S", "L")), overwrite=True)
    assert said == "in/a.S.png would be replaced by what becomes of in/a.png; give another --out"


@pytest.mark.parametrize(
    ("names", "naming", "told"),
    [
        (("one/a.png", "two/a.png"), Naming(), "one/a.png and two/a.png would be written under one name, out/a.png"),
        (("a.png", "a.jpg"), Naming(encoding=Encoding("png")), "a.png and a.jpg would be written under one name"),
        (("a.jpg", "a.jpeg"), Naming(encoding=Encoding("webp")), "under one name, out/a.webp"),
        (("a.gif", "a.png"), Naming(), "a.gif and a.png would be written under one name"),
        (
            ("a.png", "A.png"),
            Naming(),
            "a.png and A.png would be written under one name, out/A.png, but",
        ),
        (("a.png", "A.PNG"), Naming(), "but for letter case"),
        (("é.png", "e\u0301.png"), Naming(), "under one name"),
        (("a.png", "a.compare.png"), Naming(compare=True), "a.png and a.compare.png would be written under one name"),
        (("a", "a.png"), Naming(), "under one name"),
    ],
    ids=str,
)
def test_results_that_would_have_one_name_are_told(
    tree: Tree, names: tuple[str, ...], naming: Naming, told: str
) -> None:
    tree(*names)
    assert told in refused(*names, naming=naming)


def test_all_clashes_are_counted_in_one_line(tree: Tree) -> None:
    tree("in/a.png", "in/a.jpg", "in/b.png", "in/b.jpg", "in/c.png", "in/c.tif")
    said = refused("in", naming=Naming(encoding=Encoding("png")))
    assert said.endswith("out/a.png (and 2 more of the kind); restore them into folders of their own")


@pytest.mark.parametrize(
    ("names", "naming"),
    [
        (("a.png", "a.jpg"), Naming()),  # as it is where a camera writes two
        (("a.jpg", "a.jpeg"), Naming(encoding=Encoding("jpeg"))),
        (("a.png", "a.S.png", "a.L.png"), Naming(variants=("S", "L"))),
        (("a.png", "a.S.png"), Naming(compare=True)),
        (("one/a.png", "two/b.png"), Naming()),
    ],
    ids=str,
)
def test_names_that_only_look_alike_are_no_clash(tree: Tree, names: tuple[str, ...], naming: Naming) -> None:
    tree(*names)
    assert len(found(*names, naming=naming)) == len(names)


def test_results_are_named_by_variant() -> None:
    target = Path("out/my.cat.png")
    assert Naming().results(target, ".jpg") == [Path("out/my.cat.jpg")]
    both = Naming(variants=("S", "L"))
    assert both.results(target, ".png") == [Path("out/my.cat.S.png"), Path("out/my.cat.L.png")]
    assert both.sheet(target) == Path("out/my.cat.compare.png")


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ("missing.png", "missing.png: no such file or folder"),
        ("", "an empty name"),
        ("empty", "empty: the folder holds no pictures"),
        ("nothing/*.png", "nothing/*.png: no file has a name like this"),
        ("in/*.tif", "in/*.tif: no file has a name like this"),
        ("to nothing.png", "to nothing.png: a link to nothing"),
        ("pipe.png", "pipe.png: is neither a file nor a folder"),
        ("in/" + "n" * 300 + ".png", "cannot be read: File name too long"),
        ("in/a.png/b.png", "no such file or folder"),
    ],
)
def test_what_is_not_there_is_named(tree: Tree, argument: str, told: str) -> None:
    top = tree("in/a.png", "empty/notes.txt")
    os.symlink("nowhere", top / "to nothing.png")
    os.mkfifo(top / "pipe.png")
    assert told in refused("in/a.png", argument)


def test_an_out_that_is_a_file_is_named(tree: Tree) -> None:
    tree("a.png", "out")
    assert refused("a.png") == "--out out: is not a folder"


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and users")
@pytest.mark.parametrize("argument", ["in", "in/closed/a.png", "in/closed/*", "in/**/a.png"])
def test_a_folder_that_may_not_be_read_is_named(tree: Tree, tmp_path: Path, argument: str) -> None:
    tree("in/a.png", "in/closed/a.png")
    (tmp_path / "in" / "closed").chmod(0)
    for folder in (tmp_path, *tmp_path.parents):  # pytest's, which root alone may enter
        if Path(tempfile.gettempdir()) in folder.parents:
            folder.chmod(folder.stat().st_mode | 0o055)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setuid(65534)  # root may read everything
            find_inputs([argument], Path("out"))
            os.write(write, b"nothing was said")
        except BaseException as error:
            os.write(write, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    said = os.read(read, 1000).decode()
    (tmp_path / "in" / "closed").chmod(0o755)
    if argument == "in/**/a.png":
        assert said == "nothing was said"  # as in a shell, where such a folder matches nothing
    else:
        assert said.startswith("UsageError: in/closed") or "no file has a name" in said
        assert "Permission denied" in said or argument == "in/closed/*"
