"""Where an optimizer's variants come from: its manifest, its generated files, and the spec that they were made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optgen.contract.manifest import Manifest

if TYPE_CHECKING:
    from optgen.compiler.rule import Rule
    from optgen.language.model import Spec


@dataclass(slots=True)
class Origin:
    """The manifest, files and spec from which an optimizer's variants are loaded, or compiled if not generated ahead.

    Attributes:
        manifest: what was generated.
        read_text: reads a generated file of the catalogue, or of what was defined, by its name.
        read_spec: reads the spec, which is needed only for variants that were not generated ahead.
        in_catalogue: whether it comes from files, so that variants compiled later are worth keeping on disk.
        read_wrapped: the rule of the optimizer that it wraps, None if it wraps none.
    """

    manifest: Manifest
    read_text: Callable[[str], str]
    read_spec: Callable[[], Spec]
    in_catalogue: bool
    read_wrapped: Callable[[], Rule | None] = lambda: None
