"""Runs generated Triton kernels in Triton's interpreter and prints how far they are from the equations.

    python -m tests.targets.triton_interpreted ahead NAME...
    python -m tests.targets.triton_interpreted others NAME...

A process of its own, since the interpreter has to be chosen before Triton is imported and does not go together with
compiling. The first are the choices generated ahead, the second every other single switch of an option in every
library's spelling. Prints one JSON object: check → largest relative difference, or fraction of the allowed error.
"""

from __future__ import annotations

import os

os.environ["TRITON_INTERPRET"] = "1"

import json
import sys
import warnings
from typing import Any

import numpy as np
import torch
from triton.runtime import interpreter as triton_interpreter

from optgen._paths import specs_folder
from optgen.compiler.ahead import choices_ahead, every_choice
from optgen.compiler.rule import Rule
from optgen.compiler.specialise import specialise
from optgen.pipeline.wrapping import wrapped_rule
from optgen.reference.compare import (
    SHAPES,
    STEPS,
    allowed_step,
    follow_float64,
    largest_fraction,
    random_inputs,
    random_tensors,
    relative_difference,
    within_float32,
)
from optgen.reference.interpret import Interpreter
from optgen.runtime.triton.sizes import NUMBER_OPTIONS
from tests.targets.triton_rules import spec_named
from tests.targets.triton_target import TritonTarget, as_torch, compile_target, hyperparameters_of

#: NaN, infinities, zeros of both signs, large and small numbers, the smallest of float32 and of float64.
SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e18, -1e18, 1e-30, 1e-45, 5e-324, -5e-324, 0.7])


def splat_comparisons() -> None:
    """Mend Triton's interpreter: a comparison of single numbers keeps their type, and spread over a block becomes one
    of floats, which `&` and `|` refuse. The compiler has no such difficulty."""
    handle = triton_interpreter.TensorHandle

    def create_splat(_: object, result_type: Any, argument: Any) -> Any:
        value = np.ravel(argument.data)[0]
        return handle(np.full(result_type.shape, value, dtype=argument.data.dtype), argument.dtype.scalar)

    triton_interpreter.InterpreterBuilder.create_splat = create_splat


def special_values(rule: Rule, target: TritonTarget) -> float:
    """The difference over three steps with special gradients; infinite if NaN or Inf turn up in other places."""
    interpreter = Interpreter(rule, target.hyperparameters)
    start = random_tensors(0, [SPECIAL.shape], np.float64)
    model = interpreter.init(start)
    target.init(start)
    worst = 0.0
    for shift in range(3):
        gradient = np.roll(SPECIAL, shift)
        inputs = random_inputs(rule, shift, [SPECIAL.shape], np.float64)
        model = interpreter.step(model, [gradient], inputs)
        target.step([gradient], inputs)
        worst = max(worst, relative_difference(np.asarray(model.tensors[0].theta), target.snapshot().parameters[0]))
    return worst


def special_float32(rule: Rule, target: TritonTarget) -> float:
    """The largest error of float32 steps with special gradients, as a fraction of what float32 may be off by."""
    special = SPECIAL[:-3].astype(np.float32)  # what follows is zero in float32
    target.init(random_tensors(0, [special.shape], np.float32))
    worst = 0.0
    for step, shift in enumerate((0, 1, 3, 4)):
        gradients = [np.roll(special, shift)]
        inputs = random_inputs(rule, shift, [special.shape], np.float32)
        allowed = allowed_step(rule, target.hyperparameters, target.snapshot(), step, gradients, inputs)
        target.step(gradients, inputs)
        worst = max(worst, largest_fraction(allowed, target.snapshot()))
    return worst


