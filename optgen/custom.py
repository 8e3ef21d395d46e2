"""Optimizers that users define: from equations in a script, or from a spec file of their own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from optgen._paths import specs_folder
from optgen.compiler.choice import choose, default_choice, variant_name
from optgen.compiler.pipeline import Generated, generate
from optgen.compiler.rule import Rule
from optgen.compiler.specialise import specialise
from optgen.errors import SpecError, UnknownOptimizer
from optgen.runtime.entry import Entry, catalogue_entry
from optgen.runtime.manifests import catalogue_names, not_generated
from optgen.spec.definition import Value, define_spec
from optgen.spec.model import Spec
from optgen.spec.reader import parse_spec, read_text
from optgen.suggestions import did_you_mean


@dataclass(frozen=True, slots=True)
class Definition:
    """Source of an optimizer: text and plain values, which is what pickles hold.

    Attributes:
        text: equations, or the text of a spec file.
        name: of the optimizer, or the one that the file goes by in messages.
        wraps: the optimizer that it wraps, defined by a user or by name in the catalogue; None if it wraps none.
        called: the name by which the equations call that one.
        values: the defaults of what `define` was given; None of a spec file.
        counts: those of options that are integers.
    """

    text: str
    name: str
    wraps: Definition | str | None
    called: str = ""
    values: Mapping[str, Value] | None = None
    counts: Mapping[str, int | np.integer[Any]] = field(default_factory=dict)

    def spec(self) -> Spec:
        """Read the text.

        Raises:
            SpecError: a mistake in it, shown in place.
            TypeError: a default is of no such type, or is given twice.
        """
        if self.values is None:
            return parse_spec(self.text, self.name)
        return define_spec(self.name, self.text, self.values, self.called, self.counts)

    def wrapped(self) -> Rule | None:
        """The rule of the optimizer that it wraps, with its default options."""
        if self.wraps is None:
            return None
        if isinstance(self.wraps, str):
            entry = catalogue_entry(self.wraps)
            spec, inner = entry.read_spec(), entry.read_wrapped()
        else:
            spec, inner = self.wraps.spec(), self.wraps.wrapped()
        return specialise(spec, choose(spec, {}, {}), inner)


#: The attributes of what is defined that build optimizers.
_FRONT_ENDS = ("optax", "optim", "torch", "lucid")

#: What was compiled in this process and is still there, by its definition.
_compiled: WeakValueDictionary[str, CustomOptimizer] = WeakValueDictionary()


def _unpickled(definition: Definition) -> CustomOptimizer:
    """Find the optimizer of a definition: the very object where this process has it already."""
    known = _compiled.get(repr(definition))
    return CustomOptimizer(definition) if known is None else known


class CustomOptimizer:
    """An optimizer compiled from a user's equations, with the front-ends of a built-in one.

    It can be pickled, as can all that its front-ends make: by its definition, of which another process compiles it.

    Attributes:
        definition: what it was compiled from.
        spec: what that says.
        files: the generated source, by file name.
    """

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.spec = spec = definition.spec()
        wrapped = definition.wrapped()
        choice = default_choice(spec)
        generated: Generated = generate(spec, {variant_name(spec, choice): choice}, wrapped)
        self.files = generated.files
        self._entry = Entry(
            generated.manifest,
            generated.files.__getitem__,
            lambda: spec,
            in_catalogue=False,
            read_wrapped=lambda: wrapped,
            owner=self,
        )
        _compiled[repr(definition)] = self

    def __reduce__(self) -> tuple[Callable[[Definition], CustomOptimizer], tuple[Definition]]:
        return _unpickled, (self.definition,)

    def __deepcopy__(self, memo: dict[int, object]) -> CustomOptimizer:
        """Share what was compiled instead of copying it."""
        return self

    @property
    def entry(self) -> Entry:
        """What front-ends build from."""
        return self._entry

    @functools.cached_property
    def optax(self) -> Callable[..., Any]:
        """The factory of an `optax.GradientTransformationExtraArgs`; `lr` is called `learning_rate`."""
        from optgen.runtime.transformation import factory

        return factory(self._entry)

    @functools.cached_property
    def optim(self) -> type[Any]:
        """The class of a stateful optimizer with the interface of `optgen.optim`."""
        from optgen.optim import optimizer_class

        return optimizer_class(self._entry)

    @functools.cached_property
    def torch(self) -> type[Any]:
        """The class of a `torch.optim.Optimizer`."""
        from optgen.runtime.torch_optimizer import optimizer_class

        return optimizer_class(self._entry)

    @functools.cached_property
    def lucid(self) -> type[Any]:
        """The class of an optimizer with lucid.optim's interface, on numpy arrays."""
        from optgen.runtime.lucid_optimizer import optimizer_class

        return optimizer_class(self._entry)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or hasattr(type(self), name):
            # What a front-end lacks while it is made is no attribute of this.
            return object.__getattribute__(self, name)
        told = f"{self.spec.name!r} has no {name!r}; there are {', '.join(_FRONT_ENDS)}, spec and files"
        raise AttributeError(told, name=name, obj=None)

    def __repr__(self) -> str:
        return f"<optgen optimizer {self.spec.name}{inspect.signature(self.optim)}>"


