"""optgen.optim's interface: weights of every kind, groups, rates, transformations, steps that are left out."""

from __future__ import annotations

import types

import brainstate
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import optgen
import optgen.optim as optim
from optgen.errors import InvalidHyperparameter
from optgen.optim import LBFGS, SGD, Adam, AdamW, Lamb, Lookahead, OptaxOptimizer, StepLR
from tests.optim.held import Box, box, ones


class TestWeights:
    def test_path_tuples_trees_and_nested_mappings(self):
        weights = {
            ("layer", "w"): Box({"weight": jnp.ones((2, 2)), "bias": jnp.zeros(2)}),
            "deep": {"er": [box(1.0), box(2.0)]},
        }
        optimizer = SGD(lr=0.5)
        optimizer.register_trainable_weights(weights)
        optimizer.step(
            {
                ("layer", "w"): {"weight": jnp.ones((2, 2)), "bias": jnp.ones(2)},
                "deep": {"er": [jnp.ones(1, jnp.float32), jnp.zeros(1, jnp.float32)]},
            }
        )
        np.testing.assert_array_equal(weights["layer", "w"].value["weight"], np.full((2, 2), 0.5))
        np.testing.assert_array_equal(weights["layer", "w"].value["bias"], [-0.5, -0.5])
        assert [float(b.value[0]) for b in weights["deep"]["er"]] == [0.5, 2.0]
        assert list(optimizer.param_states) == [("layer", "w"), ("deep", "er", 0), ("deep", "er", 1)]

    def test_one_state_under_two_names_is_one_weight(self):
        shared = brainstate.ParamState(jnp.ones(3))
        weights = {"encoder": shared, "decoder": shared}
        optimizer = Adam(lr=0.1)
        optimizer.register_trainable_weights(weights)
        assert len(optimizer.param_states) == 1
        once = {"encoder": shared}
        alone = Adam(lr=0.1)
        other = brainstate.ParamState(jnp.ones(3))
        alone.register_trainable_weights({"w": other})
        for _ in range(3):
            # brainstate gives the whole gradient under each of the names.
            grads = brainstate.transform.grad(lambda: (shared.value**3).sum(), weights)()
            optimizer.step(grads)
            alone.step(brainstate.transform.grad(lambda: (other.value**3).sum(), {"w": other})())
        np.testing.assert_array_equal(shared.value, other.value)
        optimizer.step(ones(once))
        optimizer.step({"decoder": jnp.ones(3)})

    def test_variables_as_flax_has_them(self):
        # An nnx.Param holds its array under .value, nnx.State is a mapping of them, and so is the gradient.
        class Param:
            def __init__(self, value):
                self.value = value

        state = {"linear": {"kernel": Param(jnp.ones((2, 3))), "bias": Param(jnp.zeros(3))}}
        optimizer = AdamW(lr=0.1)
        optimizer.register_trainable_weights(state)
        grads = {"linear": {"kernel": Param(jnp.ones((2, 3))), "bias": Param(jnp.ones(3))}}
        optimizer.step(grads)
        assert float(state["linear"]["kernel"].value[0, 0]) < 1
        assert isinstance(state["linear"]["kernel"], Param)

    def test_each_optimizer_in_and_out_of_jit(self):
        for build in (lambda: Adam(lr=0.1), lambda: Lamb(lr=0.1), lambda: Lookahead(SGD(lr=0.1), sync_period=2)):
            results = []
            for jitted in (False, True):
                w, h = (brainstate.ParamState(jnp.arange(1.0, 4.0, dtype=jnp.float32)) for _ in range(2))
                optimizer = build()
                optimizer.register_trainable_weights({("a", "w"): w})
                optimizer.add_param_group({"h": h})

                def step(optimizer=optimizer, w=w, h=h):
                    optimizer.step({("a", "w"): w.value * 2, "h": h.value * 2})

                run = brainstate.transform.jit(step) if jitted else step
                for _ in range(4):
                    run()
                assert int(optimizer.step_count) == 4
                results.append(np.stack([w.value, h.value]))
            np.testing.assert_allclose(results[0], results[1], rtol=2e-6)


