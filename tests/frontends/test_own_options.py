"""Every option of a spec is an argument of what `optgen.load` gives, in every front-end, and of nothing else."""

from __future__ import annotations

import copy
import inspect
import pickle
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import optgen
import optgen.lucid
import optgen.torch
from optgen._paths import specs_folder
from optgen.errors import TreeMismatch
from optgen.runtime.arguments import dialect_of
from optgen.runtime.grouped_dialect import own_spelling
from optgen.runtime.manifests import catalogue_manifest, catalogue_names
from optgen.spec.reader import read_spec
from tests.language.trajectories import rule_of, run_rule

STEPS = 4
#: By rule, options and hyperparameters that no library's spelling has together.
WIDER: dict[str, dict[str, Any]] = {
    "nadam": {"as_printed": True, "grad_clip_norm": 0.5, "maximize": True},
    "adam": {"raw_eps": True, "nesterov": True, "eps": 0.1, "grad_clip_value": 0.3},
    "sgd": {"grad_clip_value": 0.3, "grad_clip_norm": 0.5, "maximize": True},
    "radam": {"as_printed": True, "maximize": True},
}
#: A rule of one's own with spellings that leave most of it out.
OWN = """
[optimizer]
name = "mine"
class = "Mine"
title = "Mine"
summary = "One's own."

[hyperparameters]
lr = { default = 0.1, symbol = 'l', domain = "lr >= 0", meaning = "learning rate" }
momentum = { default = 0.9, symbol = 'm', domain = "0 <= momentum < 1", meaning = "decay" }
weight_decay = { default = 0.0, symbol = 'w', domain = "weight_decay >= 0", absent = 0, meaning = "decay" }

[options]
nesterov = { default = false, meaning = "look ahead" }
decoupled_weight_decay = { default = true, meaning = "decay apart from the gradient" }

[equations]
rule = '''
if weight_decay and not decoupled_weight_decay:
    g = g + weight_decay*theta[t-1]
v[t] = momentum*v[t-1] + g
if nesterov:
    d = g + momentum*v[t]
else:
    d = v[t]
if weight_decay and decoupled_weight_decay:
    d = d + weight_decay*theta[t-1]
theta[t] = theta[t-1] - lr*d
'''
"""
SPELLED = """
[dialect.{library}]
name = "AdamW"
arguments = { lr = "lr", momentum = "momentum" }
"""


class Weight:
    """A weight as lucid and braintools have it."""

    def __init__(self, value: Any) -> None:
        self.value = self.data = value
        self.grad: Any = None


def gradients() -> list[np.ndarray]:
    random = np.random.default_rng(5)
    return [random.normal(size=(3, 4)) for _ in range(STEPS)]


def trained(one: optgen.CustomOptimizer, library: str, arguments: dict[str, Any]) -> np.ndarray:
    """The parameter after some steps in float64; it starts from ones."""
    start = np.ones((3, 4))
    if library == "torch":
        weight = torch.nn.Parameter(torch.tensor(start))
        optimizer = one.torch([weight], **arguments)
        for gradient in gradients():
            weight.grad = torch.tensor(gradient)
            optimizer.step()
        return weight.detach().numpy()
    if library == "lucid":
        held = Weight(start)
        optimizer = one.lucid([held], **arguments)
        for gradient in gradients():
            held.grad = gradient
            optimizer.step()
        return held.data
    with jax.enable_x64(True):
        boxes = {"w": Weight(jnp.asarray(start))}
        optimizer = one.optim(**arguments)
        optimizer.register_trainable_weights(boxes)
        for gradient in gradients():
            optimizer.step({"w": jnp.asarray(gradient)})
        return np.asarray(boxes["w"].value)


def expected(path: Path, arguments: dict[str, Any]) -> np.ndarray:
    """That parameter as the interpreter computes it."""
    rule, values = rule_of(read_spec(path), arguments, arguments)
    return run_rule(rule, values, [np.ones((3, 4))], [[g] for g in gradients()])[-1][0]


def test_every_hyperparameter_and_option_of_every_rule_is_an_argument() -> None:
    apart = {("lookahead", "braintools"): {"lr"}}  # an argument of braintools' own, which means the same
    for name in catalogue_names():
        manifest = catalogue_manifest(name)
        declared = {h.name for h in manifest.hyperparameters} | {o.name for o in manifest.options}
        for library in ("optax", "braintools", "torch", "lucid"):
            spelling = (own_spelling if library in ("torch", "lucid") else dialect_of)(manifest, library)
            taken = {target for argument in spelling.arguments for target in argument.targets}
            assert declared - taken == apart.get((name, library), set()), (name, library)


