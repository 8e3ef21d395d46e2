"""Written by `optgen docs` from the catalogue; do not edit."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax

from optgen.schedules.schedule import Schedule as Schedule
from optgen.schedules.schedule import spelled_schedule as spelled_schedule

Number = float | jax.Array

def constant(base_lr: Number = 0.001) -> Schedule:
    """The same learning rate at every step."""

def cosine_annealing(base_lr: Number = 0.001, T_max: int = 50, eta_min: Number = 0.0, *, hold: bool = False) -> Schedule:
    """Half a cosine from the learning rate down to a minimum."""

def cosine_decay(init_value: Number = 0.001, decay_steps: Number = 1000, alpha: Number = 0.0, exponent: Number = 1.0) -> Schedule:
    """Half a cosine, or a power of it, from the learning rate down to a fraction of it."""

def cosine_one_cycle(transition_steps: int = 1000, peak_value: Number = 0.01, pct_start: Number = 0.3, div_factor: Number = 25.0, final_div_factor: Number = 10000.0) -> Schedule:
    """Half a cosine up to the largest learning rate, and half a one down."""

def cosine_restarts(base_lr: Number = 0.001, T_0: int = 10, T_mult: int = 1, eta_min: Number = 0.0, steps_per_epoch: int = 1) -> Schedule:
    """Half a cosine down to a minimum, again and again, each time T_mult as long."""

def cyclic(base_lr: Number = 0.001, max_lr: Number = 0.01, step_size_up: int = 2000, step_size_down: int | None = None, gamma: Number = 1.0, *, mode: Literal['triangular', 'triangular2', 'exp_range'] = 'triangular', wave: Literal['slopes', 'distance'] = 'slopes') -> Schedule:
    """Up and down between two learning rates, the height constant, halved with each cycle or decaying with each step."""

def exponential(base_lr: Number = 0.001, gamma: Number = 0.95) -> Schedule:
    """Multiplied by the same factor at every step."""

def exponential_decay(init_value: Number = 0.001, transition_steps: int = 1000, decay_rate: Number = 0.96, transition_begin: int = 0, end_value: Number | None = None, *, staircase: bool = False) -> Schedule:
    """Multiplied by the decay rate once every so many steps, smoothly or at once."""

def inverse_time(base_lr: Number = 0.001, decay_steps: int = 1000, decay_rate: Number = 1.0, *, staircase: bool = False) -> Schedule:
    """Divided by a number that grows with the step."""

def line_cosine_one_cycle(max_lr: Number = 0.01, total_steps: int = 1000, pct_start: Number = 0.3, div_factor: Number = 25.0, final_div_factor: Number = 10000.0, *, anneal_strategy: Literal['cos', 'linear'] = 'cos') -> Schedule:
    """A straight line up to the largest learning rate, then half a cosine or a line down."""

def linear(init_value: Number = 0.001, end_value: Number = 0.0, transition_steps: int = 1000, transition_begin: int = 0) -> Schedule:
    """A straight line from one value to another, held at both ends."""

def linear_factor(base_lr: Number = 0.001, start_factor: Number = 0.3333333333333333, end_factor: Number = 1.0, total_iters: int = 5) -> Schedule:
    """A factor on the learning rate that changes along a straight line and is then held."""

def linear_one_cycle(transition_steps: int = 1000, peak_value: Number = 0.01, pct_start: Number = 0.3, pct_final: Number = 0.85, div_factor: Number = 25.0, final_div_factor: Number = 10000.0) -> Schedule:
    """Straight lines up to the largest learning rate, down to the first and on to the last."""

def multi_step(base_lr: Number = 0.001, milestones: Sequence[Number] = (30, 60, 90), gamma: Number = 0.1, *, decays: Literal['at', 'after'] = 'at') -> Schedule:
    """Multiplied by a factor at each of some milestones."""

def noam(factor: Number = 1.0, d_model: int = 512, warmup_steps: int = 4000) -> Schedule:
    """A warm-up along a line, then the inverse square root of the step, as Transformers were first trained."""

def one_cycle(max_lr: Number = 0.01, total_steps: int = 1000, pct_start: Number = 0.3, div_factor: Number = 25.0, final_div_factor: Number = 10000.0, *, anneal_strategy: Literal['cos', 'linear'] = 'cos', three_phase: bool = False) -> Schedule:
    """Up to the largest learning rate and down to almost nothing, in one cycle of two or three phases."""

def piecewise_constant(init_value: Number = 0.001, boundaries: Sequence[Number] = (), scales: Sequence[Number] = ()) -> Schedule:
    """Multiplied by a scale at each of some boundaries, and constant between them."""

def piecewise_interpolate(init_value: Number = 0.001, boundaries: Sequence[Number] = (), scales: Sequence[Number] = (), *, interpolation: Literal['linear', 'cosine'] = 'linear') -> Schedule:
    """Multiplied by a scale at each of some boundaries, along a line or half a cosine between them."""

def piecewise_values(boundaries: Sequence[Number] = (1000, 2000), values: Sequence[Number] = (1.0, 0.1, 0.01), *, changes: Literal['at', 'after'] = 'at') -> Schedule:
    """One given value between each two boundaries."""

def polynomial(init_value: Number = 0.001, end_value: Number = 0.0, power: Number = 1.0, transition_steps: int = 1000, transition_begin: int = 0) -> Schedule:
    """From one value to another along a power of what is left of the way."""

def reduced_start(base_lr: Number = 0.001, factor: Number = 0.3333333333333333, total_iters: int = 5) -> Schedule:
    """A fraction of the learning rate for the first steps, then all of it."""

def step(base_lr: Number = 0.001, step_size: int = 30, gamma: Number = 0.1) -> Schedule:
    """Multiplied by a factor every so many steps."""

def warmup_constant(init_value: Number = 0.0, peak_value: Number = 0.001, warmup_steps: int = 5) -> Schedule:
    """A straight line up to the learning rate, which then stays."""

def warmup_cosine(init_value: Number = 0.0, peak_value: Number = 0.001, warmup_steps: int = 1000, decay_steps: int = 10000, end_value: Number = 0.0, exponent: Number = 1.0) -> Schedule:
    """A straight line up to the learning rate, then half a cosine, or a power of it, down to the end value."""

def warmup_exponential(init_value: Number = 0.0, peak_value: Number = 0.001, warmup_steps: int = 1000, transition_steps: int = 1000, decay_rate: Number = 0.96, transition_begin: int = 0, end_value: Number | None = None, *, staircase: bool = False) -> Schedule:
    """A straight line up to the learning rate, then exponential decay, smoothly or in steps."""
