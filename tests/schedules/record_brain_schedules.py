"""Writes brain_schedules.json: what the schedulers of braintools 0.3.0 and brainpy 2.8.2 give, in float64.

Run in an environment with both: python tests/schedules/record_brain_schedules.py
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path

#: Enough steps to see the whole of a schedule, and all of those around where it changes.
STEPS = sorted({*range(0, 70), *range(79, 83), *range(95, 125), *range(0, 1001, 50), 999, 1001})

CASES = [
    ("braintools", "StepLR", {"base_lr": 0.3, "step_size": 20, "gamma": 0.7}),
    ("braintools", "MultiStepLR", {"base_lr": 0.3, "milestones": [10, 60, 61, 110], "gamma": 0.5}),
    ("braintools", "MultiStepLR", {}),
    ("braintools", "ExponentialLR", {"base_lr": 0.3, "gamma": 0.99}),
    ("braintools", "ExponentialDecayLR", {"base_lr": 0.3, "decay_steps": 30, "decay_rate": 0.7}),
    ("braintools", "ExponentialDecayLR",
     {"base_lr": 0.3, "decay_steps": 30, "decay_rate": 0.7, "transition_begin": 11, "staircase": True,
      "end_value": 0.1}),
    ("braintools", "ExponentialDecayLR", {"base_lr": 0.3, "decay_steps": 30, "decay_rate": 1.3, "end_value": 0.9}),
    ("braintools", "CosineAnnealingLR", {"base_lr": 0.3, "T_max": 110, "eta_min": 0.02}),
    ("braintools", "PolynomialLR", {"base_lr": 0.3, "total_iters": 110, "power": 1.5}),
    ("braintools", "PolynomialLR", {}),
    ("braintools", "WarmupScheduler", {"base_lr": 0.3, "warmup_epochs": 60, "warmup_start_lr": 0.01}),
    ("braintools", "WarmupScheduler", {"base_lr": 0.3, "warmup_epochs": 0}),
    ("braintools", "CyclicLR", {"base_lr": 0.1, "max_lr": 0.5, "step_size_up": 20}),
    ("braintools", "CyclicLR", {"base_lr": 0.1, "max_lr": 0.5, "step_size_up": 20, "step_size_down": 33}),
    ("braintools", "CyclicLR", {"base_lr": 0.1, "max_lr": 0.5, "step_size_up": 20, "mode": "triangular2"}),
    ("braintools", "CyclicLR", {"base_lr": 0.1, "max_lr": 0.5, "step_size_up": 20, "mode": "exp_range", "gamma": 0.99}),
    ("braintools", "OneCycleLR", {"max_lr": 0.5, "total_steps": 110}),
    ("braintools", "OneCycleLR", {"max_lr": 0.5, "epochs": 10, "steps_per_epoch": 11, "anneal_strategy": "linear"}),
    ("braintools", "LinearLR", {"base_lr": 0.3, "start_factor": 0.2, "end_factor": 0.9, "total_iters": 61}),
    ("braintools", "LinearLR", {"base_lr": 0.3, "total_iters": 0}),
    ("braintools", "ConstantLR", {"base_lr": 0.3, "factor": 0.25, "total_iters": 61}),
    ("braintools", "CosineAnnealingWarmRestarts", {"base_lr": 0.3, "T_0": 20, "T_mult": 2, "eta_min": 0.01}),
    ("braintools", "CosineAnnealingWarmRestarts", {"base_lr": 0.3, "T_0": 20}),
    ("braintools", "WarmupCosineSchedule",
     {"base_lr": 0.3, "warmup_steps": 20, "total_steps": 110, "warmup_start_lr": 0.01, "eta_min": 0.02}),
    ("braintools", "PiecewiseConstantSchedule", {"boundaries": [20, 60, 110], "values": [1.0, 0.5, 0.7, 0.1]}),
    ("braintools", "PiecewiseConstantSchedule", {}),
    ("brainpy", "Constant", {"lr": 0.3}),
    ("brainpy", "StepLR", {"lr": 0.3, "step_size": 20, "gamma": 0.7}),
    ("brainpy", "MultiStepLR", {"lr": 0.3, "milestones": [10, 60, 61, 110], "gamma": 0.5}),
    ("brainpy", "CosineAnnealingLR", {"lr": 0.3, "T_max": 60, "eta_min": 0.02}),
    ("brainpy", "CosineAnnealingWarmRestarts", {"lr": 0.3, "num_call_per_epoch": 1, "T_0": 10, "eta_min": 0.01}),
    # brainpy's own fails where T_mult is above 1: the branches of its condition differ in dtype.
    ("brainpy", "CosineAnnealingWarmRestarts", {"lr": 0.3, "num_call_per_epoch": 4, "T_0": 3}),
    ("brainpy", "ExponentialLR", {"lr": 0.3, "gamma": 0.99}),
    ("brainpy", "ExponentialDecayLR", {"lr": 0.3, "decay_steps": 30, "decay_rate": 0.7}),
    ("brainpy", "InverseTimeDecayLR", {"lr": 0.3, "decay_steps": 30, "decay_rate": 0.7}),
    ("brainpy", "InverseTimeDecayLR", {"lr": 0.3, "decay_steps": 30, "decay_rate": 0.7, "staircase": True}),
    ("brainpy", "PolynomialDecayLR", {"lr": 0.3, "decay_steps": 110, "final_lr": 0.02, "power": 1.5}),
    ("brainpy", "PiecewiseConstantLR", {"boundaries": [20, 60, 110], "values": [1.0, 0.5, 0.7, 0.1]}),
]  # fmt: skip

#: Not of the catalogue, but of the front-end.
OTHERS = ("LRScheduler", "ReduceLROnPlateau", "SequentialLR", "ChainedScheduler")


def braintools_values(scheduler: object) -> list[float]:
    """The rates at the steps, moving on one by one: some schedulers count for themselves."""
    found = []
    for step in range(STEPS[-1] + 1):
        if step in STEPS:
            found.append(float(scheduler.current_lrs.value[0]))
        scheduler.step()
    return found


def signature(made: type) -> list[list[object]]:
    """Names and defaults of a constructor's arguments; one without a default has an empty list."""
    parameters = list(inspect.signature(made.__init__).parameters.values())[1:]
    return [
        [p.name, [] if p.default is p.empty else [p.default]] for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD
    ]


