"""Written by `optgen docs` from the catalogue; do not edit."""

from collections.abc import Callable
from typing import Any, Literal

import jax

from optgen.optim.base import Optimizer as Optimizer
from optgen.optim.base import optimizer_class as optimizer_class

Number = float | jax.Array
Schedule = Callable[[Any], Any]

class AdaBelief(Optimizer):
    """Adam that scales each step by how far the gradient lies from what the first moment predicted."""

    def __init__(self, lr: Number | Schedule = 0.001, betas: tuple[Number, Number] = (0.9, 0.999), eps: Number = 1e-16, weight_decay: Number | None = 0.0, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None) -> None: ...

class Adadelta(Optimizer):
    """Scales each step so that it has the units of the parameter."""

    def __init__(self, lr: Number | Schedule = 1.0, rho: Number = 0.9, eps: Number = 1e-06, weight_decay: Number | None = 0.0, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None) -> None: ...

class Adafactor(Optimizer):
    """Adam whose second moment is kept as one number per row and one per column."""

    def __init__(self, lr: Number | Schedule | None = None, eps: tuple[Number | None, Number] = (1e-30, 0.001), clip_threshold: Number | None = 1.0, decay_rate: Number = -0.8, beta1: Number | None = None, weight_decay: Number | None = 0.0, factored: bool = True, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None) -> None: ...

class Adagrad(Optimizer):
    """Divides each gradient by the root of the sum of all squared gradients so far."""

    def __init__(self, lr: Number | Schedule = 0.01, lr_decay: Number | None = 0.0, weight_decay: Number | None = 0.0, initial_accumulator_value: Number = 0.0, eps: Number = 1e-10, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None) -> None: ...

class Adam(Optimizer):
    """Scales each step by running estimates of the gradient's first two moments."""

    def __init__(self, lr: Number | Schedule = 0.001, betas: tuple[Number, Number] = (0.9, 0.999), *, eps: Number = 1e-08, weight_decay: Number | None = 0.0, amsgrad: bool = False, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None) -> None: ...

class AdamW(Optimizer):
    """Adam whose weight decay shrinks the parameter directly instead of passing through the moments."""

    def __init__(self, lr: Number | Schedule = 0.001, betas: tuple[Number, Number] = (0.9, 0.999), eps: Number = 1e-08, weight_decay: Number | None = 0.01, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None) -> None: ...

class Adamax(Optimizer):
    """Scales each step by a decaying maximum of the gradient's absolute values."""

    def __init__(self, lr: Number | Schedule = 0.002, betas: tuple[Number, Number] = (0.9, 0.999), eps: Number = 1e-08, weight_decay: Number | None = 0.0, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None) -> None: ...

class Fromage(Optimizer):
    """Changes each tensor by the same fraction of its norm."""

    def __init__(self, lr: Number | Schedule = 1.0, momentum: Number | None = 0.0, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None) -> None: ...

class LBFGS(Optimizer):
    """Multiplies the gradient by an inverse Hessian that is estimated from the last steps."""

    def __init__(self, lr: Number | Schedule | None = 1.0, memory_size: int = 10, scale_init_precond: bool = True, *, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None) -> None: ...

class Lamb(Optimizer):
    """Adam's direction with weight decay, rescaled for each tensor to the length of the tensor itself."""

    def __init__(self, lr: Number | Schedule = 0.001, betas: tuple[Number, Number] = (0.9, 0.999), eps: Number = 1e-06, weight_decay: Number | None = 0.0, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None) -> None: ...

class Lars(Optimizer):
    """Momentum with a learning rate for each tensor, proportional to the ratio of its norm to its gradient's."""

    def __init__(self, lr: Number | Schedule = 1.0, momentum: Number = 0.9, weight_decay: Number | None = 0.0, trust_coefficient: Number = 0.001, eps: Number = 1e-08, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None) -> None: ...

class Lion(Optimizer):
    """Steps by the sign of a mean of momentum and gradient, so that every element moves by the same amount."""

    def __init__(self, lr: Number | Schedule = 0.0001, betas: tuple[Number, Number] = (0.9, 0.99), weight_decay: Number | None = 0.0, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None) -> None: ...

class Lookahead(Optimizer):
    """Every few steps of another optimizer, moves a second copy of the parameters towards the first."""

    def __init__(self, *, sync_period: Number = 5.0, alpha: Number = 0.5, weight_decay: Number | None = 0.0, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None) -> None: ...

class Momentum(Optimizer):
    """Steps along the gradient, or along a decaying sum of the gradients so far."""

    def __init__(self, lr: Number | Schedule = 0.001, momentum: Number | None = 0.9, weight_decay: Number | None = 0.0, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None) -> None: ...

class MomentumNesterov(Optimizer):
    """Steps along the gradient, or along a decaying sum of the gradients so far."""

    def __init__(self, lr: Number | Schedule = 0.001, momentum: Number | None = 0.9, weight_decay: Number | None = 0.0, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None) -> None: ...

class Nadam(Optimizer):
    """Adam that looks one step ahead with a first moment whose weight warms up."""

    def __init__(self, lr: Number | Schedule = 0.002, betas: tuple[Number, Number] = (0.9, 0.999), eps: Number = 1e-08, weight_decay: Number | None = 0.0, momentum_decay: Number = 0.004, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None) -> None: ...

class Novograd(Optimizer):
    """Momentum of gradients that are divided by a running norm of their tensor."""

    def __init__(self, lr: Number | Schedule = 0.001, betas: tuple[Number, Number] = (0.9, 0.999), eps: Number = 1e-08, weight_decay: Number | None = 0.0, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None) -> None: ...

class RAdam(Optimizer):
    """Adam that divides by its second moment only once enough gradients have gone into it, and then with caution."""

    def __init__(self, lr: Number | Schedule = 0.001, betas: tuple[Number, Number] = (0.9, 0.999), eps: Number = 1e-08, weight_decay: Number | None = 0.0, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None) -> None: ...

class RMSprop(Optimizer):
    """Divides each gradient by a running root mean square of the gradients so far."""

    def __init__(self, lr: Number | Schedule = 0.01, alpha: Number = 0.99, eps: Number = 1e-08, weight_decay: Number | None = 0.0, momentum: Number | None = 0.0, centered: bool = False, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None) -> None: ...

class Rprop(Optimizer):
    """Steps by the sign of the gradient, with a step size for each element that grows until the sign flips."""

    def __init__(self, lr: Number | Schedule = 0.01, etas: tuple[Number, Number] = (0.5, 1.2), step_sizes: tuple[Number, Number] = (1e-06, 50.0), grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None) -> None: ...

class SGD(Optimizer):
    """Steps along the gradient, or along a decaying sum of the gradients so far."""

    def __init__(self, lr: Number | Schedule = 0.001, momentum: Number | None = 0.0, weight_decay: Number | None = 0.0, nesterov: bool = False, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None) -> None: ...

class SM3(Optimizer):
    """Adagrad whose sums are kept for each index of each axis."""

    def __init__(self, lr: Number | Schedule = 1.0, momentum: Number = 0.9, eps: Number = 1e-08, weight_decay: Number | None = 0.0, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None) -> None: ...

class Yogi(Optimizer):
    """Adam whose second moment changes by no more than a part of the squared gradient in each step."""

    def __init__(self, lr: Number | Schedule = 0.001, betas: tuple[Number, Number] = (0.9, 0.999), eps: Number = 0.001, weight_decay: Number | None = 0.0, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None) -> None: ...
