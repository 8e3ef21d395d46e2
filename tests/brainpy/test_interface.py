"""optgen.brainpy: brainpy's optimizers and schedulers, on brainpy's Variables or on any objects with a value."""

from __future__ import annotations

import importlib.util
import inspect
import re
import subprocess
import sys

import brainstate
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optgen.brainpy as brain
from optgen.errors import HyperparameterTypeError, InvalidHyperparameter, NotRegistered, StateMismatch, TreeMismatch
from tests.optim.held import Box, box, ones

with_brainpy = pytest.mark.skipif(importlib.util.find_spec("brainpy") is None, reason="brainpy is not installed")


class TestOptimizers:
    def test_signature_is_the_library_s(self):
        assert str(inspect.signature(brain.AdamW)) == (
            "(lr, train_vars=None, beta1=0.9, beta2=0.999, eps=1e-08, weight_decay=0.01, amsgrad=False, name=None, "
            "*, skip_nonfinite=False, state_dtype=None)"
        )
        assert {"SGD", "Momentum", "MomentumNesterov", "Adagrad", "Adadelta", "RMSProp", "Adam", "LARS", "Adan"} < set(
            dir(brain)
        )

    def test_adam_is_as_brainpy_computes_it(self):
        variable = box(1.0, -2.0, dtype=jnp.float64)
        optimizer = brain.Adam(0.1, {"w": variable}, 0.8, 0.9, eps=1e-3)
        m = v = np.zeros(2)
        theta = np.array([1.0, -2.0])
        for t in range(1, 5):
            g = np.array([0.5, t - 2.0])
            optimizer.update({"w": jnp.asarray(g)})
            m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g**2
            theta = theta - 0.1 * np.sqrt(1 - 0.9**t) / (1 - 0.8**t) * m / (np.sqrt(v) + 1e-3)
        np.testing.assert_allclose(variable.value, theta, rtol=1e-12)
        np.testing.assert_allclose(optimizer.implicit_vars["w_m"].value, m, rtol=1e-12)
        assert optimizer.step == 4

    def test_names_of_the_state(self):
        variables = {"a.W": Box(jnp.ones((2, 3))), "b": Box(jnp.ones(2))}
        assert set(brain.Adam(0.1, variables).implicit_vars) == {"a.W_m", "a.W_v", "b_m", "b_v"}
        assert set(brain.SM3(0.1, variables, momentum=0.5).implicit_vars) == {
            "a.W_m0", "a.W_m1", "a.W_mbuffer", "b_m0", "b_mbuffer"
        }  # fmt: skip
        assert set(brain.Adan(0.1, variables).vars()) == {
            "step", "lr.last_epoch", *(f"{v}_{s}" for v in variables for s in ("m", "v", "n", "prev_grad"))
        }  # fmt: skip

    def test_a_state_can_be_set_by_name(self):
        optimizer = brain.SM3(0.1, {"w": Box(jnp.ones((2, 3)))}, momentum=0.5)
        optimizer.implicit_vars["w_m1"].value = jnp.arange(3.0)[None]
        np.testing.assert_array_equal(optimizer.implicit_vars["w_m1"].value, [[0, 1, 2]])
        np.testing.assert_array_equal(optimizer.implicit_vars["w_m0"].value, [[0], [0]])

    def test_variables_registered_later(self):
        w, b = box(1.0), box(1.0)
        optimizer = brain.Momentum(0.1)
        with pytest.raises(NotRegistered, match=r"Momentum: call register_train_vars\(variables\) first"):
            optimizer.update({"w": jnp.ones(1)})
        optimizer.register_train_vars({"w": w})
        optimizer.update(ones({"w": w}))
        with pytest.warns(UserWarning, match="use register_train_vars"):
            optimizer.register_vars({"b": b})
        optimizer.update(ones({"w": w, "b": b}))
        np.testing.assert_allclose([w.value[0], b.value[0]], [1 - 0.1 - 0.19, 0.9], rtol=1e-6)
        assert list(optimizer.train_vars()) == ["w", "b"]

    def test_arguments_are_attributes_and_shown(self):
        optimizer = brain.LARS(0.1, tc=0.5, name="mine")
        assert (optimizer.tc, optimizer.momentum, optimizer.name) == (0.5, 0.9, "mine")
        assert "tc=0.5" in repr(optimizer)
        with pytest.raises(AttributeError, match="LARS has no attribute 'beta'"):
            _ = optimizer.beta

    def test_within_jit(self):
        results = []
        for jitted in (False, True):
            w = brainstate.ParamState(jnp.array([1.0, 2.0], jnp.float32))
            optimizer = brain.Adam(brain.ExponentialDecayLR(0.1, 2, 0.5), {"w": w})

            def step(w=w, optimizer=optimizer):
                optimizer.update({"w": w.value})

            run = brainstate.transform.jit(step) if jitted else step
            for _ in range(4):
                run()
            results.append(np.asarray(w.value))
            assert int(optimizer.lr.last_call.value) == 3
        np.testing.assert_allclose(*results, rtol=1e-6)

    def test_a_negative_rate_as_an_array(self):
        with pytest.raises(InvalidHyperparameter, match="is negative"):
            brain.Adam(jnp.asarray(-0.1), {"w": box(1.0)})

    def test_a_damaged_number_of_skipped_steps(self):
        optimizer = brain.Adam(0.1, {"w": box(1.0)})
        with pytest.raises(StateMismatch, match="'skipped_steps' of the saved state is a count, not -1"):
            optimizer.load_state_dict({**optimizer.state_dict(), "skipped_steps": -1})

    def test_a_step_is_left_out(self):
        variables = {"w": box(1.0)}
        optimizer = brain.Adam(brain.ExponentialDecayLR(0.1, 2, 0.5), variables, skip_nonfinite=True)
        optimizer.update({"w": jnp.array([np.nan], jnp.float32)})
        assert (int(optimizer.skipped_steps), int(optimizer.step), int(optimizer.lr.last_call.value)) == (1, 0, -1)
        assert float(variables["w"].value[0]) == 1
        optimizer.update(ones(variables))
        assert (int(optimizer.skipped_steps), int(optimizer.step), int(optimizer.lr.last_call.value)) == (1, 1, 0)

    def test_every_docstring_says_how_it_is_used(self):
        for name in dir(brain):
            kind = getattr(brain, name)
            if inspect.isclass(kind) and issubclass(kind, brain.Optimizer) and kind is not brain.Optimizer:
                lines = re.findall(r">>> (.*)", kind.__doc__)
                exec("\n".join(lines), {})


