"""The functions of the host give what numpy's give in float64, where Python's own raise as well."""

from __future__ import annotations

import itertools
import math

import jinja2
import numpy as np
import pytest

from optgen._paths import specs_folder
from optgen.reference.functions import REFERENCE_FUNCTIONS
from optgen.targets.host import HostPrinter

NUMBERS = [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 2.0, 3.0, -3.0, 1e-320, 1e300, -1e300, 709.781, 710.0, -746.0, 1e16 + 1]
NUMBERS += [math.inf, -math.inf, math.nan]

ONE = {"log": np.log, "root": np.sqrt, "exp": np.exp, "expm1": np.expm1, "floor": np.floor, "ceil": np.ceil}
ONE |= {"sin": np.sin, "cos": np.cos, "sign": np.sign, "sigmoid": REFERENCE_FUNCTIONS["sigmoid"].value}
TWO = {"quotient": np.divide, "power": np.power, "max": np.maximum, "min": np.minimum, "modulo": np.mod}


@pytest.fixture(scope="module")
def host():
    folder = specs_folder().parent / "optgen" / "targets" / "templates"
    text = jinja2.Environment(trim_blocks=True).from_string((folder / "host.py.jinja").read_text())
    names = {"math": math}
    exec(text.render(uses=lambda name: True), names)
    return names


def same(actual, expected, is_zero_signed):
    if is_zero_signed and actual == 0:
        assert math.copysign(1, actual) == math.copysign(1, expected)
    np.testing.assert_allclose(actual, expected, rtol=1e-15, atol=0)


@pytest.mark.parametrize("name", ONE)
def test_functions_of_one_number(host, name):
    for x in NUMBERS:
        with np.errstate(all="ignore"):
            expected = ONE[name](np.float64(x))
        same(host[f"_host_{name}"](x), expected, name not in ("sign", "sin"))


@pytest.mark.parametrize("name", TWO)
def test_functions_of_two_numbers(host, name):
    for x, y in itertools.product(NUMBERS, NUMBERS):
        if name == "power" and y == 0.5 and x in (0.0, -math.inf):
            continue  # numpy takes a root, which is -0 and NaN; the powers are 0 and Inf
        with np.errstate(all="ignore"):
            expected = TWO[name](np.float64(x), np.float64(y))
        same(host[f"_host_{name}"](x, y), expected, name in ("quotient", "power"))


def test_there_are_no_others(host):
    functions = {name for name in host if name.startswith("_host_")}
    assert functions == {f"_host_{name}" for name in (*ONE, *TWO, "where", "not")}
    assert {name for name in HostPrinter.functions.values() if name.startswith("_host_")} <= functions
