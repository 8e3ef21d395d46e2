"""The registry of targets: a further one is a module and a line."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from optgen.compiler.specialise import specialise
from optgen.contract.choice import default_choice
from optgen.language.definition import define_spec
from optgen.language.reader import read_spec
from optgen.pipeline.optimizer import generate
from optgen.pipeline.stages import show_target
from optgen.reference.interpret import Interpreter
from optgen.targets import registry
from optgen.targets.code import UnsupportedByTarget

SPECS = Path(__file__).resolve().parents[2] / "specs"

ADAM = """
m[t] = beta1*m[t-1] + (1 - beta1)*g
v[t] = beta2*v[t-1] + (1 - beta2)*g**2
theta[t] = theta[t-1] - lr*(m[t]/(1 - beta1**t))/(sqrt(v[t]/(1 - beta2**t)) + eps)
"""


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy target, registered."""
    monkeypatch.setitem(registry.TARGETS, "toy", "tests.support.toy_target:TOY")


@pytest.mark.parametrize("name", registry.TARGETS)
def test_every_target_is_what_its_line_says(name: str) -> None:
    target = registry.target(name)
    files = generate(read_spec(SPECS / "sgd.toml"), targets=(name,)).files
    assert target.name == name
    assert target.source in files
    assert (f"{name}.json" in files) is target.has_kernels


@pytest.mark.usefixtures("toy")
def test_a_target_that_is_registered_generates_and_runs() -> None:
    spec = define_spec("toy_adam", ADAM, {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8})
    files = generate(spec).files
    assert {"jax.py", "native.c", "triton.py", "toy.py"} <= files.keys()
    assert show_target(spec, "toy") == files["toy.py"]
    module: dict[str, object] = {}
    exec(files["toy.py"], module)
    values = {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8}
    reference = Interpreter(specialise(spec, default_choice(spec)), values)
    expected = reference.init([np.float64(1.0)])
    theta, states = 1.0, (0.0, 0.0)
    for t in range(1, 6):
        gradient = math.sin(t)
        expected = reference.step(expected, [np.float64(gradient)])
        *states, update = module["default"](theta, gradient, t, *states, **values)
        theta += update
        np.testing.assert_allclose(theta, expected.tensors[0].theta, rtol=1e-13)


@pytest.mark.usefixtures("toy")
def test_a_target_refuses_what_it_cannot_run() -> None:
    spec = define_spec("toy_norm", "theta[t] = theta[t-1] - lr*g/norm(g)", {"lr": 0.1})
    with pytest.raises(UnsupportedByTarget, match="the toy target has no reductions"):
        generate(spec)


def test_names_alone_load_no_emitter() -> None:
    script = "import sys, optgen.targets.registry as r; print(*r.TARGETS, 'sympy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [*registry.TARGETS, "False"]