class TestSchedulers:
    def test_epochs_and_calls(self):
        by_epoch, by_call = brain.StepLR(0.1, 2, 0.5), brain.ExponentialDecayLR(0.1, 1, 0.5)
        rates = []
        for _ in range(4):
            rates.append((float(by_epoch()), float(by_call())))
            by_epoch.step_epoch()
            by_epoch.step_call()
            by_call.step_call()
            by_call.step_epoch()
        np.testing.assert_allclose(rates, [(0.1, 0.1), (0.1, 0.05), (0.05, 0.025), (0.05, 0.0125)])
        np.testing.assert_allclose([by_epoch(0), by_call(1)], [0.1, 0.05])

    def test_the_optimizer_counts_calls(self):
        optimizer = brain.SGD(brain.PiecewiseConstantLR([1, 3], [0.3, 0.2, 0.1]), {"w": box(0.0)})
        rates = []
        for _ in range(5):
            rates.append(float(optimizer.lr()))
            optimizer.update({"w": jnp.ones(1, jnp.float32)})
        np.testing.assert_allclose(rates, [0.3, 0.3, 0.2, 0.2, 0.1])
        np.testing.assert_allclose(optimizer.vars_to_train["w"].value, [-sum(rates)], rtol=1e-6)

    def test_another_start(self):
        scheduler = brain.CosineAnnealingLR(0.1, T_max=10)
        scheduler.set_value(0.2)
        np.testing.assert_allclose([scheduler(), scheduler(5)], [0.2, 0.1])
        assert (scheduler.T_max, scheduler.lr) == (10, 0.2)
        held = Box(jnp.asarray(0.5))
        of_variable = brain.ExponentialLR(held, 0.5)
        held.value = jnp.asarray(0.25)
        np.testing.assert_allclose(of_variable(1), 0.125)

    def test_last_epoch(self):
        np.testing.assert_allclose(brain.MultiStepLR(0.1, [10, 20], gamma=0.1, last_epoch=10)(), 0.01)

    def test_old_names(self):
        with pytest.warns(UserWarning, match="PolynomialDecay is deprecated, use PolynomialDecayLR"):
            assert isinstance(brain.PolynomialDecay(0.1, 10, 0.01), brain.CallBasedScheduler)

    @pytest.mark.parametrize(
        ("build", "error", "message"),
        [
            (lambda: brain.StepLR(0.1, 0), InvalidHyperparameter, "StepLR: step_size = 0 is outside"),
            (lambda: brain.StepLR(-0.1, 1), InvalidHyperparameter, "StepLR: lr = -0.1 is outside"),
            (lambda: brain.StepLR("0.1", 1), HyperparameterTypeError, "StepLR: lr is a number"),
            (lambda: brain.StepLR(0.1, 1, last_epoch=-2), InvalidHyperparameter, "last_epoch = -2 is below -1"),
            (lambda: brain.StepLR(0.1, 1, last_epoch=0.5), HyperparameterTypeError, "last_epoch is an integer"),
            (lambda: brain.StepLR(0.1, 1, last_call=1), TypeError, "StepLR: got an unexpected keyword argument"),
            (lambda: brain.Scheduler(0.1)(), NotImplementedError, "Scheduler: a subclass says what the rate is"),
        ],
    )
    def test_wrong_values(self, build, error, message):
        with pytest.raises(error, match=re.escape(message)):
            build()


