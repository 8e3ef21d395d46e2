"""Small rules that together use every form of kernel: what the catalogue's own rules use only in part."""

from __future__ import annotations

from optgen._paths import specs_folder
from optgen.language.definition import define_spec
from optgen.language.model import Spec
from optgen.language.reader import parse_spec, read_spec

_EQUATIONS: dict[str, tuple[str, dict[str, float]]] = {
    # Folds over the model, of elements and of numbers of tensors; a state of the model with a history.
    "over_the_model": (
        """
        size_of_all = norm(g, over=model)
        largest = max(rms(g), over=model)
        average = mean(norm(theta[t-1]), over=model)
        k[t] = 0.5*k[t-1] + 0.1*k[t-2] + size_of_all
        c = g*min(1, bound/(size_of_all + eps))
        m[t] = beta*m[t-1] + c + mean(g, over=model)
        theta[t] = theta[t-1] - lr*m[t]/(1 + k[t] + largest + average)
        """,
        {"lr": 0.1, "beta": 0.9, "bound": 0.5, "eps": 1e-6},
    ),
    # Matrices wait for the model twice, other tensors once and for another fold first.
    "cases_that_wait": (
        """
        if rank >= 2:
            d = g/(norm(g) + eps)
        else:
            d = g*size
        total = sum(abs(d), over=model)
        if rank >= 2:
            theta[t] = theta[t-1] - lr*d/(1 + total)
        else:
            theta[t] = theta[t-1] - lr*d/(2 + total + max(d, over=tensor) - min(d, over=tensor))
        """,
        {"lr": 0.1, "eps": 1e-6},
    ),
    # Numbers of the model that the compiler would call alike, and a fold of what a branch has changed.
    "cases_of_one_name": (
        """
        d = g
        if rank >= 2:
            d = g + 0.1*theta[t-1]
        n = norm(d, over=model)
        if rank >= 2:
            d = d/(2*n + 1)/(2*n + 1)
        else:
            d = d/(3*n + 1)/(3*n + 1)
        theta[t] = theta[t-1] - lr*d
        """,
        {"lr": 0.1},
    ),
    # Rows, columns and matrices, with histories of their own.
    "factored": (
        """
        q = g**2 + eps
        if rank >= 2:
            r[t] = beta*r[t-1] + (1 - beta)*mean(q, over=columns)
            c[t] = beta*c[t-2] + (1 - beta)*mean(q, over=rows)
            whole[t] = 0.5*whole[t-1] + max(r[t], over=rows) + max(c[t], over=columns)
            v = r[t]*c[t]/(mean(r[t], over=rows) + 0.01*whole[t] + mean(c[t]))
        else:
            w[t] = beta*w[t-1] + (1 - beta)*q
            v = w[t] + sum(min(q, over=columns), over=tensor)
        u = g/sqrt(v)
        d = u/max(1, rms(u))
        theta[t] = theta[t-1] - lr*max(eps, rms(theta[t-1]))*d
        """,
        {"lr": 0.1, "beta": 0.9, "eps": 1e-6},
    ),
    # Vectors per axis: read by elements, made by folds over the other axes.
    "per_axis": (
        """
        nu = min(V[t-1], over=axes) + g**2
        V[t] = max(nu, over=other_axes)
        W[t] = 0.9*W[t-1] + 0.1*sum(g, over=other_axes)
        u = where(nu > 0, g/sqrt(nu), 0) + 0.01*sum(0.5*W[t-1], over=axes)
        m[t] = beta*m[t-1] + (1 - beta)*u
        theta[t] = theta[t-1] - lr*m[t]
        """,
        {"lr": 0.1, "beta": 0.9},
    ),
    # Histories, numbers of the step that are kept, periodic steps, first values.
    "kept_values": (
        """
        p[0] = start
        z[0] = theta[0] + start
        h[t] = 0.5*g + 0.1*h[t-3]
        w[t] = g - h[t-2]
        p[t] = 0.9*p[t-1] + 0.1 + p[t-2]*0.01
        z[t] = where(every(3), theta[t-1] + 0.3*z[t-1] + 0.1*z[t-2], z[t-1])
        e[t] = 0.9*e[t-1] + 0.1*norm(g) + 0.01*e[t-2]
        if t % 2 == 0:
            s = lr*h[t]
        else:
            s = lr*w[t]
        theta[t] = theta[t-1] - s*p[t]/(1 + e[t]) - 0.01*z[t] - 0.001*h[t-3]
        """,
        {"lr": 0.1, "start": 1.5},
    ),
    # Dear to compute again between three folds, and so kept in scratch memory.
    "kept_in_scratch": (
        """
        a[t] = 0.9*a[t-1] + g
        b[t] = 0.9*b[t-1] + g
        c[t] = 0.9*c[t-1] + g
        d[t] = 0.9*d[t-1] + g
        x = g*(a[t-1] + b[t-1])*(c[t-1] + d[t-1])
        first = norm(x)
        second = norm(x/(first + 1))
        y = x/(1 + first)/(1 + second)
        third = norm(y + theta[t-1])
        theta[t] = theta[t-1] - lr*(y + 0.1*g)/(1 + third)
        """,
        {"lr": 0.1},
    ),
    # The new parameter itself, read by a state.
    "synchronised": (
        """
        slow[0] = theta[0]
        fast = theta[t-1] - lr*g
        if every(3):
            slow[t] = slow[t-1] + 0.5*(fast - slow[t-1])
            theta[t] = slow[t]
        else:
            slow[t] = slow[t-1]
            theta[t] = fast
        """,
        {"lr": 0.1},
    ),
    # Negated conditions on numbers of every kind, and numbers of a shape with an axis of length 0.
    "conditions": (
        """
        a = where(not (beta < 0.5) and not t > 2, g, 2*g)
        b = where(not (rows > columns) or not g > 0, a, 0.5*a)
        k[t] = 0.5*k[t-1] + where(not t > 2, 1, beta) + max(g) + sqrt(max(1, rows/columns))
        if rows/columns > 1 and not rank % 2 == 1:
            d = b + 0.1*max(g, over=columns)
        else:
            d = max(1, 2*beta)*b
        theta[t] = theta[t-1] - lr*d*min(k[t], 3)
        """,
        {"lr": 0.1, "beta": 0.9},
    ),
    # Every function, of elements and of the step's number. 0.7 and 0.1 are not float32 numbers.
    "functions": (
        """
        a = exp(-abs(g)) + log(abs(g) + 0.7) + sin(g) + cos(3*g) + tanh(g) + tanh(0.1*g)
        b = floor(2.5*g) + ceil(1.5*g) + g % 0.7 + g % (-0.7) + sign(g)
        c = g**2 + (g + 0.7)**3 + (abs(g) + 0.1)**(-2) + abs(g)**1.7 + (abs(g) + 0.1)**(-0.3) + 0.7**g
        d = where(g > 0.1 and g < 0.7 or not g <= 1.5, max(g, 0.1), min(g, -0.1))
        f = where(g != 0, 0.1, 0.7) + where(t > 2 and g > 0, g, 0.3)
        h = sigmoid(3*g) + erf(g) + atan2(g, 0.7) + atan2(-0.1, g) + 0.1*atan2(g, -g) + clip(g, -0.1, 0.7)
        s = exp(-t) + log(t) + sin(t) + cos(t) + tanh(t) + floor(t/3) + ceil(t/3) + t % 3
        u = sigmoid(2 - t) + erf(t/3) + atan2(2 - t, t - 3) + sqrt(abs(t - 3)) + where(every(2), 0.1, 0.7)
        w = s + sign(2 - t) + t**0.5 + 0.9**t + 1/max(t - 1, 0) - 1/max(t - 1, 0) + sqrt(3 - t) + 1/(t - 5)
        theta[t] = theta[t-1] - lr*(a + b + c/(1 + abs(c)) + d + f + h + 0.1*s + 0.1*u + where(w > 0, 0.1, 0))
        """,
        {"lr": 0.01},
    ),
}

