"""An optimizer that front-ends build from: its manifest, and its variants, loaded when first asked for."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from optgen._paths import generated_folder, specs_folder
from optgen.catalogue.manifests import catalogue_manifest
from optgen.catalogue.on_demand import compile_variant_now
from optgen.catalogue.origin import Origin
from optgen.contract.choice import Choice, choose, variant_name
from optgen.contract.declarations import OptionValue
from optgen.contract.manifest import VariantInfo
from optgen.language.model import Spec
from optgen.runtime.backend import backend
from optgen.runtime.modules import module_from_text

if TYPE_CHECKING:
    from optgen.compiler.rule import Rule
    from optgen.contract.kernel_plan import VariantPlan
    from optgen.runtime.jax.variant import JaxVariant
    from optgen.runtime.native.library import Kernels
    from optgen.runtime.native.memory import HostMemory
    from optgen.runtime.native.rule import NativeRule
    from optgen.runtime.numpy.arrays import NumpyVariant
    from optgen.runtime.torch.arrays import TorchVariant
    from optgen.runtime.torch.triton import TritonRule
    from optgen.runtime.triton.launcher import Launcher
    from optgen.runtime.variant import ArrayVariant


V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class VariantSource:
    """The generated files that hold a variant.

    Attributes:
        info: the variant.
        names: what its modules are called after.
        read: a file's text, by its name.
        shown_as: what a file is called in tracebacks.
    """

    info: VariantInfo
    names: tuple[str, ...]
    read: Callable[[str], str]
    shown_as: Callable[[str], str]


@dataclass(slots=True)
class Entry(Origin):
    """An optimizer of the catalogue, or one that a user defined.

    Attributes:
        owner: what a user defined, which has this under `entry`; None in the catalogue.
    """

    owner: Any = None
    _found: dict[Choice, VariantSource] = field(default_factory=dict)
    _made: dict[tuple[str, str], Any] = field(default_factory=dict)
    _kernels: dict[str, Kernels] = field(default_factory=dict)

    def __deepcopy__(self, memo: dict[int, object]) -> Entry:
        """Return the entry itself: generated code is shared, not copied."""
        return self

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Name what gives it in another process."""
        return (catalogue_entry, (self.manifest.name,)) if self.in_catalogue else (getattr, (self.owner, "entry"))

    def variant(self, options: Mapping[str, OptionValue], values: Mapping[str, object]) -> JaxVariant:
        """The variant that option values and hyperparameter values stand for, on jax arrays."""
        from optgen.runtime.jax.variant import JaxVariant

        def make(source: VariantSource) -> JaxVariant:
            load = functools.partial(self.module, source, "jax.py")
            given = self.manifest.name, source.info, load(), None, load
            if not with_kernels:
                return JaxVariant(*given)
            from optgen.runtime.jax.kernel_variant import KernelJaxVariant

            by_c, by_triton = functools.partial(self.kernels, source), functools.partial(self.launcher, source)
            return KernelJaxVariant(by_c, by_triton, *given)

        with_kernels = backend() != "arrays"
        return self._variant("jax with kernels" if with_kernels else "jax", options, values, make)

    def complex_variant(self, options: Mapping[str, OptionValue], values: Mapping[str, object]) -> JaxVariant:
        """The variant on jax arrays some of which are complex."""
        from optgen.runtime.jax.complex import ComplexArrays, ComplexFunctions
        from optgen.runtime.jax.variant import JaxVariant

        def make(source: VariantSource) -> JaxVariant:
            module = self.module(source, "jax.py")
            vars(module)["jnp"] = ComplexFunctions()
            return JaxVariant(self.manifest.name, source.info, module, ComplexArrays())

        return self._variant("complex", options, values, make)

    def numpy_variant(self, options: Mapping[str, OptionValue], values: Mapping[str, object]) -> NumpyVariant:
        """The variant on numpy arrays."""
        from optgen.runtime.numpy.arrays import NumpyVariant, namespace

        def make(source: VariantSource) -> NumpyVariant:
            module = self.module(source, "eager.py", xp=namespace())
            return NumpyVariant(self.manifest.name, source.info, module)

        return self._variant("numpy", options, values, make)

    def torch_variant(self, options: Mapping[str, OptionValue], values: Mapping[str, object]) -> TorchVariant:
        """The variant on torch tensors, computed by torch's own functions."""
        from optgen.runtime.torch.arrays import TorchVariant

        def make(source: VariantSource) -> TorchVariant:
            return TorchVariant(self.manifest.name, source.info, lambda xp: self.module(source, "eager.py", xp=xp))

        return self._variant("torch", options, values, make)

    def plan(self, options: Mapping[str, OptionValue], values: Mapping[str, object]) -> VariantPlan:
        """How kernels of the variant run: which reductions there are, and over what."""
        from optgen.contract.kernel_plan import read_plan

        def make(source: VariantSource) -> VariantPlan:
            return read_plan(source.read("native.json").encode()).variant(source.info.name)

        return self._variant("plan", options, values, make)

    def native_rule(
        self,
        options: Mapping[str, OptionValue],
        values: Mapping[str, object],
        variant: ArrayVariant,
        memory: Callable[[Any], HostMemory],
    ) -> NativeRule:
        """The variant as C functions that change arrays in place.

        Args:
            options: values of all options.
            values: values of all hyperparameters.
            variant: the same variant on arrays.
            memory: where these stand.

        Raises:
            NoCompiler: they cannot be compiled.
        """
        from optgen.runtime.native.rule import NativeRule

        return self._variant(
            f"native {memory.__name__}",
            options,
            values,
            lambda source: NativeRule(self.kernels(source), variant, memory),
        )

    def triton_rule(
        self, options: Mapping[str, OptionValue], values: Mapping[str, object], variant: ArrayVariant
    ) -> TritonRule:
        """The variant as Triton kernels that change torch tensors in place.

        Args:
            options: values of all options.
            values: values of all hyperparameters.
            variant: the same variant on torch tensors.

        Raises:
            ImportError: Triton is not installed.
        """
        from optgen.runtime.torch.triton import TritonRule

        return self._variant("triton", options, values, lambda source: TritonRule(self.launcher(source), variant))

    def launcher(self, source: VariantSource) -> Launcher:
        """The Triton kernels of a file.

        Raises:
            ImportError: Triton is not installed.
        """
        from optgen.contract.kernel_plan import read_plan
        from optgen.runtime.triton.launcher import Launcher
        from optgen.runtime.triton.sizes import Sizes

        plan = read_plan(source.read("triton.json").encode())
        return Launcher(self.module(source, "triton.py"), plan, Sizes())

    def kernels(self, source: VariantSource) -> Kernels:
        """The native kernels of a file, compiled when first asked for."""
        from optgen.contract.kernel_plan import read_plan
        from optgen.runtime.native.library import Kernels

        text = source.read("native.c")
        if text not in self._kernels:
            plan = read_plan(source.read("native.json").encode())
            self._kernels[text] = Kernels("-".join(source.names), text, plan)
        return self._kernels[text]

    def module(self, source: VariantSource, file: str, **given: Any) -> types.ModuleType:
        """A generated file as a module.

        Args:
            source: what it belongs to.
            file: its name.
            **given: what the file is given by whoever loads it.
        """
        name = ".".join(["optgen_generated", *source.names, file.removesuffix(".py")])
        return module_from_text(name, source.read(file), source.shown_as(file), given)

    def _variant(
        self,
        library: str,
        options: Mapping[str, OptionValue],
        values: Mapping[str, object],
        make: Callable[[VariantSource], V],
    ) -> V:
        choice = choose(self.manifest, options, values)
        if choice not in self._found:
            self._found[choice] = self._source(choice)
        source = self._found[choice]
        key = (library, source.info.name)
        if key not in self._made:
            self._made[key] = make(source)
        made: V = self._made[key]
        return made

    def _source(self, choice: Choice) -> VariantSource:
        name = variant_name(self.manifest, choice)
        info = self.manifest.variant(name)
        if info is not None:

            def read(file: str) -> str:
                try:
                    return self.read_text(file)
                except FileNotFoundError:
                    # Kernels that are longer than people read are not made ahead.
                    return compile_variant_now(self, name, choice)[1][file]

            return VariantSource(info, (self.manifest.name,), read, self.shown_as)
        compiled, files = compile_variant_now(self, name, choice)
        shown = f"<optgen {self.manifest.name} {name}"
        return VariantSource(compiled, (self.manifest.name, name), files.__getitem__, lambda file: f"{shown} {file}>")

    def shown_as(self, file: str) -> str:
        """The name of a generated file in tracebacks."""
        if self.in_catalogue:
            return str(generated_folder() / self.manifest.name / file)
        return f"<optgen {self.manifest.name} {file}>"


@functools.cache
def catalogue_entry(name: str) -> Entry:
    """An optimizer of the catalogue.

    Raises:
        UnknownOptimizer: there is none of that name.
    """
    manifest = catalogue_manifest(name)

    def read_text(file: str) -> str:
        return (generated_folder() / name / file).read_text()

    def read() -> Spec:
        from optgen.language.reader import read_spec

        return read_spec(specs_folder() / f"{name}.toml", manifest.spec)

    def read_wrapped() -> Rule | None:
        from optgen.pipeline.wrapping import wrapped_rule

        return wrapped_rule(read(), specs_folder())

    return Entry(manifest, read_text, read, in_catalogue=True, read_wrapped=read_wrapped)
