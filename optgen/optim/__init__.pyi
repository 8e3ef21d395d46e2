"""Written by `optgen docs` from the catalogue; do not edit."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import optax

from optgen.optim._base import Optimizer as Optimizer
from optgen.optim._classes import optimizer_class as optimizer_class
from optgen.optim._composed_schedulers import ChainedScheduler as ChainedScheduler
from optgen.optim._composed_schedulers import SequentialLR as SequentialLR
from optgen.optim._plateau import ReduceLROnPlateau as ReduceLROnPlateau
from optgen.optim._schedulers import LRScheduler as LRScheduler
from optgen.optim._scheduled import ScheduledLR

Number = float | jax.Array
Schedule = Callable[[Any], Any]

class AdaBelief(Optimizer):
    """Adam that scales each step by how far the gradient lies from what the first moment predicted."""

    def __init__(self, lr: Number | Schedule | LRScheduler = 0.001, betas: tuple[Number, Number] = (0.9, 0.999), eps: Number = 1e-16, weight_decay: Number | None = 0.0, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Adadelta(Optimizer):
    """Scales each step so that it has the units of the parameter."""

    def __init__(self, lr: Number | Schedule | LRScheduler = 1.0, rho: Number = 0.9, eps: Number = 1e-06, weight_decay: Number | None = 0.0, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Adafactor(Optimizer):
    """Adam whose second moment is kept as one number per row and one per column."""

    def __init__(self, lr: Number | Schedule | None | LRScheduler = None, eps: tuple[Number | None, Number] = (1e-30, 0.001), clip_threshold: Number | None = 1.0, decay_rate: Number = -0.8, beta1: Number | None = None, weight_decay: Number | None = 0.0, factored: bool = True, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Adagrad(Optimizer):
    """Divides each gradient by the root of the sum of all squared gradients so far."""

    def __init__(self, lr: Number | Schedule | LRScheduler = 0.01, lr_decay: Number | None = 0.0, weight_decay: Number | None = 0.0, initial_accumulator_value: Number = 0.0, eps: Number = 1e-10, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Adam(Optimizer):
    """Scales each step by running estimates of the gradient's first two moments."""

    def __init__(self, lr: Number | Schedule | LRScheduler = 0.001, betas: tuple[Number, Number] = (0.9, 0.999), beta1: Number | None = None, beta2: Number | None = None, eps: Number = 1e-08, weight_decay: Number | None = 0.0, amsgrad: bool = False, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class AdamW(Optimizer):
    """Adam whose weight decay shrinks the parameter directly instead of passing through the moments."""

    def __init__(self, lr: Number | Schedule | LRScheduler = 0.001, betas: tuple[Number, Number] = (0.9, 0.999), eps: Number = 1e-08, weight_decay: Number | None = 0.01, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Adamax(Optimizer):
    """Scales each step by a decaying maximum of the gradient's absolute values."""

    def __init__(self, lr: Number | Schedule | LRScheduler = 0.002, betas: tuple[Number, Number] = (0.9, 0.999), eps: Number = 1e-08, weight_decay: Number | None = 0.0, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Fromage(Optimizer):
    """Changes each tensor by the same fraction of its norm."""

    def __init__(self, lr: Number | Schedule | LRScheduler = 1.0, momentum: Number | None = 0.0, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class LBFGS(Optimizer):
    """Multiplies the gradient by an inverse Hessian that is estimated from the last steps."""

    def __init__(self, lr: Number | Schedule | None | LRScheduler = 1.0, memory_size: int = 10, scale_init_precond: bool = True, linesearch: str | optax.GradientTransformationExtraArgs | None = None, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Lamb(Optimizer):
    """Adam's direction with weight decay, rescaled for each tensor to the length of the tensor itself."""

    def __init__(self, lr: Number | Schedule | LRScheduler = 0.001, betas: tuple[Number, Number] = (0.9, 0.999), eps: Number = 1e-06, weight_decay: Number | None = 0.0, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Lars(Optimizer):
    """Momentum with a learning rate for each tensor, proportional to the ratio of its norm to its gradient's."""

    def __init__(self, lr: Number | Schedule | LRScheduler = 1.0, momentum: Number = 0.9, weight_decay: Number | None = 0.0, trust_coefficient: Number = 0.001, eps: Number = 1e-08, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Lion(Optimizer):
    """Steps by the sign of a mean of momentum and gradient, so that every element moves by the same amount."""

    def __init__(self, lr: Number | Schedule | LRScheduler = 0.0001, betas: tuple[Number, Number] = (0.9, 0.99), weight_decay: Number | None = 0.0, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Lookahead(Optimizer):
    """Every few steps of another optimizer, moves a second copy of the parameters towards the first."""

    def __init__(self, base_optimizer: Any = None, sync_period: Number = 5.0, alpha: Number = 0.5, lr: Number | None | LRScheduler = None, weight_decay: Number | None = 0.0, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Momentum(Optimizer):
    """Steps along the gradient, or along a decaying sum of the gradients so far."""

    def __init__(self, lr: Number | Schedule | LRScheduler = 0.001, momentum: Number | None = 0.9, weight_decay: Number | None = 0.0, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class MomentumNesterov(Optimizer):
    """Steps along the gradient, or along a decaying sum of the gradients so far."""

    def __init__(self, lr: Number | Schedule | LRScheduler = 0.001, momentum: Number | None = 0.9, weight_decay: Number | None = 0.0, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Nadam(Optimizer):
    """Adam that looks one step ahead with a first moment whose weight warms up."""

    def __init__(self, lr: Number | Schedule | LRScheduler = 0.002, betas: tuple[Number, Number] = (0.9, 0.999), eps: Number = 1e-08, weight_decay: Number | None = 0.0, momentum_decay: Number = 0.004, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Novograd(Optimizer):
    """Momentum of gradients that are divided by a running norm of their tensor."""

    def __init__(self, lr: Number | Schedule | LRScheduler = 0.001, betas: tuple[Number, Number] = (0.9, 0.999), eps: Number = 1e-08, weight_decay: Number | None = 0.0, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class OptaxOptimizer(Optimizer):
    """Scales each step by running estimates of the gradient's first two moments."""

    def __init__(self, tx: optax.GradientTransformation | None = None, lr: Number | Schedule | LRScheduler = 0.001, weight_decay: Number | None = 0.0, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class RAdam(Optimizer):
    """Adam that divides by its second moment only once enough gradients have gone into it, and then with caution."""

    def __init__(self, lr: Number | Schedule | LRScheduler = 0.001, betas: tuple[Number, Number] = (0.9, 0.999), eps: Number = 1e-08, weight_decay: Number | None = 0.0, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class RMSprop(Optimizer):
    """Divides each gradient by a running root mean square of the gradients so far."""

    def __init__(self, lr: Number | Schedule | LRScheduler = 0.01, alpha: Number = 0.99, eps: Number = 1e-08, weight_decay: Number | None = 0.0, momentum: Number | None = 0.0, centered: bool = False, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Rprop(Optimizer):
    """Steps by the sign of the gradient, with a step size for each element that grows until the sign flips."""

    def __init__(self, lr: Number | Schedule | LRScheduler = 0.01, etas: tuple[Number, Number] = (0.5, 1.2), step_sizes: tuple[Number, Number] = (1e-06, 50.0), grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class SGD(Optimizer):
    """Steps along the gradient, or along a decaying sum of the gradients so far."""

    def __init__(self, lr: Number | Schedule | LRScheduler = 0.001, momentum: Number | None = 0.0, weight_decay: Number | None = 0.0, nesterov: bool = False, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class SM3(Optimizer):
    """Adagrad whose sums are kept for each index of each axis."""

    def __init__(self, lr: Number | Schedule | LRScheduler = 1.0, momentum: Number = 0.9, eps: Number = 1e-08, weight_decay: Number | None = 0.0, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Yogi(Optimizer):
    """Adam whose second moment changes by no more than a part of the squared gradient in each step."""

    def __init__(self, lr: Number | Schedule | LRScheduler = 0.001, betas: tuple[Number, Number] = (0.9, 0.999), eps: Number = 0.001, weight_decay: Number | None = 0.0, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class ConstantLR(ScheduledLR):
    """A fraction of the learning rate for the first steps, then all of it."""

    def __init__(self, base_lr: Number | Sequence[Number] = 0.001, factor: Number | Sequence[Number] = 0.3333333333333333, total_iters: int | Sequence[int] = 5, last_epoch: int = 0) -> None: ...

class CosineAnnealingLR(ScheduledLR):
    """Half a cosine from the learning rate down to a minimum."""

    def __init__(self, base_lr: Number | Sequence[Number] = 0.001, T_max: int | Sequence[int] = 50, eta_min: Number | Sequence[Number] = 0.0, last_epoch: int = 0) -> None: ...

class CosineAnnealingWarmRestarts(ScheduledLR):
    """Half a cosine down to a minimum, again and again, each time T_mult as long."""

    def __init__(self, base_lr: Number | Sequence[Number] = 0.001, T_0: int | Sequence[int] = 10, T_mult: int | Sequence[int] = 1, eta_min: Number | Sequence[Number] = 0.0, last_epoch: int = 0) -> None: ...

class CyclicLR(ScheduledLR):
    """Up and down between two learning rates, the height constant, halved with each cycle or decaying with each step."""

    def __init__(self, base_lr: Number | Sequence[Number] = 0.001, max_lr: Number | Sequence[Number] = 0.01, step_size_up: int | Sequence[int] = 2000, step_size_down: int | Sequence[int] | None = None, mode: Literal['triangular', 'triangular2', 'exp_range'] = 'triangular', gamma: Number | Sequence[Number] = 1.0, scale_fn: Any | None = None, scale_mode: Any = 'cycle', last_epoch: int = 0) -> None: ...

class ExponentialDecayLR(ScheduledLR):
    """Multiplied by the decay rate once every so many steps, smoothly or at once."""

    def __init__(self, base_lr: Number | Sequence[Number] = 0.001, decay_steps: int | Sequence[int] = 1000, decay_rate: Number | Sequence[Number] = 0.96, transition_begin: int | Sequence[int] = 0, staircase: bool = False, end_value: Number | Sequence[Number] | None = None, last_epoch: int = 0) -> None: ...

class ExponentialLR(ScheduledLR):
    """Multiplied by the same factor at every step."""

    def __init__(self, base_lr: Number | Sequence[Number] = 0.001, gamma: Number | Sequence[Number] = 0.95, last_epoch: int = 0) -> None: ...

class LinearLR(ScheduledLR):
    """A factor on the learning rate that changes along a straight line and is then held."""

    def __init__(self, base_lr: Number | Sequence[Number] = 0.001, start_factor: Number | Sequence[Number] = 0.3333333333333333, end_factor: Number | Sequence[Number] = 1.0, total_iters: int | Sequence[int] = 5, last_epoch: int = 0) -> None: ...

class MultiStepLR(ScheduledLR):
    """Multiplied by a factor at each of some milestones."""

    def __init__(self, base_lr: Number | Sequence[Number] = 0.001, milestones: Sequence[Number] = (30, 60, 90), gamma: Number | Sequence[Number] = 0.1, last_epoch: int = 0) -> None: ...

class OneCycleLR(ScheduledLR):
    """A straight line up to the largest learning rate, then half a cosine or a line down."""

    def __init__(self, max_lr: Number | Sequence[Number] = 0.01, total_steps: int | Sequence[int] | None = None, epochs: Any | None = None, steps_per_epoch: Any | None = None, pct_start: Number | Sequence[Number] = 0.3, anneal_strategy: Literal['cos', 'linear'] = 'cos', div_factor: Number | Sequence[Number] = 25.0, final_div_factor: Number | Sequence[Number] = 10000.0, last_epoch: int = 0) -> None: ...

class PiecewiseConstantSchedule(ScheduledLR):
    """One given value between each two boundaries."""

    def __init__(self, base_lr: Any = 0.001, boundaries: Sequence[Number] | None = None, values: Sequence[Number] | None = None, last_epoch: int = 0) -> None: ...

class PolynomialLR(ScheduledLR):
    """From one value to another along a power of what is left of the way."""

    def __init__(self, base_lr: Number | Sequence[Number] = 0.001, total_iters: int | Sequence[int] = 5, power: Number | Sequence[Number] = 1.0, last_epoch: int = 0) -> None: ...

class StepLR(ScheduledLR):
    """Multiplied by a factor every so many steps."""

    def __init__(self, base_lr: Number | Sequence[Number] = 0.001, step_size: int | Sequence[int] = 30, gamma: Number | Sequence[Number] = 0.1, last_epoch: int = 0) -> None: ...

class WarmupCosineSchedule(ScheduledLR):
    """A straight line up to the learning rate, then half a cosine, or a power of it, down to the end value."""

    def __init__(self, base_lr: Number | Sequence[Number] = 0.001, warmup_steps: int | Sequence[int] = 1000, total_steps: int | Sequence[int] = 10000, warmup_start_lr: Number | Sequence[Number] = 0.0, eta_min: Number | Sequence[Number] = 0.0, last_epoch: int = 0) -> None: ...

class WarmupScheduler(ScheduledLR):
    """A straight line up to the learning rate, which then stays."""

    def __init__(self, base_lr: Number | Sequence[Number] = 0.001, warmup_epochs: int | Sequence[int] = 5, warmup_start_lr: Number | Sequence[Number] = 0.0, last_epoch: int = 0) -> None: ...