class TestGroups:
    def test_a_group_is_a_mapping_of_its_settings(self):
        optimizer = Adam(lr=0.1, weight_decay=0.2)
        optimizer.register_trainable_weights({"w": box(1.0)})
        optimizer.add_param_group({"h": box(1.0)}, betas=(0.5, 0.6), lr=0.3)
        first, second = optimizer.param_groups
        assert (first["betas"], second["betas"]) == ((0.9, 0.999), (0.5, 0.6))
        assert (second["weight_decay"], second["lr"].value, second["lr"]) == (0.2, 0.3, 0.3)
        assert list(second["params"]) == ["h"]
        assert set(second) == {"params", "lr", *"betas eps weight_decay amsgrad grad_clip_norm grad_clip_value".split()}

    def test_its_settings_can_be_changed(self):
        weights = {"w": box(1.0), "h": box(1.0)}
        optimizer = SGD(lr=0.1)
        optimizer.register_trainable_weights({"w": weights["w"]})
        optimizer.add_param_group({"h": weights["h"]})
        optimizer.param_groups[1]["weight_decay"] = 0.5
        optimizer.step(ones(weights))
        np.testing.assert_allclose(weights["w"].value, [0.9], rtol=1e-6)
        np.testing.assert_allclose(weights["h"].value, [0.85], rtol=1e-6)
        with pytest.raises(InvalidHyperparameter, match="SGD: weight_decay = -1"):
            optimizer.param_groups[1]["weight_decay"] = -1
        with pytest.raises(InvalidHyperparameter, match="this setting changes what is kept of each weight"):
            optimizer.param_groups[1]["momentum"] = 0.9
        with pytest.raises(KeyError, match="SGD has no 'eps'"):
            optimizer.param_groups[1]["eps"] = 0.9
        optimizer.weight_decay = 1.0
        assert optimizer.param_groups[0]["weight_decay"] == 1.0

    def test_a_group_with_a_scheduler_of_its_own(self):
        weights = {"w": box(0.0), "h": box(0.0)}
        main, own = StepLR(0.1, 1, 0.1), StepLR(0.5, 1, 0.5)
        optimizer = SGD(lr=main)
        optimizer.register_trainable_weights({"w": weights["w"]})
        optimizer.add_param_group({"h": weights["h"]}, lr=own)
        own.step()
        assert optimizer.get_last_lr() == [0.1, 0.25]
        main.step()
        assert optimizer.get_last_lr() == [pytest.approx(0.01), 0.25]

    def test_rates_listed_for_each_group(self):
        optimizer = SGD(lr=StepLR([0.1, 0.2, 0.3], 1, 0.5))
        optimizer.register_trainable_weights({"a": box(0.0)})
        optimizer.add_param_group({"b": box(0.0)})
        optimizer.add_param_group({"c": box(0.0)})
        optimizer.lr_scheduler.step()
        assert optimizer.get_last_lr() == [0.05, 0.1, 0.15]

    @pytest.mark.parametrize(
        "scheduler",
        [
            lambda: optim.SequentialLR([optim.LinearLR(0.3, 0.1, total_iters=3), StepLR(0.3, 2, 0.5)], [3]),
            lambda: optim.ChainedScheduler([StepLR(0.3, 2, 0.5), optim.ExponentialLR(0.3, 0.9)]),
            lambda: optim.CosineAnnealingLR(0.3, T_max=5),
        ],
    )
    def test_a_group_s_own_rate_is_scaled_with_the_schedule(self, scheduler):
        made = scheduler()
        optimizer = SGD(lr=made)
        optimizer.register_trainable_weights({"a": box(0.0)})
        optimizer.add_param_group({"b": box(0.0)}, lr=0.03)
        for _ in range(5):
            first, second = optimizer.get_last_lr()
            assert second == pytest.approx(first / 10)
            made.step()

    def test_folds_and_clipping_are_the_group_s_own(self):
        # Gradients of norms 3 and 4: clipped to 1 each, where both together would be clipped to 3/5 and 4/5.
        w, h = box(0.0), box(0.0)
        optimizer = SGD(lr=1.0, grad_clip_norm=1.0)
        optimizer.register_trainable_weights({"w": w})
        optimizer.add_param_group({"h": h})
        optimizer.step({"w": jnp.array([3.0], jnp.float32), "h": jnp.array([4.0], jnp.float32)})
        np.testing.assert_allclose([w.value[0], h.value[0]], [-1, -1], rtol=1e-6)

    def test_a_group_counts_its_own_steps(self):
        w, late = box(0.0), box(0.0)
        optimizer = Adam(lr=0.1)
        optimizer.register_trainable_weights({"w": w})
        for _ in range(5):
            optimizer.step({"w": jnp.ones(1, jnp.float32)})
        optimizer.add_param_group({"late": late})
        optimizer.step({"w": jnp.ones(1, jnp.float32), "late": jnp.ones(1, jnp.float32)})
        np.testing.assert_allclose(late.value, [-0.1], rtol=1e-5)
        assert optimizer.step_count == 6


