"""In which dtypes a gradient transformation keeps its states and gives its updates.

They are optax's, with two exceptions. States that `state_dtype` asks for in float32 are kept in the precision of the
arithmetic. And nothing is kept in float16 unless an argument names that dtype: squares of gradients of 1e-4 are zero in
it, and a second moment that is zero beside a first that is not gives steps of any size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from optgen.contract.library_state import LibraryStateLayout
from optgen.contract.manifest import VariantInfo
from optgen.errors import InvalidHyperparameter, TreeMismatch
from optgen.optax._arguments import Extras
from optgen.runtime.formats.codes import Blocks
from optgen.runtime.formats.state_dtypes import FLOAT32, asked_formats
from optgen.runtime.jax.complex import complex_dtype


class StateDtypes:
    """The dtypes of one transformation.

    Args:
        optimizer: what messages call it.
        info: the variant; of several, one.
        said: the dialect's layout, if it has one.
        own: the arguments that speak to the front-end.
        state_dtype: the argument of that name.
        shown: state → the field that holds it.

    Attributes:
        formats: of the states that are kept as `optgen.runtime.formats` says.

    Raises:
        InvalidHyperparameter: there is no such format, or two arguments say how a state is kept.
    """

    def __init__(
        self,
        optimizer: str,
        info: VariantInfo,
        said: LibraryStateLayout | None,
        own: Extras,
        state_dtype: Any,
        shown: Mapping[str, str],
    ) -> None:
        self._optimizer = optimizer
        self._named = own.dtypes
        self._of_library = said is not None
        self._of_default = said.dtypes.get("default", ()) if said is not None else ()
        asked = asked_formats(optimizer, state_dtype, info, shown)
        self.formats = {name: format for name, format in asked.items() if format != FLOAT32}
        self._in_full = asked.keys() - self.formats.keys()
        for argument, states in (said.dtypes if said is not None else {}).items():
            if own.spelled.get(argument) is not None and not asked.keys().isdisjoint(states):
                raise InvalidHyperparameter(
                    f"{optimizer}: {argument} and state_dtype say of one state how it is kept; a mapping leaves it out"
                )

    def first(self, name: str, parameter: jax.Array) -> Any:
        """The dtype in which a tensor's state starts."""
        if name in self._in_full:
            return complex_dtype(parameter)
        return self._named[name] if name in self._named else _no_half(parameter.dtype)

    def first_number(self, name: str, parameters: Sequence[jax.Array]) -> Any:
        """The dtype in which a number of the model starts: the narrowest of the parameters', as in optax."""
        default = jnp.zeros(()).dtype
        if name in self._in_full and parameters:
            return jnp.result_type(*map(complex_dtype, parameters))
        if name in self._of_default:
            return default
        dtypes = (parameter.dtype for parameter in parameters)
        return _no_half(min(dtypes, key=lambda dtype: dtype.itemsize, default=default))

    def check(self, name: str, stored: Any, where: str) -> None:
        """Refuse a state in a dtype that loses what the arguments ask to keep.

        Raises:
            TreeMismatch: it is in float16, which no argument names, or in less than float32, which is asked for.
        """
        if not self._of_library or name in self.formats:
            return
        for leaf in jax.tree.leaves(stored):
            dtype = jnp.result_type(leaf)
            if name in self._in_full and dtype.itemsize < 4:
                raise TreeMismatch(f"{where} is {dtype}, and state_dtype says {FLOAT32}; cast it, or leave that out")
            if dtype == jnp.float16 and name not in self._named:
                raise TreeMismatch(
                    f"{where} is float16, in which small numbers are lost; {self._optimizer} keeps it in float32, to "
                    "which optax.tree.cast brings it"
                )

    def update(self, gradient: jax.Array, parameter: jax.Array | None, reads: bool, stored: Mapping[str, Any]) -> Any:
        """The dtype of a tensor's update: what its gradient, its state and its parameter together have in optax.

        Args:
            gradient: the tensor's.
            parameter: the tensor, if it is given.
            reads: whether the rule computes with it.
            stored: its states.
        """
        dtypes = [gradient.dtype]
        if reads and parameter is not None:
            dtypes.append(parameter.dtype)
        is_half = parameter is not None and parameter.dtype == jnp.float16
        for name, value in stored.items():
            if name in self.formats or name in self._in_full or isinstance(value, Blocks):
                continue
            # What is kept in float32 here has the parameter's dtype in optax.
            own = [jnp.float16] if is_half and name not in self._named else _dtypes(value)
            dtypes += own
        return jnp.result_type(*dtypes)


def _dtypes(value: Any) -> Iterable[Any]:
    return [leaf.dtype for leaf in jax.tree.leaves(value)]


def _no_half(dtype: Any) -> Any:
    return jnp.dtype("float32") if dtype == jnp.float16 else dtype