class TestSaving:
    def test_another_instance_is_restored(self):
        def made():
            variables = {"w": box(1.0, 2.0), "b": box(3.0)}
            return brain.AdamW(brain.StepLR(0.1, 2, 0.5), variables, amsgrad=True), variables

        (first, variables), (second, others) = made(), made()
        for _ in range(3):
            first.update(ones(variables))
            first.lr.step_epoch()
        for name, variable in variables.items():
            others[name].value = variable.value
        result = second.load_state_dict(first.state_dict())
        assert (result.missing_keys, result.unexpected_keys) == ([], [])
        assert first.name != second.name
        for optimizer, held in ((first, variables), (second, others)):
            optimizer.update(ones(held, -0.5))
        for name in variables:
            np.testing.assert_array_equal(variables[name].value, others[name].value)

    def test_as_a_file(self, tmp_path):
        first = brain.Momentum(brain.ExponentialLR(0.1, 0.5), {"w": box(1.0), "half": box(1.0, dtype=jnp.bfloat16)})
        first.update(ones(first.vars_to_train))
        first.lr.step_epoch()
        first.save_states(tmp_path / "state.npz")
        second = brain.Momentum(brain.ExponentialLR(0.3, 0.5), {"w": box(1.0), "half": box(1.0, dtype=jnp.bfloat16)})
        second.load_states(tmp_path / "state.npz")
        assert float(second.lr()) == float(first.lr())
        for name, value in first.implicit_vars.items():
            np.testing.assert_array_equal(second.implicit_vars[name].value, value.value)
        with pytest.raises(ValueError, match=r"ends in .npz, not in 'state.h5'"):
            first.save_states(tmp_path / "state.h5")
        (tmp_path / "other.npz").write_bytes(b"nothing")
        with pytest.raises(StateMismatch, match="holds no state of an optimizer"):
            second.load_states(tmp_path / "other.npz")

    @pytest.mark.parametrize(
        ("other", "message"),
        [
            (lambda: brain.SGD(0.1, {"w": box(1.0)}), "Adam: the saved state is of rule 'sgd', and this is of 'adam'"),
            (lambda: brain.Adam(0.1, {"v": box(1.0)}), "the saved state lacks 'w_m', 'w_v' and holds 'v_m', 'v_v'"),
            (
                lambda: brain.Adam(0.1, {"w": box(1.0, 2.0)}),
                "w_m of the saved state has shape (2,), and (1,) is expected",
            ),
            (lambda: brain.Adam(brain.StepLR(0.1, 2), {"w": box(1.0)}), "saved from StepLR, and here it is Constant("),
        ],
    )
    def test_of_something_else(self, other, message):
        optimizer = brain.Adam(0.1, {"w": box(1.0)})
        optimizer.update({"w": jnp.ones(1, jnp.float32)})
        before = str(jax.tree.map(np.asarray, optimizer.state_dict()))
        with pytest.raises(StateMismatch, match=re.escape(message)):
            optimizer.load_state_dict(other().state_dict())
        with pytest.raises(StateMismatch, match="of format 7, and this is of 1"):
            optimizer.load_state_dict({**optimizer.state_dict(), "format": 7})
        assert str(jax.tree.map(np.asarray, optimizer.state_dict())) == before
        with pytest.raises(StateMismatch, match="amsgrad = True, and here it is False"):
            brain.AdamW(0.1, {"w": box(1.0)}).load_state_dict(
                brain.AdamW(0.1, {"w": box(1.0)}, amsgrad=True).state_dict()
            )


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: brain.Adam(-0.1), InvalidHyperparameter, "Adam: Constant: lr = -0.1 is outside its domain: lr >= 0"),
        (lambda: brain.Adam("0.1"), HyperparameterTypeError, "lr is a number, a Variable or a scheduler, not '0.1'"),
        (lambda: brain.Adam(None), HyperparameterTypeError, "lr is a number, a Variable or a scheduler, not None"),
        (lambda: brain.Adam(lambda step: 0.1), HyperparameterTypeError, "lr is a number, a Variable or a scheduler"),
        (lambda: brain.Adam(), TypeError, "Adam: missing a required argument: 'lr'"),
        (
            lambda: brain.Adam(0.1, beta1=1.0),
            InvalidHyperparameter,
            "Adam: beta1 = 1.0 is outside its domain: 0 <= beta1",
        ),
        (lambda: brain.Adam(0.1, eps=-1), InvalidHyperparameter, "Adam: eps = -1 is outside its domain"),
        (lambda: brain.Adam(0.1, weight_decay=-1), InvalidHyperparameter, "Adam: weight_decay = -1 is outside"),
        (lambda: brain.Adam(0.1, name=3), HyperparameterTypeError, "Adam: name is a string, not 3"),
        (
            lambda: brain.Adam(0.1, [box(1.0)]),
            TreeMismatch,
            "Adam: train_vars is a mapping of names to Variables, not a list",
        ),
        (lambda: brain.Adam(0.1, {"w": 3}), TreeMismatch, "objects with a .value, and 'w' is a int"),
        (lambda: brain.Optimizer(0.1), NotImplementedError, "Optimizer is the base of the optimizers; use one of them"),
    ],
)
def test_wrong_arguments(build, error, message):
    with pytest.raises(error, match=re.escape(message)):
        build()


