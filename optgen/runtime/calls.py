"""Calls of a generated module's functions, each as soon as the values that it takes are known."""

from __future__ import annotations

import types
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from optgen.contract.manifest import CaseInfo, Function
from optgen.runtime.arrays import Array, Arrays


class FunctionCalls:
    """Calls the functions of a generated module.

    Args:
        module: it.
        arrays: the library of arrays.
        hyperparameters: their names, whose values may be Python numbers.
    """

    def __init__(self, module: types.ModuleType, arrays: Arrays, hyperparameters: Collection[str]) -> None:
        self.module = module
        self.arrays = arrays
        self.hyperparameters = hyperparameters

    def run(
        self,
        cases: Sequence[CaseInfo],
        envs: Sequence[dict[str, Any]],
        step_values: Mapping[str, Any],
        dtypes: Sequence[Any],
    ) -> None:
        """Call the functions of all tensors, each as soon as what it needs is known.

        A fold over the model is known when every tensor has given its part; tensors of different cases may get there
        after different numbers of calls.
        """
        once: dict[tuple[str, Any], dict[str, Any]] = {}
        parts: dict[str, tuple[str, list[Array]]] = {}
        pending = [[f for f in case.jax if f.level != "initial"] for case in cases]
        while any(pending):
            called = False
            for functions, env, dtype in zip(pending, envs, dtypes, strict=True):
                while functions and all(name in env for name in functions[0].arguments):
                    function = functions.pop(0)
                    called = True
                    # Numbers of the step or the model are the same for all tensors of one precision.
                    key = (function.name, dtype)
                    if function.level == "tensor":
                        values = self.call(function, env)
                    elif key in once:
                        values = once[key]
                    elif function.level == "step":
                        values = once.setdefault(key, self._call_for_step(function, {**env, **step_values}, dtype))
                    else:
                        values = once.setdefault(key, self.call(function, env))
                    folded = dict(function.folds)
                    env |= {name: value for name, value in values.items() if name not in folded}
                    for name, operation in function.folds:
                        parts.setdefault(name, (operation, []))[1].append(values[name])
            for name in [n for n, (_, gathered) in parts.items() if len(gathered) == len(envs)]:
                total = self._combined(*parts.pop(name))
                called = True
                for env, dtype in zip(envs, dtypes, strict=True):
                    env[name] = self.arrays.cast(total, dtype)
            assert called, "a function waits for a value that none computes"

    def call(self, function: Function, env: Mapping[str, Any]) -> dict[str, Any]:
        """Call one function on the values of names; its results by name."""
        values = getattr(self.module, function.name)(*(env[name] for name in function.arguments))
        return dict(zip(function.returns, values, strict=True))

    def _call_for_step(self, function: Function, env: Mapping[str, Any], dtype: Any) -> dict[str, Any]:
        """Numbers of the step, computed in float64 and cast once, as for every target.

        There are a handful per step, and some of them cancel: RAdam's rho loses three digits in float32.
        """
        values = {name: env[name] for name in function.arguments}
        # Python's own arithmetic raises where numpy's answers with Inf or NaN; what is constant is spelled for it.
        numbers = {n: v for n, v in values.items() if isinstance(v, float) and n not in self.hyperparameters}
        values |= {name: np.float64(value) for name, value in numbers.items()}
        found = self.arrays.call_for_step(self.module, function, values, dtype)
        return dict(zip(function.returns, found, strict=True))

    def _combined(self, operation: str, parts: Sequence[Array]) -> Array:
        total = parts[0]
        for part in parts[1:]:
            total = self.arrays.combined(operation, total, part)
        return total
