"""The exceptions that optgen raises on purpose; anything else that escapes is a bug."""

from __future__ import annotations

from dataclasses import dataclass

from optgen.escaping import HIDDEN, visible


class OptgenError(Exception):
    """Base of every error that optgen raises on purpose."""


@dataclass(frozen=True, slots=True)
class Location:
    """A stretch of one line of a spec: where a mistake is shown.

    `line` and `column` count from 1; `line_text` is the whole line, `width` the number of characters to underline.
    """

    path: str
    line: int
    column: int
    width: int
    line_text: str


class SpecError(OptgenError):
    """A mistake in a spec: what is wrong, where it stands, and how to put it right."""

    def __init__(self, message: str, location: Location, hint: str = "") -> None:
        self.message = message
        self.location = location
        self.hint = hint
        super().__init__(self._render())

    def _render(self) -> str:
        where = self.location
        indent = len(where.line_text) - len(where.line_text.lstrip())
        if where.column - 1 < indent:
            indent = 0  # the mistake is the indentation, so it is shown
        # One sign for each character, so that the caret counts as many.
        shown = HIDDEN.sub("\N{REPLACEMENT CHARACTER}", where.line_text[indent:].rstrip())
        # A long line is cut around the mistake, so that the caret stays in sight.
        start = max(0, where.column - 1 - indent)
        if len(shown) > 120:
            cut = max(0, min(start - 40, len(shown) - 120))
            shown, start = shown[cut : cut + 120], start - cut
        width = max(1, min(where.width, len(shown) - start))
        number = f"{where.line:5d}"
        caret = " " * start + "^" * width
        hint = f" {visible(self.hint)}" if self.hint else ""
        return (
            f"{visible(where.path)}:{where.line}:{where.column}: {visible(self.message)}\n"
            f"{number} | {shown}\n"
            f"{' ' * len(number)} | {caret}{hint}"
        )


class UnknownOptimizer(OptgenError, LookupError):
    """No optimizer of that name is in the catalogue or the dialect."""


class UnknownSchedule(OptgenError, LookupError):
    """No learning-rate schedule of that name is in the catalogue or the dialect."""


class InvalidHyperparameter(OptgenError, ValueError):
    """A hyperparameter lies outside its domain, or an option is none of its choices."""


class HyperparameterTypeError(InvalidHyperparameter, TypeError):
    """A hyperparameter or option of the wrong type."""


class TreeMismatch(OptgenError, ValueError):
    """Gradients, parameters and state do not have the same tree, shapes or dtypes."""


class MissingInput(OptgenError, ValueError):
    """A step was asked for without the parameters, or another value, that the rule reads."""


class NotRegistered(OptgenError, RuntimeError, ValueError):
    """An optimizer was used before it was given its parameters; a ValueError as well, which braintools raises."""


class StateMismatch(OptgenError, ValueError):
    """A saved state is of another optimizer, other options, another tree, or another version of its format."""


class UnsupportedSharding(OptgenError, NotImplementedError):
    """Each process holds a part of the parameters, in a way in which a rule or an option cannot be computed."""


class NoCompiler(OptgenError, RuntimeError):
    """The native target has no C compiler, or none that makes kernels of a rule which the driver can run."""
