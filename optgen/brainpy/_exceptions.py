"""Mistakes as brainpy reports them, where it is loaded."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from optgen.errors import TreeMismatch


@contextmanager
def in_brainpys_words() -> Iterator[None]:
    """Within it, a TreeMismatch is brainpy's MathError as well, so that code which catches that goes on to work."""
    try:
        yield
    except TreeMismatch as error:
        library = getattr(sys.modules.get("brainpy"), "errors", None)
        theirs = getattr(library, "MathError", None)
        if not isinstance(theirs, type) or isinstance(error, theirs):
            raise
        raise _both(theirs)(*error.args) from None


@functools.cache
def _both(theirs: type[Exception]) -> type[Exception]:
    return type("TreeMismatch", (TreeMismatch, theirs), {"__module__": "optgen.errors"})