class TestRates:
    def test_added_scheduler_is_followed(self):
        optimizer, scheduler = SGD(lr=1.0), StepLR(0.1, 1, 0.5)
        optimizer.add_scheduler(scheduler)
        optimizer.register_trainable_weights({"w": box(0.0)})
        scheduler.step()
        assert optimizer.schedulers == [scheduler]
        assert (optimizer.get_last_lr(), optimizer.current_lr, optimizer.base_lr) == ([0.05], 0.05, 0.1)

    def test_a_function_of_the_rate(self):
        optimizer = SGD(lr=0.4)
        optimizer.register_trainable_weights({"w": box(0.0)})
        optimizer.add_param_group({"h": box(0.0)}, lr=0.8)
        optimizer.lr_apply(lambda rate: rate / 2)
        optimizer.lr_apply(lambda rate: rate / 2)
        assert optimizer.get_last_lr() == [0.1, 0.2]

    def test_what_is_set_holds_until_the_scheduler_s_next_step(self):
        scheduler = StepLR(0.1, 1, 0.5)
        optimizer = SGD(lr=scheduler)
        optimizer.register_trainable_weights({"w": box(0.0)})
        optimizer.current_lr = 3.0
        assert optimizer.lr == 3.0
        scheduler.step()
        assert optimizer.lr == 0.05

    def test_setting_the_rate_within_jit(self):
        w = brainstate.ParamState(jnp.zeros(1))
        scheduler = StepLR(0.1, 1, 0.5)
        optimizer = SGD(lr=scheduler)
        optimizer.register_trainable_weights({"w": w})

        @brainstate.transform.jit
        def step():
            optimizer.step({"w": jnp.ones(1)})
            scheduler.step()

        for _ in range(3):
            step()
        np.testing.assert_allclose(w.value, [-(0.1 + 0.05 + 0.025)], rtol=1e-6)
        np.testing.assert_allclose(optimizer.current_lr, 0.0125, rtol=1e-6)

    def test_deprecated_betas(self):
        with pytest.warns(DeprecationWarning, match="Adam: beta1 is deprecated, give betas") as told:
            optimizer = Adam(0.1, (0.9, 0.99), 0.5)
        assert optimizer.betas == (0.5, 0.99)
        assert told[0].filename == __file__
        with pytest.warns(DeprecationWarning, match="beta2"):
            assert Adam(beta2=0.8).betas == (0.9, 0.8)


