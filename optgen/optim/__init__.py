"""Generated optimizers and schedulers as stateful objects over JAX arrays, with braintools.optim's interface.

`from optgen.optim import AdamW`; the weights are any objects with a settable `.value`, brainstate's States among them,
or with a `.value` and a method `assign`, as keras's Variables.
`from optgen.optim import StepLR`: a scheduler goes where a learning rate goes.
"""

from __future__ import annotations

import functools

from optgen.optim.base import Optimizer as Optimizer
from optgen.optim.base import optimizer_class
from optgen.optim.schedulers import scheduler_classes
from optgen.runtime.catalogue_module import dialects_of, for_each_dialect, lazy_names

_OWN = ("Optimizer", "optimizer_class")


@functools.cache
def _classes() -> dict[str, type]:
    return {**for_each_dialect(dialects_of("braintools"), optimizer_class), **scheduler_classes()}


__getattr__, __dir__ = lazy_names(__name__, _classes, _OWN, "braintools.optim")
