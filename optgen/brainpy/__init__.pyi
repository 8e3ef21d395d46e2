"""Written by `optgen docs` from the catalogue; do not edit."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax

from optgen.brainpy._base import Optimizer as Optimizer
from optgen.brainpy._base import StateLoadResult as StateLoadResult
from optgen.brainpy._base import optimizer_class as optimizer_class
from optgen.brainpy._schedulers import CallBasedScheduler as CallBasedScheduler
from optgen.brainpy._schedulers import Scheduler as Scheduler
from optgen.brainpy._schedulers import make_schedule as make_schedule
from optgen.frontends.weights.cells import HasValue

Number = float | jax.Array

class Adadelta(Optimizer):
    """Scales each step so that it has the units of the parameter."""

    def __init__(self, lr: Number | Scheduler | HasValue = 1.0, train_vars: Mapping[str, Any] | None = None, weight_decay: Number | None = None, epsilon: Number = 1e-06, rho: Number = 0.95, name: str | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Adagrad(Optimizer):
    """Divides each gradient by the root of the sum of all squared gradients so far."""

    def __init__(self, lr: Number | Scheduler | HasValue, train_vars: Mapping[str, Any] | None = None, weight_decay: Number | None = None, epsilon: Number = 1e-06, name: str | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Adam(Optimizer):
    """Scales each step by running estimates of the gradient's first two moments."""

    def __init__(self, lr: Number | Scheduler | HasValue, train_vars: Mapping[str, Any] | None = None, beta1: Number = 0.9, beta2: Number = 0.999, eps: Number = 1e-08, weight_decay: Number | None = None, name: str | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class AdamW(Optimizer):
    """Adam whose weight decay shrinks the parameter directly instead of passing through the moments."""

    def __init__(self, lr: Number | Scheduler | HasValue, train_vars: Mapping[str, Any] | None = None, beta1: Number = 0.9, beta2: Number = 0.999, eps: Number = 1e-08, weight_decay: Number | None = 0.01, amsgrad: bool = False, name: str | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Adan(Optimizer):
    """Adam with Nesterov's look ahead, estimated from the change of the gradient between steps."""

    def __init__(self, lr: Number | Scheduler | HasValue = 0.001, train_vars: Mapping[str, Any] | None = None, betas: tuple[Number, Number, Number] = (0.02, 0.08, 0.01), eps: Number = 1e-08, weight_decay: Number | None = 0.02, no_prox: bool = False, name: str | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class LARS(Optimizer):
    """Momentum with a learning rate for each tensor, proportional to the ratio of its norm to its gradient's."""

    def __init__(self, lr: Number | Scheduler | HasValue, train_vars: Mapping[str, Any] | None = None, momentum: Number = 0.9, weight_decay: Number | None = 0.0001, tc: Number = 0.001, eps: Number = 1e-05, name: str | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Momentum(Optimizer):
    """Steps along the gradient, or along a decaying sum of the gradients so far."""

    def __init__(self, lr: Number | Scheduler | HasValue, train_vars: Mapping[str, Any] | None = None, momentum: Number | None = 0.9, weight_decay: Number | None = None, name: str | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class MomentumNesterov(Optimizer):
    """Steps along the gradient, or along a decaying sum of the gradients so far."""

    def __init__(self, lr: Number | Scheduler | HasValue, train_vars: Mapping[str, Any] | None = None, weight_decay: Number | None = None, momentum: Number | None = 0.9, name: str | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class RMSProp(Optimizer):
    """Divides each gradient by a running root mean square of the gradients so far."""

    def __init__(self, lr: Number | Scheduler | HasValue, train_vars: Mapping[str, Any] | None = None, weight_decay: Number | None = None, epsilon: Number = 1e-06, rho: Number = 0.9, name: str | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class SGD(Optimizer):
    """Steps along the gradient, or along a decaying sum of the gradients so far."""

    def __init__(self, lr: Number | Scheduler | HasValue, train_vars: Mapping[str, Any] | None = None, weight_decay: Number | None = None, name: str | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class SM3(Optimizer):
    """Adagrad whose sums are kept for each index of each axis."""

    def __init__(self, lr: Number | Scheduler | HasValue, train_vars: Mapping[str, Any] | None = None, beta: Number | None = 0.0, momentum: Number = 0.0, eps: Number = 1e-30, weight_decay: Number | None = None, name: str | None = None, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Constant(Scheduler):
    """The same learning rate at every step."""

    def __init__(self, lr: Number | HasValue, last_epoch: int = -1) -> None: ...

class CosineAnnealingLR(Scheduler):
    """Half a cosine from the learning rate down to a minimum."""

    def __init__(self, lr: Number | HasValue, T_max: int, eta_min: Number = 0.0, last_epoch: int = -1) -> None: ...

class CosineAnnealingWarmRestarts(CallBasedScheduler):
    """Half a cosine down to a minimum, again and again, each time T_mult as long."""

    def __init__(self, lr: Number | HasValue, num_call_per_epoch: int, T_0: int, T_mult: int = 1, eta_min: Number = 0.0, last_epoch: int = -1, last_call: int = -1) -> None: ...

class ExponentialDecay(CallBasedScheduler):
    """Multiplied by the decay rate once every so many steps, smoothly or at once."""

    def __init__(self, lr: Number | HasValue, decay_steps: int, decay_rate: Number, last_epoch: int = -1, last_call: int = -1) -> None: ...

class ExponentialDecayLR(CallBasedScheduler):
    """Multiplied by the decay rate once every so many steps, smoothly or at once."""

    def __init__(self, lr: Number | HasValue, decay_steps: int, decay_rate: Number, last_epoch: int = -1, last_call: int = -1) -> None: ...

class ExponentialLR(Scheduler):
    """Multiplied by the same factor at every step."""

    def __init__(self, lr: Number | HasValue, gamma: Number, last_epoch: int = -1) -> None: ...

class InverseTimeDecay(CallBasedScheduler):
    """Divided by a number that grows with the step."""

    def __init__(self, lr: Number | HasValue, decay_steps: int, decay_rate: Number, staircase: bool = False, last_epoch: int = -1, last_call: int = -1) -> None: ...

class InverseTimeDecayLR(CallBasedScheduler):
    """Divided by a number that grows with the step."""

    def __init__(self, lr: Number | HasValue, decay_steps: int, decay_rate: Number, staircase: bool = False, last_epoch: int = -1, last_call: int = -1) -> None: ...

class MultiStepLR(Scheduler):
    """Multiplied by a factor at each of some milestones."""

    def __init__(self, lr: Number | HasValue, milestones: Sequence[Number], gamma: Number = 0.1, last_epoch: int = -1) -> None: ...

class PiecewiseConstant(CallBasedScheduler):
    """One given value between each two boundaries."""

    def __init__(self, boundaries: Sequence[Number], values: Sequence[Number], last_epoch: int = -1, last_call: int = -1) -> None: ...

class PiecewiseConstantLR(CallBasedScheduler):
    """One given value between each two boundaries."""

    def __init__(self, boundaries: Sequence[Number], values: Sequence[Number], last_epoch: int = -1, last_call: int = -1) -> None: ...

class PolynomialDecay(CallBasedScheduler):
    """From one value to another along a power of what is left of the way."""

    def __init__(self, lr: Number | HasValue, decay_steps: int, final_lr: Number, power: Number = 1.0, last_epoch: int = -1, last_call: int = -1) -> None: ...

class PolynomialDecayLR(CallBasedScheduler):
    """From one value to another along a power of what is left of the way."""

    def __init__(self, lr: Number | HasValue, decay_steps: int, final_lr: Number, power: Number = 1.0, last_epoch: int = -1, last_call: int = -1) -> None: ...

class StepLR(Scheduler):
    """Multiplied by a factor every so many steps."""

    def __init__(self, lr: Number | HasValue, step_size: int, gamma: Number = 0.1, last_epoch: int = -1) -> None: ...
