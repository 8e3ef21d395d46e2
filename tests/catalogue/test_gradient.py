"""maximize, clipping by global norm and by value: part of every rule, in the interpreter and in the targets."""

from __future__ import annotations

import numpy as np
import optax
import pytest

from optgen._paths import specs_folder
from optgen.compiler.analyse import analyse
from optgen.compiler.passes import schedule
from optgen.compiler.simplify import simplify
from optgen.compiler.specialise import specialise
from optgen.contract.choice import choose, variant_name
from optgen.language.definition import define_spec
from optgen.language.reader import read_spec
from optgen.pipeline.wrapping import wrapped_rule
from optgen.reference.compare import follow_float64
from tests.language.trajectories import difference, numbers, problem, run_optax, run_rule
from tests.targets.jax_target import compile_target, hyperparameters_of

ALL = {"grad_clip_norm": 1.5, "grad_clip_value": 0.3}


def rule_with(name: str, options, **values):
    spec = read_spec(specs_folder() / f"{name}.toml")
    given = {h.name: h.default for h in spec.hyperparameters} | values
    return specialise(spec, choose(spec, options, given)), numbers(given)


@pytest.mark.parametrize(
    ("options", "values", "before"),
    [
        ({"maximize": True}, {}, [optax.scale(-1.0)]),
        ({}, {"grad_clip_norm": 1.5}, [optax.clip_by_global_norm(1.5)]),
        ({}, {"grad_clip_norm": 1e3}, [optax.clip_by_global_norm(1e3)]),
        ({}, {"grad_clip_value": 0.3}, [optax.clip(0.3)]),
        ({"maximize": True}, ALL, [optax.scale(-1.0), optax.clip_by_global_norm(1.5), optax.clip(0.3)]),
    ],
)
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_the_same_as_optax_before_the_rule(options, values, before, weight_decay):
    """In the order maximize, global norm, value, and only then the L2 penalty."""
    parameters, gradients = problem()
    rule, given = rule_with("adam", options, lr=0.1, weight_decay=weight_decay, **values)
    decay = [optax.add_decayed_weights(weight_decay)] if weight_decay else []
    theirs = run_optax(optax.chain(*before, *decay, optax.adam(0.1)), parameters, gradients)
    assert difference(run_rule(rule, given, parameters, gradients), theirs) < 1e-9


@pytest.mark.parametrize("path", sorted(specs_folder().glob("*.toml")), ids=lambda p: p.stem)
def test_fused_into_every_rule_of_the_catalogue(path):
    """The jax functions of each rule with all three follow the interpreter."""
    spec = read_spec(path)
    wrapped = wrapped_rule(spec, specs_folder())
    choice = choose(spec, {"maximize": True}, ALL)
    values = hyperparameters_of(spec, choice) | ALL
    rule, target = compile_target(spec, variant_name(spec, choice), choice, values, wrapped)
    values.update({h.name: h.default for h in rule.hyperparameters if h.name not in values})
    assert follow_float64(rule, values, target, [(), (7,), (5, 3), (0,)], steps=3) <= 1e-12


def test_clipping_by_value_costs_no_pass_and_by_norm_one():
    def passes(**values):
        rule, _ = rule_with("adam", {}, **values)
        return [schedule(simplify(program)).element_passes for program in analyse(rule)]

    assert (passes(), passes(grad_clip_value=0.3), passes(grad_clip_norm=1.0)) == ([1], [1], [2])


def test_a_custom_rule_has_them_too_unless_it_uses_their_names():
    spec = define_spec("plain", "theta[t] = theta[t-1] - lr*g", {"lr": 0.1})
    rule = specialise(spec, choose(spec, {"maximize": True}, {}))
    theta = run_rule(rule, {"lr": 0.1}, [np.ones(2)], [[np.ones(2)]])[0][0]
    np.testing.assert_array_equal(theta, [1.1, 1.1])
    own = define_spec("own", "if maximize:\n    g = -2*g\ntheta[t] = theta[t-1] - lr*g", {"lr": 0.1, "maximize": True})
    assert [o.name for o in own.options] == ["maximize"]
    theta = run_rule(specialise(own, choose(own, {}, {})), {"lr": 0.1}, [np.ones(2)], [[np.ones(2)]])[0][0]
    np.testing.assert_allclose(theta, [1.2, 1.2], rtol=1e-15)