def layouts(rule: Rule, target: TritonTarget) -> float:
    """The difference between strided and transposed tensors and contiguous copies of them, steps taken side by side."""
    generator = torch.Generator().manual_seed(0)
    base, changes = (torch.randn(6, 10, dtype=torch.float64, generator=generator) for _ in range(2))
    views = [base.T[:4], base[::2, 5:], base[1:, 4], base[0, 4]]
    gradients = [changes.T[:4], changes[::2, 5:], changes[1:, 4], changes[0, 4]]
    plain = [view.clone(memory_format=torch.contiguous_format) for view in views]
    untouched = base.clone()
    ours, theirs = (target.variant.init(some, target.hyperparameters) for some in (views, plain))
    for t in (1, 2, 3):
        inputs = as_torch(random_inputs(rule, t, [tuple(view.shape) for view in views], np.float64))
        target.rule.step(views, gradients, ours, t, target.hyperparameters, inputs)
        copies = [gradient.contiguous() for gradient in gradients]
        target.rule.step(plain, copies, theirs, t, target.hyperparameters, inputs)
    assert not torch.equal(base, untouched)
    return max(float((a - b).abs().max()) for a, b in zip(views, plain, strict=True))


def repeated(target: TritonTarget) -> float:
    """The difference between one prepared step that is made three times, and three steps."""
    generator = torch.Generator().manual_seed(0)
    start, gradient = (torch.randn(5, 7, dtype=torch.float64, generator=generator) for _ in range(2))
    found = []
    for once in (True, False):
        theta = start.clone()
        state = target.variant.init([theta], target.hyperparameters)
        prepared = target.rule.prepared([theta], [gradient], state)
        for t in (1, 2, 3):
            step = prepared if once else target.rule.prepared([theta], [gradient], state)
            step.run(t, target.hyperparameters)
        found.append(theta)
    return float((found[0] - found[1]).abs().max())


def numbers_of_steps(rule: Rule, target: TritonTarget) -> float:
    """The difference between numbers of the step that the host computes, and those that a kernel does."""
    launcher = target.rule.launcher
    names = launcher.plan.scalars
    random = np.random.default_rng(0)
    worst = 0.0
    for case in target.rule.plan.cases:
        for t in (1, 2, 7, 1000) if case.step is not None else ():
            known = {**target.hyperparameters, "t": float(t), "model_size": 1000.0, "tensor_count": 3.0}
            wanted = {n: known.get(n, float(random.uniform(0.1, 0.9))) for n in case.step.arguments}
            expected = launcher.numbers_of_step(case.step, wanted)
            table = torch.tensor([wanted.get(n, 0.0) for n in names], dtype=torch.float64)
            for kernel, constants in launcher.number_kernels(case.step, False):
                kernel[(1,)](table, **constants, **NUMBER_OPTIONS)
            for n, value in expected.items():
                worst = max(worst, relative_difference(np.array(value), table[names.index(n)].numpy()))
    return worst


def results(name: str, which: str) -> dict[str, float]:
    """All checks of one rule's variants; of others than those generated ahead, only that they follow the equations."""
    spec = spec_named(name)
    found = {}
    ahead = choices_ahead(spec)
    chosen = ahead if which == "ahead" else {n: c for n, c in every_choice(spec).items() if n not in ahead}
    for variant, choice in chosen.items():
        values = hyperparameters_of(spec, choice)
        wrapped = wrapped_rule(spec, specs_folder())
        rule = specialise(spec, choice, wrapped)
        values = {h.name: h.default for h in rule.hyperparameters} | values
        target = compile_target(spec, variant, choice, values, wrapped)
        key = f"{name} {variant}"
        # For L-BFGS's see STEPS_FLOAT64 in test_jax.py.
        steps = 12 if name == "lbfgs" else STEPS
        found[f"{key} numbers of steps"] = numbers_of_steps(rule, target)
        found[f"{key} float64"] = follow_float64(rule, values, target, SHAPES, steps)
        if which == "others":
            continue
        found[f"{key} special"] = special_values(rule, target)
        found[f"{key} special float32"] = special_float32(rule, target)
        found[f"{key} layouts"] = layouts(rule, target)
        if not rule.inputs:
            found[f"{key} repeated"] = repeated(target)
        found[f"{key} float32"] = within_float32(rule, values, target, steps=4)
    return found


if __name__ == "__main__":
    splat_comparisons()
    warnings.simplefilter("ignore")  # numpy's, of NaN and Inf inside the interpreter
    sys.stdout.write(
        json.dumps({key: value for name in sys.argv[2:] for key, value in results(name, sys.argv[1]).items()})
    )
