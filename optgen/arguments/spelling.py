"""The dialect in which a constructor's arguments are spelled, completed by what the library lacks."""

from __future__ import annotations

from dataclasses import replace

from optgen.contract.dialects import Argument, Dialect, spelling
from optgen.contract.manifest import Manifest


def dialect_of(manifest: Manifest, library: str) -> Dialect:
    """The spelling of a user's own optimizer: its spec's for the library, or its own names in the library's manner.

    In both, every hyperparameter and option is an argument.
    """
    if (spelled := spelling(manifest.dialects, library)) is not None:
        return completed(manifest, _without_given(spelled))
    names = {h.name for h in manifest.hyperparameters} | {o.name for o in manifest.options}
    learning_rate = argument_name(library, "lr", names)
    arguments = [
        Argument(learning_rate if h.name == "lr" else h.name, (h.name,), (h.default,), keyword_only=h.name != "lr")
        for h in sorted(manifest.hyperparameters, key=lambda h: h.name != "lr")
    ]
    arguments += [Argument(o.name, (o.name,), (o.default,), keyword_only=True) for o in manifest.options]
    name = manifest.name if library == "optax" else manifest.class_name
    return Dialect(library, name, tuple(arguments))


def _without_given(dialect: Dialect) -> Dialect:
    """A spelling in which the rule makes itself what the library has another optimizer give it on every step.

    Which optimizer a rule wraps is then said where it is loaded, and that one's hyperparameters are arguments.
    """
    layout = dialect.layout
    if layout is None or not any(told.gives and not told.every for told in layout.transformations.values()):
        return dialect
    arguments = tuple(argument for argument in dialect.arguments if argument.targets)
    return replace(dialect, arguments=arguments, options={}, layout=None)


def completed(manifest: Manifest, dialect: Dialect) -> Dialect:
    """A spelling with all hyperparameters and options that it leaves out, by the spec's names and by keyword."""
    from optgen.contract.choice import dialect_defaults

    options, values = dialect_defaults(manifest, dialect)
    exposed = {target for argument in dialect.arguments for target in argument.targets}
    taken = exposed | {argument.name for argument in dialect.arguments}
    rest = {h.name: values[h.name] for h in manifest.hyperparameters} | {
        o.name: options[o.name] for o in manifest.options
    }
    added = tuple(
        Argument(argument_name(dialect.library, name, {*taken, *rest}), (name,), (default,), keyword_only=True)  # type: ignore[arg-type]
        for name, default in rest.items()
        if name not in taken
    )
    return replace(dialect, arguments=(*dialect.arguments, *added))


def argument_name(library: str, name: str, taken: set[str]) -> str:
    """The name of an argument that a library lacks; optax calls the learning rate by its full name."""
    return "learning_rate" if library == "optax" and name == "lr" and "learning_rate" not in taken else name