def define(
    name: str,
    equations: str,
    /,
    *,
    wraps: Mapping[str, CustomOptimizer | str] | None = None,
    counts: Mapping[str, int | np.integer[Any]] | None = None,
    **defaults: Value,
) -> CustomOptimizer:
    """Compile an optimizer from its equations.

    Args:
        name: in lower case, with underscores.
        equations: the update rule, in the language of docs/language.md; it assigns `theta[t]`.
        wraps: the name by which the equations call another optimizer, and that optimizer: one defined before, or the
            name of one in the catalogue, with its default options. Its hyperparameters take the name as a prefix:
            `base_beta1`. Its learning rate is the `lr` of both.
        counts: options that are integers fixed when the optimizer is built, such as the length of a history or the
            turns of a loop, with their defaults.
        **defaults: each hyperparameter's default; None for one that may be absent; a bool declares an option. They may
            be called `name` and `equations`, but not `wraps` or `counts`.

    Raises:
        SpecError: a mistake in the equations, shown in place.
        TypeError: a default is of no such type, or is given in `counts` as well.
        ValueError: `wraps` names several optimizers, or none.
    """
    own: dict[str, Any] = {"wraps": wraps, "counts": counts}
    numbers = {argument: given for argument, given in own.items() if isinstance(given, int | float | np.generic)}
    if numbers:  # meant as defaults, which cannot be called so
        defaults, wraps, counts = {**numbers, **defaults}, None, None
    if wraps is not None and len(wraps) != 1:
        raise ValueError(f"{name} wraps one optimizer: wraps={{'base': 'adam'}}")
    called = next(iter(wraps)) if wraps else ""
    inner = _defined(wraps[called]) if wraps else None
    try:
        return CustomOptimizer(Definition(equations, name, inner, called, defaults, dict(counts or {})))
    except SpecError as error:
        # The mistake is in the equations; the compiler's own frames would only hide it.
        raise error.with_traceback(None) from None


def load(path: Path | str, *, wraps: CustomOptimizer | str | None = None) -> CustomOptimizer:
    """Compile an optimizer from a spec file.

    Args:
        path: the file, or the name of an optimizer of the catalogue, whose every option is then an argument.
        wraps: the optimizer that it wraps, if it wraps one; the one that the file names as `wrapped` if None.

    Raises:
        SpecError: a mistake in the spec, shown in place.
        UnknownOptimizer: the name is none of the catalogue, nor that of a file.
        OSError: the file cannot be read.
    """
    if isinstance(path, str) and path in catalogue_names():
        path = specs_folder() / f"{path}.toml"
    elif isinstance(path, str) and not path.endswith(".toml") and not Path(path).exists():
        if told := not_generated(path):
            raise UnknownOptimizer(told)
        hint = did_you_mean(path, catalogue_names(), "a file's name ends with .toml")
        raise UnknownOptimizer(f"there is no optimizer '{path}' in the catalogue, and no such file; {hint}")
    try:
        definition = Definition(read_text(path, str(path)), str(path), None)
        spec = definition.spec()
    except SpecError as error:
        raise error.with_traceback(None) from None
    wraps = wraps if wraps is not None else spec.wrapped or None
    if bool(spec.wraps) != (wraps is not None):
        wanted = f"wraps an optimizer: load({str(path)!r}, wraps=...)" if spec.wraps else "wraps no optimizer"
        raise ValueError(f"{spec.name} {wanted}")
    return CustomOptimizer(replace(definition, wraps=_defined(wraps)))


def _defined(wrapped: CustomOptimizer | str | None) -> Definition | str | None:
    """An optimizer that another is to wrap, as a definition has it."""
    return wrapped.definition if isinstance(wrapped, CustomOptimizer) else wrapped
