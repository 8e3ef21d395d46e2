"""An optimizer that front-ends build from: its manifest, and its variants, loaded when first asked for."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from optgen._paths import generated_folder, specs_folder
from optgen.compiler.choice import Choice, choose, variant_name
from optgen.runtime.jax import JaxVariant
from optgen.runtime.manifests import catalogue_manifest
from optgen.runtime.modules import module_from_text
from optgen.spec.model import OptionValue, Spec
from optgen.targets.manifest import Manifest

if TYPE_CHECKING:
    from optgen.compiler.rule import Rule


@dataclass(slots=True)
class Entry:
    """An optimizer of the catalogue, or one that a user defined.

    Attributes:
        manifest: what was generated.
        read_module: reads the generated jax module.
        read_spec: reads the spec, which is needed only for variants that were not generated ahead.
        in_catalogue: whether it comes from files, so that variants compiled later are worth keeping on disk.
        read_wrapped: the rule of the optimizer that it wraps, None if it wraps none.
    """

    manifest: Manifest
    read_module: Callable[[], types.ModuleType]
    read_spec: Callable[[], Spec]
    in_catalogue: bool
    read_wrapped: Callable[[], Rule | None] = lambda: None
    _module: types.ModuleType | None = None
    _variants: dict[str, JaxVariant] = field(default_factory=dict)

    def __deepcopy__(self, memo: dict[int, object]) -> Entry:
        """What was generated is shared, not copied."""
        return self

    def variant(self, options: Mapping[str, OptionValue], values: Mapping[str, object]) -> JaxVariant:
        """The variant that option values and hyperparameter values stand for."""
        choice = choose(self.manifest, options, values)
        name = variant_name(self.manifest, choice)
        if name not in self._variants:
            self._variants[name] = self._load(name, choice)
        return self._variants[name]

    def _load(self, name: str, choice: Choice) -> JaxVariant:
        info = self.manifest.variant(name)
        if info is None:
            from optgen.runtime.ondemand import compile_variant_now

            return compile_variant_now(self, name, choice)
        if self._module is None:
            self._module = self.read_module()
        return JaxVariant(self.manifest.name, info, self._module)


@functools.cache
def catalogue_entry(name: str) -> Entry:
    """An optimizer of the catalogue.

    Raises:
        UnknownOptimizer: there is none of that name.
    """
    manifest = catalogue_manifest(name)

    def read_module() -> types.ModuleType:
        path = generated_folder() / name / "jax.py"
        return module_from_text(f"optgen_generated.{name}.jax", path.read_text(), str(path))

    def read() -> Spec:
        from optgen.spec.reader import read_spec

        return read_spec(specs_folder() / f"{name}.toml", manifest.spec)

    def read_wrapped() -> Rule | None:
        from optgen.compiler.wrapping import wrapped_rule

        return wrapped_rule(read(), specs_folder())

    return Entry(manifest, read_module, read, in_catalogue=True, read_wrapped=read_wrapped)