@pytest.mark.parametrize(
    ("gradients", "message"),
    [
        ({}, "SGD: no gradient for ['w']"),
        ({"w": jnp.ones(2, jnp.float32), "v": 1}, "SGD: no weight for ['v']"),
        ({"w": jnp.ones(1, jnp.float32)}, "has shape (1,), its weight (2,)"),
        ({"w": np.ones(2, np.int32)}, "has dtype int32, its weight float32"),
        ({"w": [1.0, 2.0]}, "the gradient of 'w' is PyTreeDef([*, *]), its weight PyTreeDef(*)"),
    ],
)
def test_wrong_gradients(gradients, message):
    variable = box(1.0, 2.0)
    optimizer = brain.SGD(0.1, {"w": variable})
    for use in (optimizer.update, optimizer.check_grads):
        with pytest.raises(TreeMismatch, match=re.escape(message)):
            use(gradients)
    np.testing.assert_array_equal(variable.value, [1, 2])
    assert optimizer.step == 0


def test_it_is_imported_without_brainpy():
    code = "import sys, optgen.brainpy as b; b.Adam(0.1); assert not {'brainpy', 'brainstate'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@with_brainpy
class TestWithBrainpy:
    def test_its_variables_and_its_gradients(self):
        import brainpy as bp
        import brainpy.math as bm

        def trained(make, optimizers):
            variables = {"w": bm.Variable(bm.asarray([1.0, -2.0])), "b": bm.Variable(bm.asarray(0.5))}
            optimizer = make(optimizers)(0.05, train_vars=variables)
            gradient = bm.grad(lambda: ((variables["w"] * 2 + variables["b"]) ** 2).sum(), grad_vars=variables)

            @bm.jit
            def step():
                optimizer.update(gradient())

            for _ in range(5):
                step()
            return [np.asarray(bm.as_jax(v.value)) for v in variables.values()]

        for name in ("SGD", "Momentum", "Adagrad", "Adam", "AdamW", "RMSProp"):
            ours = trained(lambda library, name=name: getattr(library, name), brain)
            theirs = trained(lambda library, name=name: getattr(library, name), bp.optim)
            for a, b in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(a, b, rtol=2e-5, err_msg=name)

    def test_its_exception(self):
        import brainpy.math as bm
        from brainpy.errors import MathError

        with pytest.raises(MathError):
            brain.SGD(0.1, [bm.Variable(bm.ones(1))])
        with pytest.raises(MathError):
            brain.SGD(0.1, {"w": bm.Variable(bm.ones(1))}).update({})