@pytest.mark.parametrize("library", ["torch", "lucid", "optim"])
@pytest.mark.parametrize("name", WIDER)
def test_options_that_the_library_lacks_are_computed(name: str, library: str) -> None:
    given = {"lr": 0.05, **WIDER[name]}
    one = optgen.load(name)
    # Of the options that a library's spelling sets, the spec's own defaults are what the interpreter is told.
    parameters = inspect.signature(getattr(one, library)).parameters
    given |= {o.name: o.default for o in one.spec.options if o.name in parameters and o.name not in given}
    wanted = {h.name: h.default for h in one.spec.hyperparameters if h.name in parameters} | given
    found = trained(one, library, wanted)
    np.testing.assert_allclose(found, expected(specs_folder() / f"{name}.toml", wanted), rtol=1e-12)


@pytest.mark.parametrize("library", ["torch", "lucid"])
def test_a_spelling_of_ones_own_leaves_nothing_out(library: str, tmp_path: Path) -> None:
    """Also by the name of a class of torch's whose groups hold an option that is no argument there."""
    path = tmp_path / "mine.toml"
    path.write_text(OWN + SPELLED.replace("{library}", library))
    one = optgen.load(path)
    signature = inspect.signature(getattr(one, library))
    assert list(signature.parameters)[:3] == ["params", "lr", "momentum"]
    for given in (
        {"nesterov": True, "weight_decay": 0.1, "grad_clip_norm": 0.5},
        {"weight_decay": 0.1, "decoupled_weight_decay": False, "maximize": True},
    ):
        np.testing.assert_allclose(trained(one, library, given), expected(path, given), rtol=1e-12)


@pytest.mark.parametrize("library", ["torch", "lucid"])
def test_the_catalogues_classes_have_the_librarys_arguments(library: str) -> None:
    module = {"torch": optgen.torch, "lucid": optgen.lucid}[library]
    with pytest.raises(TypeError, match="unexpected keyword argument 'as_printed'"):
        module.NAdam([torch.nn.Parameter(torch.ones(3))], as_printed=True)
    weight = Weight(np.ones(3)) if library == "lucid" else torch.nn.Parameter(torch.ones(3))
    group = module.NAdam([weight]).param_groups[0]
    assert not {"as_printed", "nesterov", "grad_clip_norm", "eps_root"} & group.keys()


@pytest.mark.parametrize("library", ["torch", "lucid"])
def test_wider_arguments_are_saved(library: str) -> None:
    """In pickles and in state dicts; a class that has no such argument refuses the state of another rule."""
    one = optgen.load("nadam")
    made, classes = getattr(one, library), {"torch": optgen.torch, "lucid": optgen.lucid}[library]

    def weight() -> Any:
        value = np.ones(3)
        return torch.nn.Parameter(torch.tensor(value)) if library == "torch" else Weight(value)

    def step(optimizer: Any, gradient: float) -> Any:
        (held,) = optimizer.param_groups[0]["params"]
        held.grad = torch.full_like(held, gradient) if library == "torch" else np.full(3, gradient)
        optimizer.step()
        return np.array(held.detach().numpy() if library == "torch" else held.data)

    def like(optimizer: Any) -> Any:
        """A new weight with the value of an optimizer's."""
        made = weight()
        made.data = copy.deepcopy(optimizer.param_groups[0]["params"][0].data)
        return made

    optimizer = made([weight()], lr=0.1, as_printed=True, grad_clip_norm=0.5)
    step(optimizer, 0.3)
    saved = optimizer.state_dict()
    again = made([like(optimizer)])
    again.load_state_dict(saved)
    unpickled = pickle.loads(pickle.dumps(optimizer))
    assert type(unpickled) is made
    after = step(optimizer, -0.7)
    np.testing.assert_array_equal(step(unpickled, -0.7), after)
    np.testing.assert_array_equal(step(again, -0.7), after)
    narrow = classes.NAdam([weight()])
    with pytest.raises(TreeMismatch, match=r"a rule with (as_printed|grad_clip_norm)="):
        narrow.load_state_dict(saved)
    usual = made([weight()])
    step(usual, 0.3)
    narrow = classes.NAdam([like(usual)])
    narrow.load_state_dict(usual.state_dict())
    np.testing.assert_array_equal(step(narrow, -0.7), step(usual, -0.7))
