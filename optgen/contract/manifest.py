"""The manifest of a generated optimizer, `generated/NAME/manifest.json`, as typed values.

The manifest says what the generated functions are called and what they take, so that a training script needs neither
the spec nor the compiler. Reading it imports neither sympy nor jinja2.
"""

from __future__ import annotations

from dataclasses import dataclass

from optgen.contract.declarations import Hyperparameter, Input, Option, OptionValue, Reference, StateEntry
from optgen.contract.dialects import Dialect
from optgen.contract.kinds import Kind
from optgen.contract.stored import from_json, to_json

#: Raised whenever the fields below change, so that a file written by another version is refused by name.
FORMAT = 5


@dataclass(frozen=True, slots=True)
class Function:
    """A generated function and how the runtime calls it.

    Attributes:
        name: in the generated module.
        level: `initial` and `tensor` run for each tensor, `step` once, `model` once with every tensor's folds combined.
        arguments, returns: names of values; every argument is one that an earlier function returned, a
            hyperparameter, an input, a state, `theta`, `g`, `t`, or a number known from a shape.
        folds: returned values that have to be combined over all tensors (`sum`, `max`, `min`), by name.
    """

    name: str
    level: str
    arguments: tuple[str, ...]
    returns: tuple[str, ...]
    folds: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class StateInfo:
    """A state of one case.

    Attributes:
        kind: see `optgen.contract.kinds.Kind`.
        depth: how many earlier values are kept; above 1 they form a ring along a leading axis.
        new: the returned value that replaces it.
        zero: whether it starts at zero; if not, the `initial` function returns its first value.
    """

    name: str
    kind: Kind
    depth: int
    new: str
    zero: bool


@dataclass(frozen=True, slots=True)
class CaseInfo:
    """One case of a variant: for which shapes is decided by the variant's `case_function`.

    Attributes:
        result: `theta_update` if the functions return what is to be added to the parameter, `theta_new` if they return
            the parameter.
        jax: the functions of jax.py, in the order in which they are called.
        bytes_per_element: memory traffic of a step over float32 tensors by kernels that update in place.
        passes: how often those kernels go through a tensor.
        jax_bytes_per_element: the same for the functions of jax.py, each of which XLA compiles to loops that read its
            arguments and write its results, and for the addition of the update.
        operations: arithmetic per element.
        borrowed: results of the functions that may be an array they were called with, or hold fewer numbers than are
            kept: the new values of states, and `result`.
    """

    states: tuple[StateInfo, ...]
    result: str
    jax: tuple[Function, ...]
    bytes_per_element: int
    passes: int
    jax_bytes_per_element: int
    operations: int
    borrowed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VariantInfo:
    """One choice of options."""

    name: str
    options: dict[str, OptionValue]
    present: tuple[str, ...]
    hyperparameters: tuple[str, ...]
    inputs: tuple[str, ...]
    matrix_axes: str
    case_function: str
    cases: tuple[CaseInfo, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """A generated optimizer.

    Attributes:
        digest: the sha256 of the text of the spec at `spec`.
        latex: the equations of the spec's defaults, as an `aligned` environment.
        dialect_latex: the equations of each dialect's defaults, in the order of `dialects`.
        shared: the hyperparameters and options of the gradient transformations that precede every rule.
        wrapped: the optimizer of the catalogue that it wraps, empty if none.
    """

    format: int
    spec: str
    digest: str
    name: str
    class_name: str
    title: str
    summary: str
    equations: str
    latex: str
    dialect_latex: tuple[str, ...]
    references: tuple[Reference, ...]
    hyperparameters: tuple[Hyperparameter, ...]
    options: tuple[Option, ...]
    shared: tuple[str, ...]
    inputs: tuple[Input, ...]
    states: tuple[StateEntry, ...]
    wrapped: str
    dialects: tuple[Dialect, ...]
    variants: tuple[VariantInfo, ...]

    def latex_of(self, dialect: Dialect) -> str:
        """The equations of a dialect's defaults; of a spelling that the spec does not state, the spec's own."""
        for known, text in zip(self.dialects, self.dialect_latex, strict=True):
            if (known.library, known.name, known.options) == (dialect.library, dialect.name, dialect.options):
                return text
        return self.latex

    def variant(self, name: str) -> VariantInfo | None:
        """The variant of that name, None if it was not generated."""
        return {variant.name: variant for variant in self.variants}.get(name)


def write_manifest(manifest: Manifest) -> str:
    """The manifest as the text of its file."""
    return to_json(manifest)


def read_manifest(data: bytes) -> Manifest:
    """The manifest from the bytes of its file.

    Raises:
        ValueError: the bytes are no manifest of this version.
    """
    return from_json(data, Manifest, FORMAT)
