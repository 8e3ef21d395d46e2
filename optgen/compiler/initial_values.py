"""Initial values of states: which expressions they may be."""

from __future__ import annotations

from optgen.errors import SpecError
from optgen.language.functions import reduces
from optgen.language.model import Spec
from optgen.language.source import Span
from optgen.language.syntax import Call, Indexed, Name, Node, is_initial, walk


def check_initial(spec: Spec, node: Node) -> None:
    """Refuse an initial value that is not of hyperparameters, numbers and `theta[0]` only.

    Raises:
        SpecError: it reads something else, reduces, or calls the wrapped optimizer.
    """

    def fail(span: Span, message: str, hint: str) -> SpecError:
        return SpecError(message, spec.source.location(span), hint)

    known = {h.name for h in spec.hyperparameters}
    for part in walk(node):
        if isinstance(part, Indexed) and part.name == "theta" and is_initial(part):
            continue
        if isinstance(part, Indexed) or (isinstance(part, Name) and part.name not in known):
            message = "an initial value is made of hyperparameters and theta[0]"
            raise fail(part.span, message, "nothing else is known then")
        if isinstance(part, Call) and reduces(part.function, len(part.arguments)):
            message = f"'{part.function}' cannot reduce an initial value"
            raise fail(part.span, message, "it is computed element by element")
        if isinstance(part, Call) and part.function == spec.wraps:
            raise fail(part.span, f"'{part.function}' has not run before the first step", "leave it out")
