"""Names that mean something to generated code or to a front-end: they work like any other, or are refused with why."""

from __future__ import annotations

import ast
import copy
import inspect
import itertools
import keyword
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import optgen
from optgen.errors import SpecError
from optgen.optax import apply_gradients
from optgen.optim.base import Optimizer as StatefulOptimizer
from optgen.runtime.grouped_dialect import FLAGS
from optgen.runtime.lucid_optimizer import Optimizer as LucidOptimizer
from optgen.runtime.optax_transformation import Transformation
from optgen.runtime.own_arguments import ADDED
from optgen.runtime.torch_optimizer import GeneratedOptimizer
from optgen.spec.language import RESERVED
from optgen.spec.names import ARGUMENTS, GENERATED, INPUTS, declared_problem, name_problem
from optgen.spec.reader import parse_spec
from optgen.targets.native.printer import c_name
from tests.text.named import FRONT_ENDS, by_lucid, by_torch, made, rule

ROOT = Path(__file__).parents[2]
HEADERS = ROOT / "optgen" / "runtime" / "native" / "c"
ROLES = ("hyperparameter", "switch", "count", "input", "state", "intermediate")
TABLE = {"hyperparameter": "hyperparameters", "switch": "options", "count": "options", "input": "inputs"}


def may_be_used(name: str, role: str) -> bool:
    """Whether the language leaves a name to a spec, in a role."""
    word = re.fullmatch(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*", name) and not keyword.iskeyword(name)
    refused = name in RESERVED or name_problem(name) or declared_problem(name, TABLE.get(role, ""))
    return bool(word) and not refused


REFUSED = [(role, name) for role in ROLES for name in GENERATED]
REFUSED += [(role, name) for role in ("hyperparameter", "switch", "count") for name in ARGUMENTS]
REFUSED += [("input", name) for name in INPUTS]


@pytest.mark.parametrize(("role", "name"), REFUSED)
def test_a_name_is_refused_with_the_reason(role: str, name: str) -> None:
    why = "a word of the generated code" if name in GENERATED else (INPUTS if role == "input" else ARGUMENTS)[name]
    with pytest.raises(SpecError, match=re.escape(f"'{name}' is {why}")) as caught:
        made(role, [name])
    place = caught.value.location
    assert place.line_text[place.column - 1 :].startswith(name)
    if role == "hyperparameter":
        with pytest.raises(SpecError, match=re.escape(f"'{name}' is {why}")):
            optgen.define("named", f"theta[t] = theta[t-1] - lr*{name}*g", **{"lr": 0.1, name: 0.5})


@pytest.mark.parametrize("name", ["params", "self", "fused", "state_dtype"])
def test_an_argument_of_a_dialect_is_refused_too(name: str) -> None:
    dialect = f'[dialect.torch]\nname = "Named"\narguments = {{ {name} = "lr" }}\n'
    with pytest.raises(SpecError, match=re.escape(f"'{name}' is {ARGUMENTS[name]}")):
        parse_spec(rule("state", ["m"]) + dialect, "named.toml")


def test_the_page_has_every_name() -> None:
    page = (ROOT / "docs" / "language.md").read_text()
    listed = set(re.findall(r"`([^`]+)`", page.split("These names cannot be chosen")[1].split("The LaTeX `symbol`")[0]))
    assert {*GENERATED, *ARGUMENTS, *INPUTS} <= listed


def parameters_of(*functions: Callable[..., Any]) -> set[str]:
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {p.name for f in functions for p in inspect.signature(f).parameters.values() if p.kind in kinds}


def test_no_argument_of_a_front_end_is_left_to_a_spec() -> None:
    """As the front-ends have them now: one more is one more in the tables."""
    steps = (StatefulOptimizer.step, StatefulOptimizer.update, GeneratedOptimizer.step, LucidOptimizer.step)
    assert parameters_of(*steps, Transformation.update, Transformation.apply, apply_gradients) <= {*INPUTS}
    own = {"params", *(name for flags in FLAGS.values() for name in flags), *(p.name for p in ADDED)}
    assert own <= {*ARGUMENTS}


def test_no_entry_of_a_group_is_left_to_a_spec() -> None:
    """Entries that torch and its schedulers write into groups of parameters."""
    adam = optgen.load("adam").torch
    found: set[str] = set()
    schedulers = torch.optim.lr_scheduler
    for make in (
        lambda o: schedulers.LambdaLR(o, lambda _: 1.0),
        lambda o: schedulers.OneCycleLR(o, 0.1, 10),
        lambda o: schedulers.CyclicLR(o, 0.01, 0.1, cycle_momentum=True),
        lambda o: torch.optim.swa_utils.SWALR(o, 0.1),
    ):
        optimizer = adam([("w", torch.nn.Parameter(torch.ones(2)))], skip_nonfinite=True)
        make(optimizer)
        optimizer.param_groups[0]["params"][0].grad = torch.tensor([torch.nan, 1.0])
        optimizer.step()
        found |= {*optimizer.param_groups[0]} - {*optimizer.defaults}
    # `max_lr` is left: OneCycleLR alone has it, which sets every learning rate anyhow.
    assert {"params", "param_names", "initial_lr", "skipped_steps"} <= found
    assert found - {"max_lr"} <= {*ARGUMENTS}


def loose_names(text: str) -> Iterator[str]:
    """The names that functions of a file read and do not give a value."""
    for function in ast.walk(ast.parse(text)):
        if isinstance(function, ast.FunctionDef) and not function.name.startswith("_"):
            nodes = [node for statement in function.body for node in ast.walk(statement)]
            own = {argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)}
            own |= {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
            yield from (n.id for n in nodes if isinstance(n, ast.Name) and n.id not in own)


def test_no_word_of_generated_python_is_left_to_a_spec() -> None:
    files = itertools.chain(*((ROOT / "generated").glob(f"*/{name}.py") for name in ("jax", "eager", "triton")))
    texts = [
        *(path.read_text() for path in files),
        *(t for f, t in made("state", ["m"]).files.items() if f.endswith(".py")),
    ]
    words = {name for text in texts for name in loose_names(text)}
    assert {"jnp", "xp", "tl", "isinstance", "functools"} & words >= {"jnp", "xp", "tl"}
    assert {name for name in words if may_be_used(name, "intermediate")} == set()


def test_no_word_of_c_stays_a_name(tmp_path: Path) -> None:
    """Keywords, and what is a macro without arguments in a kernel or after any usual header."""
    path = tmp_path / "kernel.c"
    path.write_text(made("state", ["m"]).files["native.c"])
    headers = "math stdint string complex inttypes limits float errno stdbool iso646".split()
    found = set("inline restrict int long double auto register typeof asm".split())
    for arguments in (["-DOPTGEN_BITS=32", f"-I{HEADERS}", str(path)], [*(f"-include{h}.h" for h in headers), "-"]):
        command = ["cc", "-dM", "-E", "-x", "c", "-std=gnu11", *arguments]
        told = subprocess.run(command, input="", capture_output=True, text=True, check=True).stdout
        found |= set(re.findall(r"^#define ([A-Za-z]\w*)(?= |$)", told, re.MULTILINE))
    assert {"NAN", "INFINITY", "INT64_MAX", "I", "errno", "linux"} <= found
    assert {n for n in found if may_be_used(n, "intermediate") and c_name(n) in (n, *found)} == set()


#: Names with a meaning in C, in Python and in libraries of arrays.
CODE = (
    "NAN INFINITY M_PI INT64_MAX I linux errno fabs fmax memcpy number stored kept inline restrict double auto typeof "
    "d_part s_values V_axes abs_part int64_t main printf asm bool complex str int list print len object type "
    "Exception jit vmap array asarray numpy np torch block offsets mask program pid axis default_tensor default_step "
    "case default scalar tensor model one_minus_beta1 places stretch step_seed scale decoded"
).split()
#: Names with a meaning to front-ends.
FRONT_END = (
    "learning_rate betas beta1 beta2 weights step count index name state grads grad value value_fn loss updates update "
    "parameters lr_scheduler param_groups defaults entry dialect tx init apply key rng dtype shape args kwargs max_lr "
    "weight_decay momentum label zero_grad add_param_group state_dict load_state_dict v v_scales own_settings opt_state"
).split()
#: How many names a rule has, of which each switch makes two.
MOST = {"switch": 12, "count": 16, "input": 12}
CHOSEN = [(role, CODE, ("lucid", "lucid on arrays")) for role in ROLES]
CHOSEN += [(role, FRONT_END, ("lucid", "torch", "torch on arrays")) for role in ROLES]
CHOSEN += [(role, FRONT_END[:12], ("optax", "optim")) for role in ROLES]


@pytest.mark.parametrize(
    ("role", "names", "front_ends"), CHOSEN, ids=lambda value: value if isinstance(value, str) else value[0]
)
def test_numbers_do_not_depend_on_names(role: str, names: list[str], front_ends: tuple[str, ...]) -> None:
    names = [name for name in names if may_be_used(name, role)][: MOST.get(role)]
    plain, optimizer = made(role, [f"zz{i}z" for i in range(len(names))]), made(role, names)
    for front_end in front_ends:
        run = FRONT_ENDS[front_end]
        for found, expected in zip(run(optimizer), run(plain), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6, err_msg=front_end)


@pytest.mark.slow
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("front_end", sorted(FRONT_ENDS))
def test_numbers_do_not_depend_on_names_anywhere(role: str, front_end: str) -> None:
    """Every name in every front-end, as many at a time as a rule holds."""
    chosen = [name for name in (*FRONT_END, *CODE) if may_be_used(name, role)]
    for names in (chosen[i : i + MOST.get(role, 30)] for i in range(0, len(chosen), MOST.get(role, 30))):
        plain, optimizer = made(role, [f"zz{i}z" for i in range(len(names))]), made(role, names)
        for found, expected in zip(FRONT_ENDS[front_end](optimizer), FRONT_ENDS[front_end](plain), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


RULE = """
{0}[t] = 0.9*{0}[t-1] + 0.1*g
{1}[t] = 0.99*{1}[t-1] + 0.01*g**2
theta[t] = theta[t-1] - lr*{0}[t]/(sqrt({1}[t]) + 0.1)
"""


@pytest.mark.parametrize(
    "names", [("v", "v_scales"), ("v_scales", "v"), ("step", "count"), ("step", "step_state"), ("count", "count_state")]
)
@pytest.mark.parametrize("state_dtype", [None, "8bit", "8bit_stochastic", "bfloat16"])
def test_states_beside_what_is_kept_for_others(names: tuple[str, str], state_dtype: str | None) -> None:
    """Scales, and the count of steps, have names of their own in a checkpoint."""
    optimizer, plain = (optgen.define("named", RULE.format(*chosen), lr=0.1) for chosen in (names, ("a", "b")))
    for run in (by_torch, by_lucid):
        for found, expected in zip(
            run(optimizer, state_dtype=state_dtype), run(plain, state_dtype=state_dtype), strict=True
        ):
            np.testing.assert_array_equal(found, expected)
    assert len(set(optimizer.optax().init({"w": np.ones(2, np.float32)})._fields)) == 3


OF_AXES = """
{0}[t] = max(abs(g), over=other_axes) + 0.5*{0}[t-1]
{1}[t] = 0.5*{1}[t-1] + g
{2}[t] = 0.25*{2}[t-1] + 2*g
theta[t] = theta[t-1] - lr*({1}[t] + {2}[t] + min({0}[t], over=axes))
"""


@pytest.mark.parametrize(
    "names",
    [("V", "V_0", "V_1"), ("V", "V_1", "V_0_state"), ("V_0", "V", "V_0_0"), ("step", "step_0", "step_state_1")],
)
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
@pytest.mark.parametrize("shape", [(2,), (2, 3)])
def test_states_beside_the_vectors_of_another_ones_axes(names: tuple[str, ...], order: Any, shape: Any) -> None:
    """Each vector has a name of its own in a checkpoint of torch's."""
    *first, last = OF_AXES.strip().splitlines()
    text = "\n".join([*(first[index] for index in order), last])
    found = []
    for called in (names, ("A", "b", "c")):
        made = optgen.define("named", text.format(*called), lr=0.1)
        parameter = torch.nn.Parameter(torch.ones(shape))
        optimizer = made.torch([parameter])
        for step in range(4):
            parameter.grad = torch.linspace(-1, 1 + step, parameter.numel()).reshape(shape)
            optimizer.step()
            if step == 1:
                saved = copy.deepcopy(optimizer.state_dict())
                optimizer = made.torch([parameter])
                optimizer.load_state_dict(saved)
        assert len(optimizer.state[parameter]) == 3 + len(shape)
        found.append(parameter.detach())
    assert torch.equal(*found)


def test_vectors_of_axes_beside_a_count_of_that_name(tmp_path: Path) -> None:
    spec = """
[optimizer]
name = "counted"
class = "Counted"
title = "Counted"
summary = "A count with the name of a vector."
[hyperparameters]
lr = { default = 0.5, meaning = "learning rate", domain = "lr >= 0", symbol = 'l' }
[equations]
rule = '''
n[t] = max(abs(g), over=other_axes) + 0.5*n[t-1]
theta[t] = theta[t-1] - lr*min(n[t], over=axes)
'''
[dialect.torch]
name = "Counted"
arguments = { lr = "lr" }
count = "n_0"
"""
    path = tmp_path / "counted.toml"
    path.write_text(spec)
    parameter = torch.nn.Parameter(torch.zeros(2))
    optimizer = optgen.load(str(path)).torch([parameter])
    for _ in range(2):
        parameter.grad = torch.ones(2)
        optimizer.step()
    assert torch.equal(parameter.detach(), torch.full((2,), -1.25))
    assert optimizer.state[parameter].keys() == {"n_0", "n_state_0"}


@pytest.mark.parametrize("others", [{"learning_rate": True}, {"learning_rate": 0.5}, {"betas": 0.5}, {"betas": True}])
def test_arguments_that_libraries_call_otherwise(others: dict[str, Any]) -> None:
    """optax's name of `lr`, and torch's for `beta1` and `beta2` together."""
    (name, value), *_ = others.items()
    term = f"if {name}:\n    g = 1.5*g\n" if value is True else f"g = (1 + {name})*g\n"
    text = term + "m[t] = beta1*m[t-1] + beta2*g\ntheta[t] = theta[t-1] - lr*m[t]"
    found, plain = (
        optgen.define("named", text.replace(name, called), lr=0.1, beta1=0.9, beta2=0.5, **{called: value})
        for called in (name, "other")
    )
    for front_end, run in FRONT_ENDS.items():
        for a, b in zip(run(found), run(plain), strict=True):
            np.testing.assert_array_equal(a, b, err_msg=front_end)
