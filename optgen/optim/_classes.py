"""The classes of the optimizers of `optgen.optim`, one for each of the catalogue's."""

from __future__ import annotations

import inspect

from optgen.arguments.binding import signature
from optgen.arguments.own import ADDED
from optgen.arguments.spelling import dialect_of
from optgen.catalogue.entry import Entry
from optgen.contract.dialects import Dialect
from optgen.frontends.names import generated_class
from optgen.optim._base import Optimizer


def optimizer_class(entry: Entry, dialect: Dialect | None = None) -> type[Optimizer]:
    """The class of one optimizer, with braintools' name and arguments; the first if it has several names for it."""
    from optgen.optim._wrappers import PARENTS

    dialect = dialect or dialect_of(entry.manifest, "braintools")
    own = [argument.name for argument in dialect.arguments if not argument.targets]
    parent = next((PARENTS[name] for name in own if name in PARENTS), Optimizer)
    arguments = [argument.name for argument in dialect.arguments if not argument.instead]
    # A user's hyperparameter of the name of a method or attribute is read by `param_groups[0][name]` alone.
    taken = {name for cls in parent.__mro__ for name in (*vars(cls), *inspect.get_annotations(cls))}
    members = {name: _property(name) for name in arguments if name not in taken}
    return generated_class(parent, entry, dialect, "optgen.optim", signature(dialect, *ADDED), members)


def _property(name: str) -> property:
    return property(
        lambda self: self.argument(name),
        lambda self, value: self.change(name, value),
        doc=f"The argument `{name}` of the first group.",
    )