_INPUTS = """
[optimizer]
name = "given_values"
class = "GivenValues"
title = "Values from outside"
summary = "Reads an input of every kind."

[hyperparameters]
lr = { default = 0.1, symbol = 'lr', domain = "lr >= 0", meaning = "learning rate" }

[inputs]
a = { kind = "step", meaning = "for the step" }
b = { kind = "global", meaning = "for the model" }
c = { kind = "tensor", meaning = "for a tensor" }
d = { kind = "element", meaning = "for an element" }

[equations]
rule = '''
s = lr*a
theta[t] = theta[t-1] - s*(g*b + c)*d/(1 + norm(d))
'''
"""


def small_rules() -> dict[str, Spec]:
    """The rules of this module, by name."""
    rules = {name: define_spec(name, equations, values) for name, (equations, values) in _EQUATIONS.items()}
    return rules | {"given_values": parse_spec(_INPUTS, "given_values.toml")}


def spec_named(name: str) -> Spec:
    """One of these rules, or one of the catalogue."""
    small = small_rules()
    return small[name] if name in small else read_spec(specs_folder() / f"{name}.toml")


def catalogue_names() -> list[str]:
    """The names of the catalogue's rules."""
    return sorted(path.stem for path in specs_folder().glob("*.toml"))


def batches(count: int) -> list[list[str]]:
    """All names that `spec_named` knows, dealt out: a process per name would mostly start processes."""
    names = [*catalogue_names(), *small_rules()]
    return [names[start::count] for start in range(count)]
