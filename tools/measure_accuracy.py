"""How closely the jax target follows the equations, for every variant that is generated.

float64: the largest difference from the interpreter over 25 steps, relative to the tensor's largest number.
float32: the largest error of a single step as a fraction of the running error bound of float32 arithmetic, once with
parameters of size 1, and once from 0 on, so that the rounding of the parameter does not cover up that of the update;
and the error of the parameter itself in units of its last place, where correct rounding alone makes 0.5.

Run: python tools/measure_accuracy.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import jax
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))

from optgen._paths import specs_folder
from optgen.compiler.ahead import choices_ahead
from optgen.language.reader import read_spec
from optgen.reference.compare import follow_float64, parameter_ulps, within_float32
from tests.targets.jax_target import compile_target, hyperparameters_of

if __name__ == "__main__":
    columns = ("float64, relative", "float32, of bound", "float32 from 0, of bound", "float32, ulp of parameter")
    table = Table(*columns, "variant")
    table.columns[-1].no_wrap = True
    worst = [0.0, 0.0, 0.0, 0.0]
    for path in sorted(specs_folder().glob("*.toml")):
        spec = read_spec(path)
        for name, choice in choices_ahead(spec).items():
            values = hyperparameters_of(spec, choice)
            rule, target = compile_target(spec, name, choice, values)
            with jax.enable_x64(True):
                seen = [follow_float64(rule, values, target)]
            with jax.enable_x64(False):
                seen += [within_float32(rule, values, target, start=start) for start in (1.0, 0.0)]
                seen.append(parameter_ulps(rule, values, target))
            worst = [max(pair) for pair in zip(worst, seen, strict=True)]
            table.add_row(f"{seen[0]:.1e}", *(f"{one:.2f}" for one in seen[1:]), f"{spec.name} {name}")
    table.add_row(f"{worst[0]:.1e}", *(f"{one:.2f}" for one in worst[1:]), "worst", style="bold")
    Console(width=120).print(table)
