"""What is wrong is named, with what was given and expected, and nothing has changed."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from optgen.errors import HyperparameterTypeError, InvalidHyperparameter, NotRegistered, StateMismatch, TreeMismatch
from optgen.optim import LBFGS, SGD, Adam, AdamW, Lookahead, Momentum, StepLR
from tests.optim.held import Box, box, ones


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: Adam(lr=-0.1), InvalidHyperparameter, "Adam: lr = -0.1 is outside its domain: lr >= 0"),
        (
            lambda: Adam(betas=(1.0, 0.9)),
            InvalidHyperparameter,
            "betas (beta1) = 1.0 is outside its domain: 0 <= beta1 < 1",
        ),
        (lambda: Adam(betas=(-0.1, 0.9)), InvalidHyperparameter, "betas (beta1) = -0.1 is outside"),
        (lambda: Adam(eps=-1e-8), InvalidHyperparameter, "Adam: eps = -1e-08 is outside its domain: eps >= 0"),
        (lambda: Adam(weight_decay=-1), InvalidHyperparameter, "Adam: weight_decay = -1 is outside its domain"),
        (lambda: Adam(grad_clip_norm=0.0), InvalidHyperparameter, "Adam: grad_clip_norm = 0.0 is outside its domain"),
        (lambda: Adam(lr="0.1"), HyperparameterTypeError, "Adam: lr is a number, an array or a schedule, not '0.1'"),
        (lambda: Adam(lr=None), HyperparameterTypeError, "Adam: lr is a number, an array or a schedule, not None"),
        (lambda: Adam(eps=None), HyperparameterTypeError, "Adam: eps is a number or an array, not None"),
        (
            lambda: Adam(eps=optax.constant_schedule(1.0)),
            HyperparameterTypeError,
            "Adam: eps is a number or an array, not",
        ),
        (lambda: Adam(eps=StepLR()), HyperparameterTypeError, "Adam: eps is a number or an array; StepLR("),
        (lambda: Adam(amsgrad=1), HyperparameterTypeError, "Adam: amsgrad is True or False, not 1"),
        (lambda: Adam(skip_nonfinite=1), HyperparameterTypeError, "Adam: skip_nonfinite is True or False, not 1"),
        (lambda: Adam(beta3=1), TypeError, "Adam: got an unexpected keyword argument 'beta3'; did you mean 'beta"),
        (lambda: Adam(lr=StepLR(-1.0)), InvalidHyperparameter, "lr = -1.0 is outside its domain"),
        (
            lambda: LBFGS(linesearch="nope"),
            InvalidHyperparameter,
            "LBFGS: Unknown linesearch 'nope'; there are zoom, back",
        ),
        (lambda: LBFGS(linesearch=1), InvalidHyperparameter, "LBFGS: Unknown linesearch 1"),
        (
            lambda: Lookahead(SGD),
            HyperparameterTypeError,
            "Lookahead: base_optimizer is an optimizer of optgen.optim or",
        ),
    ],
)
def test_arguments(build, error, message):
    with pytest.raises(error, match=re.escape(message)):
        build()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "SGD was given no weights"),
        ({"a": {}}, "SGD was given no weights"),
        (box(1.0), "weights are a mapping of names to objects with a .value, and this is a Box"),
        ({"w": jnp.ones(3)}, "weights are a mapping of names to objects with a .value, and 'w' is a ArrayImpl"),
        ({"w": Box(jnp.ones(3, jnp.int32))}, "weight 'w' holds int32, and what is trained is of a real floating-point"),
        ({"w": Box(jnp.ones(3, jnp.complex64))}, "weight 'w' holds complex64"),
        ({"l": {"w": Box("ones")}}, "weight ('l', 'w') holds a str, and what is trained is an array"),
    ],
)
def test_weights(weights, message):
    optimizer = SGD()
    with pytest.raises(TreeMismatch, match=re.escape(message)):
        optimizer.register_trainable_weights(weights)
    assert optimizer.param_groups == []
    assert optimizer.opt_state is None


class TestGroups:
    def setup_method(self):
        self.weight = box(1.0)
        self.optimizer = Adam()
        self.optimizer.register_trainable_weights({"w": self.weight})

    @pytest.mark.parametrize(
        ("params", "given", "error", "message"),
        [
            (lambda s: {"v": s.weight}, {}, TreeMismatch, "Adam: weight 'v' is trained already, as 'w'"),
            (lambda s: {"w": box(2.0)}, {}, TreeMismatch, "Adam: 'w' is the name of another weight already"),
            (lambda s: {}, {}, TreeMismatch, "Adam was given no weights"),
            (lambda s: {"v": box(2.0)}, {"lr": -1}, InvalidHyperparameter, "Adam: lr = -1 is outside its domain"),
            (lambda s: {"v": box(2.0)}, {"lr": "fast"}, HyperparameterTypeError, "Adam: lr is a number"),
            (
                lambda s: {"v": box(2.0)},
                {"betas": 1},
                HyperparameterTypeError,
                "Adam: betas is a tuple (beta1, beta2), not 1",
            ),
            (lambda s: {"v": box(2.0)}, {"decay": 1}, TypeError, "Adam: got an unexpected keyword argument 'decay'"),
            (
                lambda s: {"v": box(2.0)},
                {"skip_nonfinite": True},
                TypeError,
                "skip_nonfinite is the optimizer's, not a group's",
            ),
        ],
    )
    def test_refused(self, params, given, error, message):
        with pytest.raises(error, match=re.escape(message)):
            self.optimizer.add_param_group(params(self), **given)
        assert len(self.optimizer.param_groups) == 1
        assert list(self.optimizer.param_states) == ["w"]
        assert self.optimizer.get_last_lr() == [1e-3]

    def test_before_registering(self):
        with pytest.raises(NotRegistered):
            Adam().add_param_group({"w": box(1.0)})

    def test_a_rate_of_its_own_where_the_schedule_has_no_base(self):
        optimizer = SGD(lr=optim_piecewise())
        optimizer.register_trainable_weights({"w": box(1.0)})
        with pytest.raises(
            InvalidHyperparameter, match=r"lr = 0.5 of a group cannot follow PiecewiseConstantSchedule, whose values"
        ):
            optimizer.add_param_group({"v": box(1.0)}, lr=0.5)
        assert len(optimizer.param_groups) == 1
        assert list(optimizer.param_states) == ["w"]


def optim_piecewise():
    from optgen.optim import PiecewiseConstantSchedule

    return PiecewiseConstantSchedule(boundaries=[3], values=[0.1, 0.01])


@pytest.mark.parametrize(
    ("gradients", "message"),
    [
        ({"w": jnp.ones(3, jnp.float32)}, "Adam: no gradient for [('l', 'b')]"),
        ({"w": jnp.ones(3, jnp.float32), "l": {"b": {"k": jnp.ones((2, 2))}, "c": 1}}, "no weight for [('l', 'c')]"),
        ({"w": jnp.ones(1, jnp.float32), "l": {"b": {"k": jnp.ones((2, 2))}}}, "'w' has shape (1,), its weight (3,)"),
        ({"w": jnp.float32(1.0), "l": {"b": {"k": jnp.ones((2, 2))}}}, "'w' has shape (), its weight (3,)"),
        ({"w": np.ones(3), "l": {"b": {"k": np.ones((2, 2))}}}, "has dtype float64, its weight float32"),
        ({"w": jnp.ones(3, jnp.int32), "l": {"b": {"k": jnp.ones((2, 2))}}}, "has dtype int32, its weight float32"),
        (
            {"w": jnp.ones(3, jnp.float32), "l": {"b": jnp.ones((2, 2))}},
            "the gradient of ('l', 'b') is PyTreeDef(*), its",
        ),
        (
            {"w": jnp.ones(3, jnp.float32), "l": jnp.ones(2)},
            "the gradients at 'l' are a mapping with the weights' names",
        ),
        ({"w": "ones", "l": {"b": {"k": jnp.ones((2, 2))}}}, "the gradient of 'w' holds 'ones', which is no array"),
        (None, "the gradients are a mapping with the weights' names, not a NoneType"),
    ],
)
def test_gradients(gradients, message):
    weights = {"w": box(1.0, 2.0, 3.0), "l": {"b": Box({"k": jnp.ones((2, 2), jnp.float64)})}}
    optimizer = Adam()
    optimizer.register_trainable_weights(weights)
    with pytest.raises(TreeMismatch, match=re.escape(message)):
        optimizer.step(gradients)
    np.testing.assert_array_equal(weights["w"].value, [1, 2, 3])
    assert optimizer.step_count == 0
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(optimizer.opt_state.value))


def test_before_registering():
    for use in (
        lambda o: o.step({}),
        lambda o: o.update({}),
        lambda o: o.state_dict(),
        lambda o: o.load_state_dict({}),
    ):
        with pytest.raises(NotRegistered, match="Adam: call register_trainable_weights"):
            use(Adam())


class TestSavedStates:
    @staticmethod
    def made(build=Adam, weights=None, groups=0):
        optimizer = build()
        weights = weights or {"w": box(1.0, 2.0)}
        optimizer.register_trainable_weights(weights)
        for i in range(groups):
            optimizer.add_param_group({f"more{i}": box(1.0)})
        return optimizer, weights

    @pytest.mark.parametrize(
        ("other", "message"),
        [
            ({"build": SGD}, "Adam: the saved state is of rule 'sgd', and this is of 'adam'"),
            ({"build": lambda: Adam(amsgrad=True)}, "of other options: amsgrad = True, and here it is False"),
            ({"weights": {"v": box(1.0, 2.0)}}, "the saved state lacks 'tensors/w/m', 'tensors/w/v' and holds"),
            ({"weights": {"w": box(1.0)}}, "tensors/w/m of the saved state has shape (1,), and (2,) is expected"),
            ({"weights": None}, "has dtype float64, and float32 is expected"),
            ({"groups": 1}, "the saved state has 2 parameter groups, and here there are 1"),
            ({"build": lambda: Adam(lr=StepLR())}, ""),
        ],
    )
    def test_of_something_else(self, other, message):
        optimizer, weights = self.made()
        optimizer.step(ones(weights))
        before = jax.tree.map(np.asarray, optimizer.state_dict())
        if "weights" in other and other["weights"] is None:
            other = {"weights": {"w": box(1.0, 2.0, dtype=jnp.float64)}}
        saved = self.made(**other)[0].state_dict()
        if not message:
            optimizer.load_state_dict(saved)  # the rate that was saved takes the number's place
            assert optimizer.current_lr == 1e-3
            return
        with pytest.raises(StateMismatch, match=re.escape(message)):
            optimizer.load_state_dict(saved)
        after = jax.tree.map(np.asarray, optimizer.state_dict())
        assert str(before) == str(after)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda s: s | {"format": 0}, "the saved state is of format 0, and this is of 1"),
            (
                lambda s: {k: v for k, v in s.items() if k != "format"},
                "has no entry 'format'; it holds optimizer, step",
            ),
            (lambda s: s | {"opt_state": None}, "a mapping of names to arrays, not NoneType"),
            (lambda s: {k: v for k, v in s.items() if k != "opt_state"}, "has no entry 'opt_state'"),
            (lambda s: s | {"step_count": "many"}, "'step_count' of the saved state is a count, not 'many'"),
            (lambda s: s | {"param_groups": []}, "'param_groups' of the saved state is a mapping, not list"),
            (
                lambda s: s | {"schedulers": {"0": {"kind": "StepLR", "state": {}}}},
                "saved state of a scheduler does not fit",
            ),
            (lambda s: [], "a saved state is a mapping, not list"),
        ],
    )
    def test_damaged(self, change, message):
        optimizer, weights = self.made(lambda: Adam(lr=StepLR(0.5, 3)), groups=1)
        optimizer.step({**ones(weights), "more0": jnp.ones(1, jnp.float32)})
        saved = optimizer.state_dict()
        before = str(jax.tree.map(np.asarray, saved))
        with pytest.raises(StateMismatch, match=re.escape(message)):
            optimizer.load_state_dict(change(saved))
        assert str(jax.tree.map(np.asarray, optimizer.state_dict())) == before

    def test_another_scheduler(self):
        optimizer, _ = self.made(lambda: AdamW(lr=StepLR()))
        saved = self.made(lambda: AdamW(lr=0.1))[0].state_dict()
        with pytest.raises(
            StateMismatch, match="saved from FixedLR, and here it comes from StepLR; load first, then set"
        ):
            optimizer.load_state_dict(saved)

    def test_hyperparameters_are_restored(self):
        first, _ = self.made(lambda: Momentum(lr=0.3, momentum=0.5))
        second, weights = self.made(lambda: Momentum(lr=0.1, momentum=0.9))
        second.load_state_dict(first.state_dict())
        assert (second.lr, second.momentum) == (0.3, 0.5)
        second.step(ones(weights))
        np.testing.assert_allclose(weights["w"].value, [0.7, 1.7], rtol=1e-6)