def plateau_rates(scheduler: object, metrics: list[float]) -> list[float]:
    """The rate after each metric."""
    found = []
    for metric in metrics:
        scheduler.step(metric)
        found.append(float(scheduler.current_lrs.value[0]))
    return found


METRICS = [1.0, 0.9, 0.9, 0.9, 0.89995, 0.91, 0.9, 0.7, 0.8, 0.8, 0.8, 0.8, 0.6, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.5]
PLATEAUS = [
    {"base_lr": 0.3, "patience": 2},
    {"base_lr": 0.3, "patience": 1, "cooldown": 3, "factor": 0.5, "min_lr": 0.05},
    {"base_lr": 0.3, "patience": 1, "mode": "max", "threshold_mode": "abs", "threshold": 0.05},
    {"base_lr": 0.3, "patience": 1, "mode": "max", "factor": 0.7},
]


def main() -> None:
    """Write the file."""
    import brainpy
    import brainstate
    import braintools
    import jax

    jax.config.update("jax_enable_x64", True)
    brainstate.environ.set(precision=64)
    recorded = []
    for library, name, arguments in CASES:
        if library == "braintools":
            values = braintools_values(getattr(braintools.optim, name)(**arguments))
        else:
            scheduler = getattr(brainpy.optim, name)(**arguments)
            values = [float(scheduler(step)) for step in STEPS]
        recorded.append({"library": library, "name": name, "arguments": arguments, "values": values})
    names = sorted({name for library, name, _ in CASES if library == "braintools"} | set(OTHERS))
    signatures = {name: signature(getattr(braintools.optim, name)) for name in names}
    for name in sorted({name for library, name, _ in CASES if library == "brainpy"}):
        signatures[f"brainpy.{name}"] = signature(getattr(brainpy.optim, name))
    plateaus = [plateau_rates(braintools.optim.ReduceLROnPlateau(**arguments), METRICS) for arguments in PLATEAUS]
    target = Path(__file__).with_name("brain_schedules.json")
    found = {"cases": recorded, "signatures": signatures, "plateaus": plateaus}
    target.write_text(json.dumps(found, indent=None, separators=(",", ":")).replace("},{", "},\n{") + "\n")


if __name__ == "__main__":
    main()
