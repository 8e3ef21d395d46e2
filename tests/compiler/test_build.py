"""Writing generated code: incremental, whole files only, the same bytes everywhere, and nobody else's files removed."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tokenize
import tomllib
from pathlib import Path

import msgspec
import pytest

from optgen._cache import UNFINISHED
from optgen.compiler import build as building
from optgen.compiler.build import Built, Difference, all_paths, build, check, generate_file, spec_paths
from optgen.errors import SpecError
from optgen.spec.starter import starter_spec

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPTGEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def specs(tmp_path: Path) -> Path:
    folder = tmp_path / "specs"
    folder.mkdir()
    for name in ("first", "second"):
        (folder / f"{name}.toml").write_text(starter_spec(name))
    return folder


@pytest.fixture
def output(specs: Path, tmp_path: Path) -> Path:
    """Both specs, built."""
    list(build(specs, tmp_path / "generated"))
    return tmp_path / "generated"


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too, by its path there."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def expected(specs: Path) -> dict[str, bytes]:
    return {
        f"{name}/{file}": text.encode()
        for name, path in spec_paths(specs).items()
        for file, text in generate_file(path).items()
    }


def names_of(specs: Path, name: str) -> tuple[str, ...]:
    return tuple(generate_file(specs / f"{name}.toml"))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


SKIPPED = [Built("first", skipped=True), Built("second", skipped=True)]


def test_first_build_writes_everything(specs: Path, tmp_path: Path) -> None:
    output = tmp_path / "deep" / "generated"
    assert list(build(specs, output)) == [
        Built("first", written=names_of(specs, "first")),
        Built("second", written=names_of(specs, "second")),
    ]
    assert files(output) == expected(specs)
    assert {"first/jax.py", "first/manifest.json"} <= set(files(output))


def test_nothing_is_compiled_again(specs: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> dict[str, str]:
        raise AssertionError(f"{path} was compiled")

    monkeypatch.setattr(building, "generate_file", refuse)
    assert list(build(specs, output)) == SKIPPED
    # What counts is what is in a file, not when it was saved.
    (specs / "first.toml").touch()
    assert list(build(specs, output)) == SKIPPED


def test_edited_spec_is_compiled_alone(specs: Path, output: Path) -> None:
    edit(specs / "first.toml", "default = 0.9", "default = 0.95")
    first, second = build(specs, output)
    assert first.name == "first"
    assert "manifest.json" in first.written
    assert not first.skipped
    assert second == Built("second", skipped=True)
    assert files(output) == expected(specs)
    assert list(build(specs, output)) == SKIPPED


def test_changed_compiler_compiles_everything(specs: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "compiler_key", lambda: "another compiler")
    # It makes the same files, so none is written.
    assert list(build(specs, output)) == [Built("first"), Built("second")]
    assert list(build(specs, output)) == SKIPPED


def test_file_edited_by_hand_is_put_right(specs: Path, output: Path) -> None:
    edit(output / "first" / "jax.py", "theta_update =", "theta_update = 2*")
    assert list(build(specs, output)) == [Built("first", written=("jax.py",)), Built("second", skipped=True)]
    assert files(output) == expected(specs)


def test_missing_file_is_written_again(specs: Path, output: Path) -> None:
    (output / "second" / "manifest.json").unlink()
    assert list(build(specs, output)) == [Built("first", skipped=True), Built("second", written=("manifest.json",))]
    assert files(output) == expected(specs)


@pytest.mark.parametrize("record", [b"not json", b'{"first": 3}', None])
def test_without_a_record_everything_is_compiled(specs: Path, output: Path, cache: Path, record: bytes | None) -> None:
    (path,) = (cache / "builds").iterdir()
    path.unlink() if record is None else path.write_bytes(record)
    assert list(build(specs, output)) == [Built("first"), Built("second")]
    assert list(build(specs, output)) == SKIPPED


@pytest.mark.parametrize("chosen", ["{}/file", "~no-such-user/cache"])
def test_cache_that_cannot_be_written_only_costs_time(
    chosen: str, specs: Path, output: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cache / "file").touch()
    monkeypatch.setenv("OPTGEN_CACHE", chosen.format(cache))
    assert list(build(specs, output)) == [Built("first"), Built("second")]


def test_names_build_those_only(specs: Path, tmp_path: Path) -> None:
    output = tmp_path / "generated"
    assert list(build(specs, output, ("second",))) == [Built("second", written=names_of(specs, "second"))]
    assert {path.name for path in output.iterdir()} == {"second"}
    with pytest.raises(KeyError):
        list(build(specs, output, ("third",)))


def test_what_was_made_from_a_spec_that_is_gone_is_removed(specs: Path, output: Path) -> None:
    made = names_of(specs, "first")
    (specs / "first.toml").unlink()
    (output / "first" / "__pycache__").mkdir()
    assert list(build(specs, output, ("second",))) == [Built("second", skipped=True)]
    assert (output / "first").is_dir()
    assert list(build(specs, output)) == [Built("second", skipped=True), Built("first", removed=tuple(sorted(made)))]
    assert {path.name for path in output.iterdir()} == {"second"}
    assert check(specs, output) == []


def test_target_that_is_gone_is_removed(specs: Path, output: Path) -> None:
    old = output / "first" / "old.py"
    shutil.copy(output / "first" / "jax.py", old)
    assert list(build(specs, output)) == [Built("first", removed=("old.py",)), Built("second", skipped=True)]
    assert not old.exists()


def test_files_of_others_are_never_removed(specs: Path, output: Path) -> None:
    others = [
        output / "first" / "notes.txt",
        output / "mine" / "script.py",
        output / "README",
        output / "mine" / "empty",
    ]
    for path in others:
        path.parent.mkdir(exist_ok=True)
        path.write_text("" if path.name == "empty" else "generated by hand\n")
    (output / "mine" / "manifest.json").write_text('{"format": "of another program"}\n')
    (output / "bare").mkdir()
    before = files(output)
    assert list(build(specs, output)) == [Built("first"), Built("second", skipped=True)]
    assert files(output) == before
    assert (output / "bare").is_dir()
    assert [(d.path, d.foreign) for d in check(specs, output)] == [
        ("README", True),
        ("bare/", True),
        ("first/notes.txt", True),
        ("mine/empty", True),
        ("mine/manifest.json", True),
        ("mine/script.py", True),
    ]


def test_wrong_spec_leaves_its_files_and_the_others_are_built(specs: Path, output: Path) -> None:
    before = files(output / "first")
    edit(specs / "first.toml", "lr*d", "lr*detail")
    edit(specs / "second.toml", "default = 0.9", "default = 0.95")
    lines = (specs / "first.toml").read_text().split("\n")
    line = lines.index("theta[t] = theta[t-1] - lr*detail") + 1
    first, second = build(specs, output)
    assert str(first.error) == (
        f"./specs/first.toml:{line}:28: unknown name 'detail'\n"
        f"   {line} | theta[t] = theta[t-1] - lr*detail\n"
        f"      |                            ^^^^^^ declare it in [hyperparameters] or give it a value"
    )
    assert (first.written, first.removed, first.skipped) == ((), (), False)
    assert "manifest.json" in second.written
    assert files(output / "first") == before
    edit(specs / "first.toml", "lr*detail", "lr*d")
    assert list(build(specs, output)) == SKIPPED


def test_name_must_be_that_of_the_file(specs: Path) -> None:
    (specs / "second.toml").rename(specs / "third.toml")
    with pytest.raises(SpecError, match=r"the name is 'second' and the file's is 'third'") as caught:
        generate_file(specs / "third.toml")
    assert caught.value.location.path == "./specs/third.toml"
    assert caught.value.hint == "make them the same"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "'lookahead' is not complete without the optimizer that it wraps"),
        ('wrapped = "firts"', "there is no optimizer 'firts' to wrap"),
        ('wrapped = "lookahead"', "'lookahead' would wrap itself"),
    ],
)
def test_what_a_spec_wraps_has_to_be_there(specs: Path, line: str, message: str) -> None:
    text = (ROOT / "specs" / "lookahead.toml").read_text()
    (specs / "lookahead.toml").write_text(re.sub(r"^wrapped = .*$", line, text, flags=re.MULTILINE))
    with pytest.raises(SpecError) as caught:
        generate_file(specs / "lookahead.toml")
    assert caught.value.message == message


def test_a_change_of_what_is_wrapped_builds_the_wrapping_one_again(specs: Path, output: Path) -> None:
    text = (ROOT / "specs" / "lookahead.toml").read_text()
    (specs / "lookahead.toml").write_text(re.sub(r"^wrapped = .*$", 'wrapped = "first"', text, flags=re.MULTILINE))
    list(build(specs, output))
    edit(specs / "first.toml", "lr*d", "2*lr*d")
    built = {result.name: result for result in build(specs, output)}
    assert not built["lookahead"].skipped
    assert "jax.py" in built["lookahead"].written


def test_hidden_files_and_folders_are_no_specs(specs: Path) -> None:
    (specs / ".#first.toml").symlink_to("nobody@nowhere:1")  # an editor's lock
    (specs / ".first.toml").write_text("half saved")
    (specs / "folder.toml").mkdir()
    assert list(spec_paths(specs)) == ["first", "second"]


class Interrupted(BaseException):
    """Ends a build where it stands, as a signal does."""


@pytest.mark.parametrize("interruption", [OSError(28, "No space left on device"), KeyboardInterrupt(), Interrupted()])
@pytest.mark.parametrize("existing", [True, False])
def test_interrupted_build_leaves_the_old_file_or_the_new_one(
    specs: Path,
    output: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    interruption: BaseException,
    existing: bool,
) -> None:
    if existing:
        edit(specs / "first.toml", "default = 0.9", "default = 0.95")
    else:
        output = tmp_path / "new"
    before = files(output) if existing else {}
    written: list[Path] = []

    def fail(self: Path, target: Path) -> Path:
        assert self.parent == Path(target).parent
        assert self.read_bytes() == expected(specs)[f"first/{Path(target).name}"]
        written.append(self)
        raise interruption

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", fail)
        with pytest.raises(type(interruption)):
            list(build(specs, output))
    assert len(written) == 1
    assert files(output) == before
    first, _ = build(specs, output)
    assert first.written != ()
    assert files(output) == expected(specs)


KILLED = """
import os, pathlib, sys
from optgen.compiler.build import build
pathlib.Path.replace = lambda *_: os._exit(9)
list(build(*map(pathlib.Path, sys.argv[1:])))
"""


def test_unfinished_file_of_a_build_that_was_killed_is_removed(specs: Path, output: Path) -> None:
    (output / "first" / "jax.py").unlink()
    command = [sys.executable, "-c", KILLED, str(specs), str(output)]
    assert subprocess.run(command, check=False, timeout=120).returncode == 9
    (left,) = (path for path in (output / "first").iterdir() if path.name.startswith(UNFINISHED))
    assert (f"first/{left.name}", False) in [(d.path, d.foreign) for d in check(specs, output)]
    first, _ = build(specs, output)
    assert first == Built("first", written=("jax.py",), removed=(left.name,))
    assert files(output) == expected(specs)


def test_files_can_be_read_by_everyone(output: Path) -> None:
    assert {oct(path.stat().st_mode & 0o777) for path in output.rglob("*.py")} == {"0o644"}


def test_check_of_what_is_up_to_date(specs: Path, output: Path) -> None:
    (output / "first" / "__pycache__").mkdir()
    (output / "first" / "__pycache__" / "jax.cpython-313.pyc").write_bytes(b"\0")
    assert check(specs, output) == []
    assert check(specs, output, ("first",)) == []


def test_check_shows_what_was_edited(specs: Path, output: Path) -> None:
    path = output / "first" / "jax.py"
    first, *rest = path.read_text().split("\n")
    path.write_text("\n".join(["# edited", *rest]))
    assert check(specs, output) == [
        Difference(
            "first/jax.py",
            "--- generated/first/jax.py\n+++ generated/first/jax.py (from the spec)\n@@ -1,4 +1,4 @@\n"
            f"-# edited\n+{first}\n {rest[0]}\n {rest[1]}\n {rest[2]}\n",
        )
    ]
    assert check(specs, output, ("second",)) == []


def test_check_shows_a_missing_end_of_line_and_bytes_that_are_no_text(specs: Path, output: Path) -> None:
    path = output / "first" / "manifest.json"
    text = path.read_bytes()
    path.write_bytes(text.removesuffix(b"\n"))
    (difference,) = check(specs, output)
    assert difference.diff.endswith("-}\n\\ No newline at end of file\n+}\n")
    path.write_bytes(text.replace(b"{", b"{\xff", 1))
    (difference,) = check(specs, output)
    assert "\n-{\\xff\n+{\n" in difference.diff
    path.write_bytes(text.replace(b"\n", b"\r\n"))
    assert [d.path for d in check(specs, output)] == ["first/manifest.json"]


def test_check_notices_a_stale_file(specs: Path, output: Path) -> None:
    edit(specs / "first.toml", "default = 0.9", "default = 0.95")
    (manifest,) = (d for d in check(specs, output) if d.path == "first/manifest.json")
    assert re.findall(r"^[-+] +\"default\": .*", manifest.diff, re.MULTILINE)[:2] == [
        '-   "default": 0.9,',
        '+   "default": 0.95,',
    ]


def test_check_notices_missing_files(specs: Path, output: Path, tmp_path: Path) -> None:
    path = output / "first" / "jax.py"
    lines = path.read_text().splitlines(keepends=True)
    path.unlink()
    assert check(specs, output) == [
        Difference(
            "first/jax.py",
            "--- /dev/null\n+++ generated/first/jax.py (from the spec)\n"
            f"@@ -0,0 +1,{len(lines)} @@\n" + "".join(f"+{line}" for line in lines),
        )
    ]
    assert {d.path for d in check(specs, tmp_path / "nowhere")} == set(expected(specs))


def test_check_notices_what_no_spec_makes(specs: Path, output: Path) -> None:
    shutil.copytree(output / "first", output / "third")
    for path in list((output / "third").iterdir()):
        if path.name != "jax.py":
            path.unlink()
    (output / "third" / "jax.py").write_text("# generated by optgen from specs/third.toml\n")
    (output / "second" / "__init__.py").touch()
    (output / "second" / "inner").mkdir()
    (output / "fourth" / "fifth").mkdir(parents=True)
    (output / "sixth" / "__pycache__").mkdir(parents=True)
    assert check(specs, output) == [
        Difference("fourth/fifth/", "Only in generated: fourth/fifth/ (empty)\n", foreign=True),
        Difference("second/__init__.py", "Only in generated: second/__init__.py (empty)\n", foreign=True),
        Difference("second/inner/", "Only in generated: second/inner/ (empty)\n", foreign=True),
        Difference("sixth/", "Only in generated: sixth/ (empty)\n"),
        Difference(
            "third/jax.py",
            "--- generated/third/jax.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-# generated by optgen from specs/third.toml\n",
        ),
    ]
    assert list(build(specs, output))[2:] == [
        Built("sixth", removed=("__pycache__",)),
        Built("third", removed=("jax.py",)),
    ]
    assert [d.path for d in check(specs, output)] == ["fourth/fifth/", "second/__init__.py", "second/inner/"]


def test_folder_in_place_of_a_file(specs: Path, output: Path) -> None:
    (output / "first" / "jax.py").unlink()
    (output / "first" / "jax.py").mkdir()
    assert [d.path for d in check(specs, output)] == ["first/jax.py"]
    with pytest.raises(IsADirectoryError):
        list(build(specs, output))


@pytest.fixture(scope="module")
def built_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, bytes]]:
    """The catalogue, built by two copies of the tree in different places, with different hash seeds."""
    found = []
    for seed, place in (("0", "a"), ("1", "another place/deeper")):
        tree = tmp_path_factory.mktemp("tree") / place
        for name in ("optgen", "specs"):
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        environment = {
            **os.environ,
            "PYTHONHASHSEED": seed,
            "PYTHONPATH": str(tree),
            "OPTGEN_CACHE": str(tree / "cache"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        done = subprocess.run(
            [sys.executable, "-m", "optgen", "build"],
            cwd=tree if seed == "0" else tree.parent,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (done.returncode, done.stderr) == (0, "")
        found.append(files(tree / "generated"))
    return found


def test_every_byte_is_the_same_everywhere(built_elsewhere: list[dict[str, bytes]]) -> None:
    first, second = built_elsewhere
    assert {path.rpartition("/")[0] for path in first} == set(all_paths(ROOT / "specs"))
    assert first == second


def test_generated_code_in_the_repository_is_what_the_specs_say(built_elsewhere: list[dict[str, bytes]]) -> None:
    here = {path: data for path, data in files(ROOT / "generated").items() if "__pycache__" not in path}
    assert here == built_elsewhere[0]


@pytest.mark.parametrize("name", list(spec_paths(ROOT / "specs")))
def test_floats_keep_their_value(name: str) -> None:
    generated = generate_file(ROOT / "specs" / f"{name}.toml")
    literals = [
        token.string
        for file, text in generated.items()
        if file.endswith(".py")
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.NUMBER and not token.string.isdecimal() and not token.string.startswith("0x")
    ]
    assert [literal for literal in literals if repr(float(literal)) != literal] == []
    written = tomllib.loads((ROOT / "specs" / f"{name}.toml").read_text())["hyperparameters"]
    read = {h["name"]: h["default"] for h in msgspec.json.decode(generated["manifest.json"])["hyperparameters"]}
    assert {key: read[key] for key in written} == {key: entry.get("default") for key, entry in written.items()}


def test_floats_of_an_equation_reach_the_code(specs: Path) -> None:
    numbers = ["0.1", "1e-30", "123456789.123", "0.3333333333333333", "5e-324", "1.7976931348623157e+308"]
    terms = " + ".join(f"tanh({number}*g)" for number in numbers)
    edit(specs / "first.toml", "lr*d", f"lr*(d + {terms})")
    text = generate_file(specs / "first.toml")["jax.py"]
    code = [
        token.string for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type == tokenize.NUMBER
    ]
    assert {float(number) for number in numbers} <= {float(number) for number in code}


def test_generated_python_has_no_real_errors() -> None:
    # Nothing unused, nothing undefined; the settings of the repository leave generated/ alone.
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--select", "F,E9", "generated"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("All checks passed!\n", 0)