class TestTransformations:
    @pytest.mark.parametrize(
        "build", [lambda: Adam(lr=0.1, weight_decay=0.1), lambda: Lamb(lr=0.1, grad_clip_norm=1.0)]
    )
    def test_tx_is_the_same_optimizer(self, build):
        optimizer, weights = build(), {"w": box(1.0, -2.0)}
        tx = optimizer.tx
        params = {"w": weights["w"].value}
        state = tx.init(params)
        optimizer.register_trainable_weights(weights)
        for step in range(4):
            optimizer.current_lr = 0.1 / (step + 1)
            grads = {"w": jnp.array([0.5, -2.0 * step], jnp.float32)}
            optimizer.step(grads)
            updates, state = tx.update(grads, state, params)
            params = optax.apply_updates(params, updates)
        np.testing.assert_allclose(weights["w"].value, params["w"], rtol=1e-6)

    def test_a_transformation_of_the_user_s(self):
        weights = {"a": {"w": box(1.0, 2.0)}, "b": box(3.0)}
        optimizer = OptaxOptimizer(optax.sgd(0.5, momentum=0.9))
        optimizer.register_trainable_weights(weights)
        for _ in range(2):
            optimizer.step({"a": {"w": jnp.ones(2, jnp.float32)}, "b": jnp.ones(1, jnp.float32)})
        np.testing.assert_allclose(weights["a"]["w"].value, [1 - 1.45, 2 - 1.45], rtol=1e-6)
        assert len(optimizer.opt_state.value) == 2

    def test_a_subclass_with_its_own_default(self):
        class Halving(OptaxOptimizer):
            def default_tx(self):
                return optax.chain(optax.scale(0.5), optax.scale_by_schedule(self.lr_scheduler))

        optimizer, weights = Halving(lr=0.5), {"w": box(1.0)}
        optimizer.register_trainable_weights(weights)
        optimizer.step(ones(weights))
        np.testing.assert_allclose(weights["w"].value, [0.75])

    def test_without_one_it_is_adam(self):
        weights, others = {"w": box(1.0)}, {"w": box(1.0)}
        for optimizer, held in (
            (OptaxOptimizer(lr=0.1, weight_decay=0.1), weights),
            (Adam(0.1, weight_decay=0.1), others),
        ):
            optimizer.register_trainable_weights(held)
            for _ in range(3):
                optimizer.step(ones(held))
        np.testing.assert_array_equal(weights["w"].value, others["w"].value)

    @pytest.mark.parametrize("base", [lambda: Adam(lr=0.1), lambda: optax.adam(0.1), lambda: None])
    def test_lookahead_around_anything(self, base):
        params = optax.LookaheadParams.init_synced({"w": jnp.array([1.0, -2.0])})
        reference = optax.lookahead(
            optax.chain(optax.clip_by_global_norm(1.0), optax.add_decayed_weights(0.1), optax.adam(0.1)), 3, 0.5
        )
        state = reference.init(params)
        with_lr = {"lr": 0.1} if base() is None else {}
        optimizer = Lookahead(base(), sync_period=3, alpha=0.5, weight_decay=0.1, grad_clip_norm=1.0, **with_lr)
        weights = {"w": Box(jnp.array([1.0, -2.0]))}
        optimizer.register_trainable_weights(weights)
        for step in range(7):
            grads = {"w": jnp.array([2.0, 0.5 - step])}
            optimizer.step(grads)
            updates, state = reference.update(grads, state, params)
            params = optax.apply_updates(params, updates)
            np.testing.assert_allclose(weights["w"].value, params.fast["w"], rtol=1e-9)

    def test_lookahead_s_rate_and_an_optax_transformation(self):
        with pytest.warns(UserWarning, match="Lookahead: an optax transformation has a learning rate of its own"):
            Lookahead(optax.sgd(0.1), lr=0.5)
        inner = Adam(lr=StepLR(0.1, 1, 0.5))
        optimizer = Lookahead(inner)
        assert optimizer.lr_scheduler is inner.lr_scheduler

    def test_a_line_search_is_asked_for_its_inputs(self):
        optimizer = LBFGS(linesearch="zoom")
        optimizer.register_trainable_weights({"w": box(1.0)})
        with pytest.raises(
            TypeError, match=r"LBFGS: step takes value=..., value_fn=..., grad=... besides the gradients"
        ):
            optimizer.step({"w": jnp.ones(1, jnp.float32)})
        # Rules that do not search take no notice of them.
        plain, weights = SGD(lr=0.5), {"w": box(1.0)}
        plain.register_trainable_weights(weights)
        plain.step(ones(weights), value=3.0, value_fn=None, grad=None)
        np.testing.assert_array_equal(weights["w"].value, [0.5])


