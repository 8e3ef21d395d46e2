"""Training that stops and goes on in another process: run as a script, by test_resume.py.

resume.py run FRONT_END FILE     10 steps of every optimizer, its state after 5 saved to FILE and the end printed
resume.py resume FRONT_END FILE  the last 5 steps of each from what FILE holds, the end printed
"""

from __future__ import annotations

import hashlib
import pickle
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

import optgen.brainpy as brain
import optgen.optim as optim
from optgen.catalogue.entry import catalogue_entry
from optgen.catalogue.manifests import catalogue_names


class Box:
    def __init__(self, value):
        self.value = value


def names(library):
    return [d.name for n in catalogue_names() for d in catalogue_entry(n).manifest.dialects if d.library == library]


def weights():
    generator = np.random.default_rng(1)
    shapes = {"w": (3, 4), "tree": {"b": (4,), "scalar": ()}, "h": (5,), "k": (2, 2, 2)}
    made = jax.tree.map(
        lambda shape: jnp.asarray(generator.normal(size=shape), jnp.float32),
        shapes,
        is_leaf=lambda node: isinstance(node, tuple),
    )
    return {name: Box(value) for name, value in made.items()}


class Optim:
    """An optimizer with a scheduler, and a second group with a scheduler of its own."""

    def __init__(self, name):
        kind, _, special = name.partition("+")
        scheduler = optim.CosineAnnealingLR(0.05, T_max=7)
        more = {
            "": {"lr": scheduler},
            "zoom": {"lr": scheduler, "linesearch": "zoom"},
            "Adam": {"base_optimizer": optim.Adam(lr=scheduler), "sync_period": 3},
            "optax": {"base_optimizer": optax.adam(0.1)},
            "tx": {"tx": optax.adam(0.1)},
            "amsgrad": {"lr": scheduler, "amsgrad": True, "weight_decay": 0.1, "grad_clip_norm": 1.0},
        }[special]
        self.searches = special == "zoom"
        self.held = weights()
        self.optimizer = getattr(optim, kind)(**more)
        first = self.held if self.searches else {name: self.held[name] for name in ("w", "tree")}
        self.optimizer.register_trainable_weights(first)
        self.schedulers = [s for s in [self.optimizer.lr_scheduler] if s is not None]
        if not self.searches:
            own = optim.ExponentialLR(0.02, gamma=0.9)
            self.optimizer.add_param_group({name: self.held[name] for name in ("h", "k")}, lr=own)
            self.schedulers.append(own)

    def step(self, gradients):
        if self.searches:
            value = self.loss({name: held.value for name, held in self.held.items()})
            gradients = jax.grad(self.loss)({name: held.value for name, held in self.held.items()})
            self.optimizer.update(gradients, value=value, value_fn=self.loss)
        else:
            self.optimizer.step(gradients)
        for scheduler in self.schedulers:
            scheduler.step()

    @staticmethod
    def loss(params):
        return sum(jnp.sum(leaf**2) + jnp.sum(leaf) for leaf in jax.tree.leaves(params))

    NAMES = (
        *names("braintools"),
        "LBFGS+zoom",
        "Lookahead+Adam",
        "Lookahead+optax",
        "OptaxOptimizer+tx",
        "Adam+amsgrad",
    )


class Brain:
    """An optimizer with a scheduler that counts epochs, or calls; variables registered at two times."""

    def __init__(self, name):
        kind, _, special = name.partition("+")
        self.held = weights()
        scheduler = brain.PolynomialDecayLR(0.05, 20, 0.001) if special else brain.StepLR(0.05, 2, 0.5)
        self.optimizer = getattr(brain, kind)(scheduler, {name: self.held[name] for name in ("w", "tree")})
        self.optimizer.register_train_vars({name: self.held[name] for name in ("h", "k")})

    def step(self, gradients):
        self.optimizer.update(gradients)
        self.optimizer.lr.step_epoch()

    NAMES = (*names("brainpy"), "Adam+calls")


def gradients(step):
    generator = np.random.default_rng(100 + step)
    return {
        name: jax.tree.map(lambda x: jnp.asarray(generator.normal(size=x.shape), jnp.float32), held.value)
        for name, held in weights().items()
    }


def fingerprint(front):
    leaves = jax.tree.leaves([held.value for held in front.held.values()])
    leaves += jax.tree.leaves(front.optimizer.state_dict())
    return hashlib.sha256(
        b"".join(np.asarray(leaf).tobytes() for leaf in leaves if not isinstance(leaf, str))
    ).hexdigest()


def main(what, front_end, file):
    kind = {"optim": Optim, "brainpy": Brain}[front_end]
    saved = pickle.loads(Path(file).read_bytes()) if what == "resume" else {}
    for name in kind.NAMES:
        front = kind(name)
        if what == "resume":
            front.optimizer.load_state_dict(saved[name][0])
            for held, value in zip(front.held.values(), saved[name][1], strict=True):
                held.value = jax.tree.map(jnp.asarray, value)
        for step in range(5 if what == "resume" else 0, 10):
            if step == 5 and what == "run":
                values = [held.value for held in front.held.values()]
                saved[name] = jax.tree.map(
                    lambda x: np.asarray(x) if isinstance(x, jax.Array) else x, (front.optimizer.state_dict(), values)
                )
            front.step(gradients(step))
        finite = all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves([h.value for h in front.held.values()]))
        sys.stdout.write(f"{name} {fingerprint(front) if finite else 'not finite'}\n")
    if what == "run":
        Path(file).write_bytes(pickle.dumps(saved))


if __name__ == "__main__":
    main(*sys.argv[1:])
