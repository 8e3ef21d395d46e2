"""Written by `optgen docs` from the catalogue; do not edit."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from optgen.lucid._optimizer import Optimizer as Optimizer
from optgen.lucid._optimizer import optimizer_class as optimizer_class

Number = float
Params = Iterable[Any] | Iterable[Mapping[str, Any]]

class AdEMAMix(Optimizer):
    """Adam that adds a second, much slower mean of the gradients to the first."""

    def __init__(self, params: Params, lr: Number = 0.001, betas: tuple[Number, Number, Number] = (0.9, 0.999, 0.9999), eps: Number = 1e-08, weight_decay: Number | None = 0.0, alpha: Number = 5.0, eps_root: Number | None = 0.0, *, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, maximize: bool = False, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class AdaBelief(Optimizer):
    """Adam that scales each step by how far the gradient lies from what the first moment predicted."""

    def __init__(self, params: Params, lr: Number = 0.001, betas: tuple[Number, Number] = (0.9, 0.999), eps: Number = 1e-16, weight_decay: Number | None = 0.0, eps_root: Number | None = None, *, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, nesterov: bool = False, maximize: bool = False, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Adadelta(Optimizer):
    """Scales each step so that it has the units of the parameter."""

    def __init__(self, params: Params, lr: Number = 1.0, rho: Number = 0.9, eps: Number = 1e-06, weight_decay: Number | None = 0.0, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Adafactor(Optimizer):
    """Adam whose second moment is kept as one number per row and one per column."""

    def __init__(self, params: Params, lr: Number | None = None, beta1: Number | None = None, weight_decay: Number | None = 0.0, eps1: Number | None = 1e-30, eps2: Number = 0.001, clip_threshold: Number | None = 1.0, decay_rate: Number = 0.8, decay_offset: Number | None = 0.0, *, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, factored: bool = True, min_dim_size_to_factor: int = 0, matrix_axes: Literal['last', 'largest'] = 'last', eps1_place: Literal['added', 'floor'] = 'added', step_size: Literal['given', 'capped', 'plain'] = 'given', multiply_by_parameter_scale: bool = False, lr_in_buffer: bool = False, decoupled_weight_decay: bool = False, unscaled_weight_decay: bool = False, as_printed: bool = False, maximize: bool = False, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Adagrad(Optimizer):
    """Divides each gradient by the root of the sum of all squared gradients so far."""

    def __init__(self, params: Params, lr: Number = 0.01, eps: Number = 1e-10, weight_decay: Number | None = 0.0, initial_accumulator_value: Number = 0.0, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Adam(Optimizer):
    """Scales each step by running estimates of the gradient's first two moments."""

    def __init__(self, params: Params, lr: Number = 0.001, betas: tuple[Number, Number] = (0.9, 0.999), eps: Number = 1e-08, weight_decay: Number | None = 0.0, amsgrad: bool = False, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class AdamW(Optimizer):
    """Adam whose weight decay shrinks the parameter directly instead of passing through the moments."""

    def __init__(self, params: Params, lr: Number = 0.001, betas: tuple[Number, Number] = (0.9, 0.999), eps: Number = 1e-08, weight_decay: Number | None = 0.01, amsgrad: bool = False, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Adamax(Optimizer):
    """Scales each step by a decaying maximum of the gradient's absolute values."""

    def __init__(self, params: Params, lr: Number = 0.002, betas: tuple[Number, Number] = (0.9, 0.999), eps: Number = 1e-08, weight_decay: Number | None = 0.0, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Adan(Optimizer):
    """Adam with Nesterov's look ahead, estimated from the change of the gradient between steps."""

    def __init__(self, params: Params, lr: Number = 0.001, betas: tuple[Number, Number, Number] = (0.98, 0.92, 0.99), eps: Number = 1e-08, weight_decay: Number | None = 0.0, eps_root: Number | None = 0.0, *, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, no_prox: bool = False, betas_weigh: Literal['old', 'new'] = 'old', maximize: bool = False, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Fromage(Optimizer):
    """Changes each tensor by the same fraction of its norm."""

    def __init__(self, params: Params, lr: Number = 0.01, momentum: Number | None = 0.0, min_norm: Number = 1e-06, *, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, as_printed: bool = False, maximize: bool = False, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class LBFGS(Optimizer):
    """Multiplies the gradient by an inverse Hessian that is estimated from the last steps."""

    def __init__(self, params: Params, lr: Number | None = 1.0, min_curvature: Number | None = None, *, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, memory_size: int = 10, scale_init_precond: bool = True, first_step: Literal['norm', 'sum'] = 'norm', maximize: bool = False, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Lamb(Optimizer):
    """Adam's direction with weight decay, rescaled for each tensor to the length of the tensor itself."""

    def __init__(self, params: Params, lr: Number = 0.001, betas: tuple[Number, Number] = (0.9, 0.999), eps: Number = 1e-06, weight_decay: Number | None = 0.0, eps_root: Number | None = 0.0, *, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, maximize: bool = False, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Lars(Optimizer):
    """Momentum with a learning rate for each tensor, proportional to the ratio of its norm to its gradient's."""

    def __init__(self, params: Params, lr: Number = 1.0, eps: Number = 1e-08, weight_decay: Number | None = 0.0, momentum: Number = 0.9, trust_coefficient: Number = 0.001, *, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, trust_ratio: bool = True, nesterov: bool = False, safe_ratio: bool = False, lr_in_buffer: bool = False, separate_norms: bool = False, maximize: bool = False, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Lion(Optimizer):
    """Steps by the sign of a mean of momentum and gradient, so that every element moves by the same amount."""

    def __init__(self, params: Params, lr: Number = 0.0001, betas: tuple[Number, Number] = (0.9, 0.99), weight_decay: Number | None = 0.0, *, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, maximize: bool = False, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Lookahead(Optimizer):
    """Every few steps of another optimizer, moves a second copy of the parameters towards the first."""

    def __init__(self, params: Params, lr: Number = 0.001, weight_decay: Number | None = 0.0, sync_period: Number = 5.0, alpha: Number = 0.5, base_beta1: Number = 0.9, base_beta2: Number = 0.999, base_eps: Number = 1e-08, *, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, given: bool = False, maximize: bool = False, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class NAdam(Optimizer):
    """Adam that looks one step ahead with a first moment whose weight warms up."""

    def __init__(self, params: Params, lr: Number = 0.002, betas: tuple[Number, Number] = (0.9, 0.999), eps: Number = 1e-08, weight_decay: Number | None = 0.0, momentum_decay: Number = 0.004, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class NoisySGD(Optimizer):
    """Adds noise that fades to the gradient."""

    def __init__(self, params: Params, lr: Number = 0.001, eta: Number = 0.01, gamma: Number = 0.55, *, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, maximize: bool = False, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Novograd(Optimizer):
    """Momentum of gradients that are divided by a running norm of their tensor."""

    def __init__(self, params: Params, lr: Number = 0.001, betas: tuple[Number, Number] = (0.95, 0.98), eps: Number = 1e-08, weight_decay: Number | None = 0.0, eps_root: Number | None = 0.0, *, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, as_printed: bool = False, maximize: bool = False, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class OptimisticAdam(Optimizer):
    """Adam that expects its step to change again as it just did, for games in which Adam goes round in circles."""

    def __init__(self, params: Params, lr: Number = 0.001, betas: tuple[Number, Number] = (0.9, 0.999), eps: Number = 1e-08, alpha: Number = 1.0, beta: Number | None = 1.0, eps_root: Number | None = 0.0, *, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, nesterov: bool = False, maximize: bool = False, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class OptimisticGradientDescent(Optimizer):
    """Gradient descent that expects the gradient to change again as it just did, for games in which plain descent goes round in circles."""

    def __init__(self, params: Params, lr: Number = 0.001, alpha: Number = 1.0, beta: Number = 1.0, *, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, maximize: bool = False, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class PolyakSGD(Optimizer):
    """A step as long as the loss is above its least value, divided by the gradient's squared norm."""

    def __init__(self, params: Params, eps: Number = 0.0, max_lr: Number = 1.0, scaling: Number = 1.0, f_min: Number = 0.0, *, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, variant: Literal['sps', 'sps_plus'] = 'sps', maximize: bool = False, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Prodigy(Optimizer):
    """Adam that finds its learning rate: a growing estimate of how far the parameters have to go."""

    def __init__(self, params: Params, lr: Number = 1.0, betas: tuple[Number, Number, Number | None] = (0.9, 0.999, None), eps: Number = 1e-08, weight_decay: Number | None = 0.0, d0: Number = 1e-06, d_coef: Number = 1.0, *, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, bias_correction: bool = False, new_estimate_in_eps: bool = False, safeguard_warmup: bool = False, maximize: bool = False, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class RAdam(Optimizer):
    """Adam that divides by its second moment only once enough gradients have gone into it, and then with caution."""

    def __init__(self, params: Params, lr: Number = 0.001, betas: tuple[Number, Number] = (0.9, 0.999), eps: Number = 1e-08, weight_decay: Number | None = 0.0, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class RMSprop(Optimizer):
    """Divides each gradient by a running root mean square of the gradients so far."""

    def __init__(self, params: Params, lr: Number = 0.01, alpha: Number = 0.99, eps: Number = 1e-08, weight_decay: Number | None = 0.0, momentum: Number | None = 0.0, centered: bool = False, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Rprop(Optimizer):
    """Steps by the sign of the gradient, with a step size for each element that grows until the sign flips."""

    def __init__(self, params: Params, lr: Number = 0.01, etas: tuple[Number, Number] = (0.5, 1.2), step_sizes: tuple[Number, Number] = (1e-06, 50.0), *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class SGD(Optimizer):
    """Steps along the gradient, or along a decaying sum of the gradients so far."""

    def __init__(self, params: Params, lr: Number = 0.001, momentum: Number | None = 0.0, weight_decay: Number | None = 0.0, *, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class SM3(Optimizer):
    """Adagrad whose sums are kept for each index of each axis."""

    def __init__(self, params: Params, lr: Number = 1.0, eps: Number = 1e-08, weight_decay: Number | None = 0.0, momentum: Number = 0.9, beta: Number | None = 0.0, *, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, as_printed: bool = False, unscaled_weight_decay: bool = False, maximize: bool = False, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class ScheduleFree(Optimizer):
    """Lets another optimizer move one point, averages where it has been, and takes gradients between the two."""

    def __init__(self, params: Params, lr: Number = 0.001, beta: Number = 0.9, weight_lr_power: Number = 2.0, *, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, given: bool = False, keep_average: bool = False, maximize: bool = False, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class SignSGD(Optimizer):
    """Steps by the sign of the gradient, or of its running mean."""

    def __init__(self, params: Params, lr: Number = 0.001, beta: Number | None = 0.0, *, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, maximize: bool = False, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Sophia(Optimizer):
    """Divides the momentum by a running estimate of the Hessian's diagonal and clips each element of the result."""

    def __init__(self, params: Params, lr: Number = 0.0006, betas: tuple[Number, Number] = (0.96, 0.99), eps: Number = 1e-12, weight_decay: Number | None = 0.2, gamma: Number = 0.01, clip_threshold: Number | None = 1.0, update_interval: Number = 10.0, *, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, bias_correction: bool = False, hessian_of_last_step: bool = False, maximize: bool = False, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...

class Yogi(Optimizer):
    """Adam whose second moment changes by no more than a part of the squared gradient in each step."""

    def __init__(self, params: Params, lr: Number = 0.001, betas: tuple[Number, Number] = (0.9, 0.999), eps: Number = 0.001, weight_decay: Number | None = 0.0, initial_accumulator_value: Number = 1e-06, *, grad_clip_norm: Number | None = None, grad_clip_value: Number | None = None, bias_correction: bool = True, maximize: bool = False, skip_nonfinite: bool = False, state_dtype: Any = None) -> None: ...