class TestSkippedSteps:
    @pytest.mark.parametrize("build", [Adam, Lamb, lambda **more: Lookahead(optax.adam(0.1), **more)])
    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_nothing_changes_but_the_count(self, build, bad):
        weights = {"w": box(1.0, 2.0), "h": box(3.0)}
        optimizer = build(skip_nonfinite=True)
        optimizer.register_trainable_weights({"w": weights["w"]})
        optimizer.add_param_group({"h": weights["h"]})
        optimizer.step(ones(weights))
        before = jax.tree.map(np.asarray, (optimizer.state_dict(), [w.value for w in weights.values()]))
        optimizer.step({"w": jnp.array([1.0, bad], jnp.float32), "h": jnp.ones(1, jnp.float32)})
        assert (int(optimizer.skipped_steps), int(optimizer.step_count)) == (1, 1)
        after = jax.tree.map(np.asarray, (optimizer.state_dict(), [w.value for w in weights.values()]))
        before[0]["skipped_steps"] = before[0]["skipped_steps"] + 1
        for x, y in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
            np.testing.assert_array_equal(x, y)
        optimizer.step(ones(weights))
        assert (optimizer.skipped_steps.value, optimizer.step_count.value) == (1, 2)

    def test_finite_steps_are_the_same(self):
        results = []
        for skip in (False, True):
            optimizer, weights = Adam(lr=0.1, skip_nonfinite=skip), {"w": box(1.0, 2.0)}
            optimizer.register_trainable_weights(weights)
            for factor in (1.0, -3.0, 0.5):
                optimizer.step(ones(weights, factor))
            results.append(np.asarray(weights["w"].value))
        np.testing.assert_array_equal(*results)

    def test_within_jit(self):
        w = brainstate.ParamState(jnp.ones(2))
        optimizer = Adam(lr=0.1, skip_nonfinite=True)
        optimizer.register_trainable_weights({"w": w})
        step = brainstate.transform.jit(lambda g: optimizer.step({"w": g}))
        step(jnp.array([1.0, jnp.nan]))
        np.testing.assert_array_equal(w.value, [1, 1])
        step(jnp.ones(2))
        assert (int(optimizer.skipped_steps), int(optimizer.step_count)) == (1, 1)


def test_a_user_s_own_optimizer_has_all_of_it():
    made = optgen.define("halfway", "theta[t] = theta[t-1] - lr*g - decay*theta[t-1]", lr=0.1, decay=0.0)
    weights = {"w": box(1.0), "h": box(1.0)}
    optimizer = made.optim(lr=StepLR(0.1, 1, 0.5))
    optimizer.register_trainable_weights({"w": weights["w"]})
    optimizer.add_param_group({"h": weights["h"]}, decay=0.5)
    optimizer.step(ones(weights))
    np.testing.assert_allclose([weights["w"].value[0], weights["h"].value[0]], [0.9, 0.4], rtol=1e-6)
    other = made.optim(lr=StepLR(0.3, 1, 0.5))
    other.register_trainable_weights({"w": box(1.0)})
    other.add_param_group({"h": box(1.0)})
    other.load_state_dict(optimizer.state_dict())
    assert (other.param_groups[1]["decay"], other.lr, other.step_count) == (0.5, 0.1, 1)


def test_plain_namespaces_are_weights():
    weights = {"w": types.SimpleNamespace(value=jnp.ones(2))}
    optimizer = Adam()
    assert optimizer.register_trainable_weights(weights) is optimizer
    optimizer.update({"w": jnp.ones(2)})
    assert repr(optimizer).startswith("Adam(lr=0.001, betas=(0.9, 0.999), eps=1e-08")
