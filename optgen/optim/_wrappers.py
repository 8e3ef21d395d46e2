"""Optimizers around a part that is not of the rule: another optimizer, or a line search that evaluates the loss."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import optax

from optgen.arguments.settings import Settings
from optgen.catalogue.entry import Entry, catalogue_entry
from optgen.contract.declarations import OptionValue
from optgen.errors import HyperparameterTypeError, InvalidHyperparameter
from optgen.frontends.weights.rules import OptaxRule, StatefulRule
from optgen.optax._factory import transformation
from optgen.optim._base import Optimizer
from optgen.optim._schedulers import LRScheduler

_SEARCHES = {
    "zoom": lambda: optax.scale_by_zoom_linesearch(max_linesearch_steps=100),
    "backtracking": lambda: optax.scale_by_backtracking_linesearch(max_backtracking_steps=100),
}


class Searching(Optimizer):
    """An optimizer whose direction a line search of optax's may follow."""

    def _own_tx(self) -> OptaxRule | None:
        asked = self._own["linesearch"]
        if asked is None:
            return super()._own_tx()
        label = type(self).__name__
        if isinstance(asked, str) and asked in _SEARCHES:
            search = _SEARCHES[asked]()
        elif isinstance(asked, optax.GradientTransformationExtraArgs):
            search = asked
        else:
            raise InvalidHyperparameter(
                f"{label}: Unknown linesearch {asked!r}; there are {', '.join(_SEARCHES)}, and optax transformations "
                f"that take value, grad and value_fn"
            )
        return OptaxRule(optax.chain(self.default_tx(), search), searches=True)

    def update(self, grads: Any, value: Any = None, value_fn: Any = None, **inputs: Any) -> Any:
        """Make a step, with the loss and the function that computes it for a line search."""
        given = {"value": value, "value_fn": value_fn}
        return self.step(grads, **{name: x for name, x in given.items() if x is not None}, **inputs)

    def _group_rule(self, kwargs: Mapping[str, Any]) -> StatefulRule:
        if isinstance(self._first.rule, OptaxRule):
            raise InvalidHyperparameter(f"{type(self).__name__}: a line search moves all weights at once, in one group")
        return super()._group_rule(kwargs)


class Wrapping(Optimizer):
    """An optimizer around another one, of `optgen.optim` or optax."""

    def _own_tx(self) -> OptaxRule | None:
        base = self._own["base_optimizer"]
        if base is None:
            return super()._own_tx()
        label = type(self).__name__
        if isinstance(base, Optimizer):
            transformed = base.tx
        elif isinstance(base, optax.GradientTransformation):
            transformed = base
        else:
            raise HyperparameterTypeError(
                f"{label}: base_optimizer is an optimizer of optgen.optim or an optax transformation, not {base!r}"
            )
        return OptaxRule(self._around(transformed))

    def _around(self, base: optax.GradientTransformation) -> optax.GradientTransformation:
        """The rule around a transformation, whose step it takes instead of making its own.

        What conditions the gradient comes before the transformation: plain descent at a rate of 1 gives minus the
        gradient after clipping and decay.
        """
        manifest = self.entry.manifest
        conditions = {*manifest.shared, "weight_decay"}
        given = self._settings.values
        plain = catalogue_entry("sgd")
        conditioned = transformation(
            plain,
            _settings(plain, {"lr": 1.0, "momentum": 0.0, **{n: v for n, v in given.items() if n in conditions}}),
            plain.manifest.dialects[0],
        )
        own = {n: v for n, v in given.items() if n not in conditions}
        return transformation(
            self.entry,
            replace(_settings(self.entry, own, given=True), state_dtype=self._settings.state_dtype),
            self.dialect,
            {"given_step": optax.chain(conditioned, optax.scale(-1.0), base)},
        )

    def _start_rate(self, lr: Any) -> None:
        base = self._own["base_optimizer"]
        if isinstance(base, Optimizer):
            if lr is not None:
                base.lr = lr
            self._first.follow(base.lr_scheduler)
            return
        if base is not None:
            # It is kept, for whoever asks, but the transformation does not read it.
            super()._start_rate(lr)
            if lr is not None and not isinstance(lr, LRScheduler):
                what = f"{type(self).__name__}: an optax transformation has a learning rate of its own, so that lr has "
                warnings.warn(f"{what}no effect; wrap an optimizer of optgen.optim instead", UserWarning, stacklevel=4)
            return
        super()._start_rate(lr)


def _settings(entry: Entry, values: Mapping[str, Any], **options: OptionValue) -> Settings:
    """Settings with the defaults of the spec for everything else."""
    manifest = entry.manifest
    return Settings(
        {o.name: o.default for o in manifest.options} | options,
        {h.name: h.default for h in manifest.hyperparameters} | dict(values),
        {},
    )


#: The classes above, by the argument that asks for them.
PARENTS: dict[str, type[Optimizer]] = {"linesearch": Searching, "base_optimizer": Wrapping}
