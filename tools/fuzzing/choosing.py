"""Which targets a case is run on."""

from __future__ import annotations

import random

from tools.fuzzing.targets import EAGER, JAX, TRITON

#: All targets and the dtypes of parameters that they take.
TARGETS: tuple[str, ...] = (
    *(f"{name} {dtype}" for name in EAGER for dtype in ("float32", "float64")),
    *(f"{name} {dtype}" for name in JAX for dtype in ("float32", "float64")),
    *(f"{name} float32" for name in TRITON),
    *(f"{name} {dtype}" for name in (*EAGER[:2], *JAX) for dtype in ("bfloat16", "float16")),
    # Tensors of several dtypes in one model.
    *(f"{name} float32+float64+bfloat16" for name in (*EAGER[:2], *JAX)),
    *(f"{name} float32+float64" for name in EAGER[2:]),
)
MIXED = tuple(target for target in TARGETS if "+" in target)
#: What Triton's interpreter needs, and everything else must not have.
INTERPRETED = {"TRITON_INTERPRET": "1"}


def matching(patterns: str) -> tuple[str, ...]:
    """The targets whose names hold one of some words, separated by commas.

    Raises:
        ValueError: a word is in none.
    """
    found: dict[str, None] = {}
    for pattern in patterns.split(","):
        some = [target for target in TARGETS if pattern in target]
        if not some:
            raise ValueError(f"no target has {pattern!r} in its name: {', '.join(TARGETS)}")
        found |= dict.fromkeys(some)
    return tuple(found)


def turned(number: int) -> tuple[str, ...]:
    """Every eighth target; a number says which, so that numbers that follow each other make up all of them."""
    return TARGETS[number % 8 :: 8]


def sampled(seed: int) -> tuple[str, ...]:
    """Choose targets for a rule where not all are asked for: cheap ones often, compiled ones now and then."""
    chance = random.Random(seed)
    found = ["numpy-arrays float64", f"torch-arrays {chance.choice(('float32', 'float32', 'float64'))}"]
    found.append(f"{chance.choice(('torch', 'torch', 'numpy'))}-native {chance.choice(('float32', 'float64'))}")
    if chance.random() < 0.2:
        found.append("numpy-arrays float32")
    dtypes = ("float32", "float32", "float64")
    if chance.random() < 0.35:
        found.append(f"jax-arrays-{chance.choice(('apply', 'update'))} {chance.choice(dtypes)}")
    if chance.random() < 0.35:
        found.append(f"jax-native-{chance.choice(('apply', 'apply', 'update'))} {chance.choice(dtypes)}")
    if chance.random() < 0.08:
        found.append(f"{chance.choice((*EAGER[:2], *JAX))} {chance.choice(('bfloat16', 'float16'))}")
    if chance.random() < 0.15:
        found.append(chance.choice(MIXED))
    return tuple(dict.fromkeys(found))
