"""Pickles of earlier versions: modules have other names since, and what was saved loads nevertheless."""

from __future__ import annotations

import base64
import importlib
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from optgen._moved import MOVED

#: Written by version 0.1.0 before its modules were moved, after one step with gradients of ones (`scheduler`: two).
PICKLES = Path(__file__).with_name("earlier_pickles.json")


def earlier(name: str) -> object:
    return pickle.loads(base64.b64decode(json.loads(PICKLES.read_text())[name]))


def test_state_of_a_defined_optimizer() -> None:
    import jax.numpy as jnp

    import optgen

    state = earlier("defined")
    np.testing.assert_array_equal(state.m["w"], np.ones(4))
    defined = optgen.define("own", "m[t] = 0.9*m[t-1] + g\ntheta[t] = theta[t-1] - lr*m[t]", lr=0.1)
    updates, _ = defined.optax(0.1).update({"w": jnp.ones(4)}, state, {"w": jnp.zeros(4)})
    np.testing.assert_allclose(updates["w"], -0.1 * 1.9, rtol=1e-6)


def test_scheduler() -> None:
    scheduler = earlier("scheduler")
    assert float(scheduler.current_lrs.value[0]) == pytest.approx(0.05)
    scheduler.step()
    scheduler.step()
    assert float(scheduler.current_lrs.value[0]) == pytest.approx(0.005)


def test_torch_optimizer() -> None:
    optimizer = earlier("torch")
    (weight,) = optimizer.param_groups[0]["params"]
    assert optimizer.state[weight]["step"] == 1
    weight.grad = weight.detach().clone()
    optimizer.step()
    assert optimizer.state[weight]["step"] == 2


@pytest.mark.parametrize("name", MOVED)
def test_former_names_are_no_modules_of_today(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__spec__ is not None
    assert type(module.__spec__.loader).__name__ == "_FormerNames"
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = module.nothing


def test_a_fresh_process_loads_them() -> None:
    script = f"""
import base64, json, pickle
texts = json.loads(open({str(PICKLES)!r}).read())
print([type(pickle.loads(base64.b64decode(text))).__name__ for text in texts.values()])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "['OwnState', 'StepLR', 'AdamW']\n"
