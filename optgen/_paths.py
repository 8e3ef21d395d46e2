"""Where the catalogue lies: inside an installed optgen, or beside it in a checkout."""

from __future__ import annotations

from pathlib import Path

from optgen.errors import OptgenError
from optgen.suggestions import folded

#: The folder of learning-rate schedules, among specs and among generated code.
SCHEDULES = "schedules"

_PACKAGE = Path(__file__).resolve().parent


def specs_folder() -> Path:
    """The folder of spec files, one .toml per optimizer.

    Raises:
        OptgenError: optgen is neither installed with its catalogue nor run from a checkout.
    """
    return _catalogue() / "specs"


def generated_folder() -> Path:
    """The folder of generated code, one subfolder per optimizer.

    In a checkout it need not exist yet: `optgen build` creates it.

    Raises:
        OptgenError: optgen is neither installed with its catalogue nor run from a checkout.
    """
    return _catalogue() / "generated"


def spec_label(path: Path) -> str:
    """The name of a spec file in messages and in the code that is made of it, the same on every machine.

    A file of the catalogue goes by its place there, `specs/adam.toml` or `specs/schedules/constant.toml`; any other by
    the folder of specs that it lies in, of which only the last name is told.
    """
    path = path.resolve()
    folder = path.parent.parent if path.parent.name == SCHEDULES else path.parent
    relative = path.relative_to(folder).as_posix()
    if folder == specs_folder().resolve():
        return f"specs/{relative}"
    # The catalogue's own prefix is what its specs are known by.
    return f"{'./' if folder.name == 'specs' else ''}{folder.name}/{relative}"


def _catalogue() -> Path:
    installed = _PACKAGE / "_catalogue"
    checkout = _PACKAGE.parent
    for folder in (installed, checkout):
        if (folder / "specs").is_dir():
            return folder
    raise OptgenError(
        f"optgen's catalogue is missing: there is no folder 'specs' in {installed} (an installed optgen) "
        f"nor in {checkout} (a checkout); install optgen again"
    )


def checkout_folder() -> Path | None:
    """The root of the checkout that optgen runs from; None for an installed one."""
    catalogue = _catalogue()
    return catalogue if (catalogue / "docs").is_dir() else None


def is_installed() -> bool:
    """Whether optgen is installed with a catalogue of its own, which is not the user's to write to."""
    return (_PACKAGE / "_catalogue").is_dir()


def not_generated(name: str) -> str:
    """A hint for a name whose spec exists, but whose code was not generated; empty for any other.

    Args:
        name: of an optimizer or a schedule, as a spec or as a class has it.
    """
    specs, generated = specs_folder(), generated_folder()
    for path in sorted([*specs.glob("*.toml"), *specs.glob("schedules/*.toml")]):
        relative = path.relative_to(specs).with_suffix("")
        if folded(path.stem) == folded(name) and not (generated / relative / "manifest.json").is_file():
            return f"specs/{relative.as_posix()}.toml is not generated yet; run: optgen build {path.stem}"
    return ""
