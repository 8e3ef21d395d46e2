"""Written by `optgen docs` from the catalogue; do not edit."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import optax
from optax import join_schedules as join_schedules

from optgen.schedules.schedule import Schedule as _Schedule
from optgen.schedules.schedule import sgdr_schedule as sgdr_schedule
from optgen.optax._apply import apply_gradients as apply_gradients

Number = float | jax.Array
Schedule = Callable[[Any], Any]

def adabelief(learning_rate: Number | Schedule, b1: Number = 0.9, b2: Number = 0.999, eps: Number = 1e-16, eps_root: Number | None = 1e-16, *, nesterov: bool = False, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Adam that scales each step by how far the gradient lies from what the first moment predicted."""

def adadelta(learning_rate: Number | Schedule, rho: Number = 0.9, eps: Number = 1e-06, weight_decay: Number | Schedule | None = 0.0, weight_decay_mask: Any = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Scales each step so that it has the units of the parameter."""

def adafactor(learning_rate: Number | Schedule | None = None, min_dim_size_to_factor: int = 128, decay_rate: Number = 0.8, decay_offset: Number | None = 0.0, multiply_by_parameter_scale: bool = True, clipping_threshold: Number | None = 1.0, momentum: Number | None = None, dtype_momentum: Any = ..., weight_decay_rate: Number | Schedule | None = None, eps: Number | None = 1e-30, factored: bool = True, weight_decay_mask: Any = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Adam whose second moment is kept as one number per row and one per column."""

def adagrad(learning_rate: Number | Schedule, initial_accumulator_value: Number = 0.1, eps: Number = 1e-07, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Divides each gradient by the root of the sum of all squared gradients so far."""

def adam(learning_rate: Number | Schedule, b1: Number = 0.9, b2: Number = 0.999, eps: Number = 1e-08, eps_root: Number | None = 0.0, mu_dtype: Any = None, *, nesterov: bool = False, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Scales each step by running estimates of the gradient's first two moments."""

def adamax(learning_rate: Number | Schedule, b1: Number = 0.9, b2: Number = 0.999, eps: Number = 1e-08, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Scales each step by a decaying maximum of the gradient's absolute values."""

def adamaxw(learning_rate: Number | Schedule, b1: Number = 0.9, b2: Number = 0.999, eps: Number = 1e-08, weight_decay: Number | Schedule | None = 0.0001, mask: Any = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Scales each step by a decaying maximum of the gradient's absolute values."""

def adamw(learning_rate: Number | Schedule, b1: Number = 0.9, b2: Number = 0.999, eps: Number = 1e-08, eps_root: Number | None = 0.0, mu_dtype: Any = None, weight_decay: Number | Schedule | None = 0.0001, mask: Any = None, *, nesterov: bool = False, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Adam whose weight decay shrinks the parameter directly instead of passing through the moments."""

def adan(learning_rate: Number | Schedule, b1: Number = 0.98, b2: Number = 0.92, b3: Number = 0.99, eps: Number = 1e-08, eps_root: Number | None = 1e-08, weight_decay: Number | Schedule | None = 0.0, mask: Any = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Adam with Nesterov's look ahead, estimated from the change of the gradient between steps."""

def ademamix(learning_rate: Number | Schedule, b1: Number = 0.9, b2: Number = 0.999, b3: Number | Schedule = 0.9999, alpha: Number | Schedule = 5.0, eps: Number = 1e-08, eps_root: Number | None = 0.0, mu_dtype: Any = None, weight_decay: Number | Schedule | None = 0.0, mask: Any = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Adam that adds a second, much slower mean of the gradients to the first."""

def amsgrad(learning_rate: Number | Schedule, b1: Number = 0.9, b2: Number = 0.999, eps: Number = 1e-08, eps_root: Number | None = 0.0, mu_dtype: Any = None, bias_correction_mu: bool = True, bias_correction_nu: bool = True, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Scales each step by running estimates of the gradient's first two moments."""

def fromage(learning_rate: Number | Schedule, min_norm: Number = 1e-06, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Changes each tensor by the same fraction of its norm."""

def lamb(learning_rate: Number | Schedule, b1: Number = 0.9, b2: Number = 0.999, eps: Number = 1e-06, eps_root: Number | None = 0.0, weight_decay: Number | Schedule | None = 0.0, mask: Any = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Adam's direction with weight decay, rescaled for each tensor to the length of the tensor itself."""

def lars(learning_rate: Number | Schedule, weight_decay: Number | Schedule | None = 0.0, weight_decay_mask: Any = True, trust_coefficient: Number = 0.001, eps: Number = 0.0, trust_ratio_mask: Any = True, momentum: Number = 0.9, nesterov: bool = False, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Momentum with a learning rate for each tensor, proportional to the ratio of its norm to its gradient's."""

def lbfgs(learning_rate: Number | Schedule | None = None, memory_size: int = 10, scale_init_precond: bool = True, linesearch: optax.GradientTransformation | None = ..., *, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Multiplies the gradient by an inverse Hessian that is estimated from the last steps."""

def lion(learning_rate: Number | Schedule, b1: Number = 0.9, b2: Number = 0.99, mu_dtype: Any = None, weight_decay: Number | Schedule | None = 0.001, mask: Any = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Steps by the sign of a mean of momentum and gradient, so that every element moves by the same amount."""

def lookahead(fast_optimizer: optax.GradientTransformation, sync_period: Number, slow_step_size: Number, reset_state: bool = False, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Every few steps of another optimizer, moves a second copy of the parameters towards the first."""

def nadam(learning_rate: Number | Schedule, b1: Number = 0.9, b2: Number = 0.999, eps: Number = 1e-08, eps_root: Number | None = 0.0, mu_dtype: Any = None, *, nesterov: bool = True, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Adam that looks one step ahead with a first moment whose weight warms up."""

def nadamw(learning_rate: Number | Schedule, b1: Number = 0.9, b2: Number = 0.999, eps: Number = 1e-08, eps_root: Number | None = 0.0, mu_dtype: Any = None, weight_decay: Number | Schedule | None = 0.0001, mask: Any = None, *, nesterov: bool = True, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Adam whose weight decay shrinks the parameter directly instead of passing through the moments."""

def noisy_sgd(learning_rate: Number | Schedule, eta: Number = 0.01, gamma: Number = 0.55, key: Any = None, *, seed: Any = None, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Adds noise that fades to the gradient."""

def novograd(learning_rate: Number | Schedule, b1: Number = 0.9, b2: Number = 0.25, eps: Number = 1e-06, eps_root: Number | None = 0.0, weight_decay: Number | None = 0.0, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Momentum of gradients that are divided by a running norm of their tensor."""

def optimistic_adam(learning_rate: Number, optimism: Number | None = None, b1: Number = 0.9, b2: Number = 0.999, eps: Number = 1e-08, eps_root: Number | None = 0.0, mu_dtype: Any = None, *, nesterov: bool = True, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Adam that expects its step to change again as it just did, for games in which Adam goes round in circles."""

def optimistic_adam_v2(learning_rate: Number | Schedule, *, alpha: Number = 1.0, beta: Number | None = 1.0, b1: Number = 0.9, b2: Number = 0.999, eps: Number = 1e-08, eps_root: Number | None = 0.0, mu_dtype: Any = None, nesterov: bool = True, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Adam that expects its step to change again as it just did, for games in which Adam goes round in circles."""

def optimistic_gradient_descent(learning_rate: Number | Schedule, alpha: Number = 1.0, beta: Number = 1.0, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Gradient descent that expects the gradient to change again as it just did, for games in which plain descent goes round in circles."""

def polyak_sgd(max_learning_rate: Number = 1.0, scaling: Number | Schedule = 1.0, f_min: Number = 0.0, eps: Number = 0.0, variant: Literal['sps', 'sps_plus', 'sps+'] = 'sps', *, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """A step as long as the loss is above its least value, divided by the gradient's squared norm."""

def prodigy(learning_rate: Number | Schedule = 1.0, betas: tuple[Number, Number] = (0.9, 0.999), beta3: Number | None = None, eps: Number = 1e-08, estim_lr0: Number = 1e-06, estim_lr_coef: Number = 1.0, weight_decay: Number | None = 0.0, safeguard_warmup: bool = False, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Adam that finds its learning rate: a growing estimate of how far the parameters have to go."""

def radam(learning_rate: Number | Schedule, b1: Number = 0.9, b2: Number = 0.999, eps: Number = 1e-08, eps_root: Number | None = 0.0, threshold: Number = 5.0, *, nesterov: bool = False, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Adam that divides by its second moment only once enough gradients have gone into it, and then with caution."""

def rmsprop(learning_rate: Number | Schedule, decay: Number = 0.9, eps: Number = 1e-08, initial_scale: Number = 0.0, eps_in_sqrt: bool = True, centered: bool = False, momentum: Number | None = None, nesterov: bool = False, bias_correction: bool = False, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Divides each gradient by a running root mean square of the gradients so far."""

def rprop(learning_rate: Number, eta_minus: Number = 0.5, eta_plus: Number = 1.2, min_step_size: Number = 1e-06, max_step_size: Number = 50.0, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Steps by the sign of the gradient, with a step size for each element that grows until the sign flips."""

def schedule_free(base_optimizer: optax.GradientTransformation, learning_rate: Number | Schedule, b1: Number = 0.9, weight_lr_power: Number = 2.0, state_dtype: Any = None, *, skip_nonfinite: bool = False) -> optax.GradientTransformationExtraArgs:
    """Lets another optimizer move one point, averages where it has been, and takes gradients between the two."""

def sgd(learning_rate: Number | Schedule, momentum: Number | None = None, nesterov: bool = False, accumulator_dtype: Any = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Steps along the gradient, or along a decaying sum of the gradients so far."""

def sign_sgd(learning_rate: Number | Schedule, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Steps by the sign of the gradient, or of its running mean."""

def signum(learning_rate: Number | Schedule, beta: Number | None = 0.9, accumulator_dtype: Any = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Steps by the sign of the gradient, or of its running mean."""

def sm3(learning_rate: Number | Schedule, momentum: Number = 0.9, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Adagrad whose sums are kept for each index of each axis."""

def sophia(learning_rate: Number | Schedule, b1: Number = 0.965, b2: Number = 0.99, eps: Number = 1e-08, weight_decay: Number | Schedule | None = 0.0001, weight_decay_mask: Any = None, gamma: Number = 0.01, clip_threshold: Number | None = 1.0, update_interval: Number = 10.0, hessian_diagonal_fn: optax.GradientTransformation = ..., mu_dtype: Any = None, verbose: bool = False, print_win_rate_every_n_steps: int = 0, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Divides the momentum by a running estimate of the Hessian's diagonal and clips each element of the result."""

def yogi(learning_rate: Number | Schedule, b1: Number = 0.9, b2: Number = 0.999, eps: Number = 0.001, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> optax.GradientTransformationExtraArgs:
    """Adam whose second moment changes by no more than a part of the squared gradient in each step."""

def constant_schedule(value: Number) -> _Schedule:
    """The same learning rate at every step."""

def cosine_decay_schedule(init_value: Number, decay_steps: Number, alpha: Number = 0.0, exponent: Number = 1.0) -> _Schedule:
    """Half a cosine, or a power of it, from the learning rate down to a fraction of it."""

def cosine_onecycle_schedule(transition_steps: int, peak_value: Number, pct_start: Number = 0.3, div_factor: Number = 25.0, final_div_factor: Number = 10000.0) -> _Schedule:
    """Half a cosine up to the largest learning rate, and half a one down."""

def exponential_decay(init_value: Number, transition_steps: int, decay_rate: Number, transition_begin: int = 0, staircase: bool = False, end_value: Number | None = None) -> _Schedule:
    """Multiplied by the decay rate once every so many steps, smoothly or at once."""

def linear_onecycle_schedule(transition_steps: int, peak_value: Number, pct_start: Number = 0.3, pct_final: Number = 0.85, div_factor: Number = 25.0, final_div_factor: Number = 10000.0) -> _Schedule:
    """Straight lines up to the largest learning rate, down to the first and on to the last."""

def linear_schedule(init_value: Number, end_value: Number, transition_steps: int, transition_begin: int = 0) -> _Schedule:
    """A straight line from one value to another, held at both ends."""

def piecewise_constant_schedule(init_value: Number, boundaries_and_scales: Mapping[int, Number] | None = None) -> _Schedule:
    """Multiplied by a scale at each of some boundaries, and constant between them."""

def piecewise_interpolate_schedule(interpolate_type: Literal['linear', 'cosine'], init_value: Number, boundaries_and_scales: Mapping[int, Number] | None = None) -> _Schedule:
    """Multiplied by a scale at each of some boundaries, along a line or half a cosine between them."""

def polynomial_schedule(init_value: Number, end_value: Number, power: Number, transition_steps: int, transition_begin: int = 0) -> _Schedule:
    """From one value to another along a power of what is left of the way."""

def warmup_constant_schedule(init_value: Number, peak_value: Number, warmup_steps: int) -> _Schedule:
    """A straight line up to the learning rate, which then stays."""

def warmup_cosine_decay_schedule(init_value: Number, peak_value: Number, warmup_steps: int, decay_steps: int, end_value: Number = 0.0, exponent: Number = 1.0) -> _Schedule:
    """A straight line up to the learning rate, then half a cosine, or a power of it, down to the end value."""

def warmup_exponential_decay_schedule(init_value: Number, peak_value: Number, warmup_steps: int, transition_steps: int, decay_rate: Number, transition_begin: int = 0, staircase: bool = False, end_value: Number | None = None) -> _Schedule:
    """A straight line up to the learning rate, then exponential decay, smoothly or in steps."""
