"""Random rules: statements around random expressions."""

from __future__ import annotations

from dataclasses import replace

from optgen.contract.kinds import Kind
from tools.fuzzing.case import Case
from tools.fuzzing.declarations import STATE_KINDS, Declarations, PlannedState

SHAPE_CONDITIONS = (
    *("rank >= 2",) * 5,
    "rank == 1",
    "rank > 2",
    "size > 6",
    "rows > columns",
    "rank >= 2 and columns >= 3",
    "not rank == 0",
    "max(rows, columns) > 4",
    "columns % 2 == 0",
    "size == 0",
    "rank == 0 or size > 20",
)
NOT_ELEMENT = tuple(kind for kind in Kind if kind not in (Kind.ELEMENT, Kind.CONSTANT))


class Rules(Declarations):
    """Makes one rule."""

    def another(self) -> Case:
        return Rules(self.seed + 1, nested=True).case()

    def case(self) -> Case:
        """The rule, and how it is built."""
        random = self.random
        self.declare()
        self.plan_states()
        size = random.choice((1, 2, 2, 3, 3, 4, 4, 5, 6)) if random.random() < 0.93 else random.randint(8, 25)
        for _ in range(size):
            self.statement()
        for state in self.states:
            self.assign_state(state)
        self.direction()
        equations = "\n".join([*self.initial(), *self.lines])
        self.drop_unused(equations)
        return Case(
            equations,
            self.hyperparameters,
            self.options,
            self.inputs,
            self.wraps,
            self.arguments,
            seed=self.seed,
        )

    def statement(self) -> None:
        """One statement, or a group of them."""
        random = self.random
        chance = random.random()
        if chance < 0.50 or self.depth >= 2:
            self.assign()
        elif chance < 0.64:
            self.shape_branch()
        elif chance < 0.75:
            self.step_branch()
        elif chance < 0.85:
            self.option_branch()
        elif chance < 0.97:
            self.loop()
        else:
            self.many_terms()

    def some_kind(self) -> Kind:
        kinds = [*(Kind.ELEMENT,) * 8, *NOT_ELEMENT]
        return self.random.choice(kinds)

    def assign(self, kind: Kind | None = None, name: str = "") -> tuple[str, Kind]:
        """Give a new name a value."""
        kind = kind or self.some_kind()
        if kind is Kind.GLOBAL and not self.scope.over_model and not self.scope.leaves(kind, exact=True):
            kind = Kind.TENSOR
        name = name or self.name("d")
        made = self.expressions.exactly(kind, self.scope, self.random.choice((1, 2, 2, 3)))
        self.emit(f"{name} = {made}")
        if self.differs(made):
            self.differing.add(name)
        self.scope.add(name, frozenset({kind}), self.differs(made))
        return name, kind

    def shape_branch(self) -> None:
        """An `if` on the shape, whose branches have values, and maybe states, of their own."""
        random = self.random
        outer, over_model = self.scope, self.scope.over_model
        changed = [v for v in outer.values if v.text.startswith("d") and random.random() < 0.3]
        # A state that the branches assign may have another kind in each, and be there in one only.
        state = self.states.pop(random.randrange(len(self.states))) if self.states and random.random() < 0.5 else None
        name, kind = self.name("d"), self.can_differ(self.some_kind())
        kinds: list[Kind] = []
        self.depth += 1
        both = random.random() < 0.75
        # What was read already has to be there in both branches, and of the same kind.
        is_read = state is not None and any(f"{state.name}[" in line for line in self.lines)
        has_else = both or is_read or random.random() < 0.6
        for branch in range(1 + has_else):
            self.scope = replace(outer.copy(), over_model=False)
            assigns = branch == 0 or is_read or random.random() < 0.7
            if state is not None:
                own = state
                if branch and random.random() < 0.4:
                    kind_now = state.kind if is_read else self.can_differ(random.choice(STATE_KINDS))
                    own = replace(state, kind=kind_now, depth=random.choice((1, 2, 3)))
                self.scope.values = [v for v in self.scope.values if not v.text.startswith(f"{state.name}[")]
                for lag in range(1, own.depth + 1) if assigns else ():
                    self.scope.add(f"{own.name}[t-{lag}]", frozenset({own.kind}))
            self.emit(f"if {random.choice(SHAPE_CONDITIONS)}:" if branch == 0 else "else:")
            self.indent += 1
            before = len(self.lines)
            own_kind = kind if random.random() < 0.7 else self.can_differ(self.some_kind())
            if both or branch == 0:
                if random.random() < 0.3:
                    self.statement()
                kinds.append(self.assign(own_kind, name)[1])
            for value in changed:
                if random.random() < 0.6:
                    kind_now = next(iter(value.kinds))
                    if len(value.kinds) == 1 and self.can_differ(kind_now) is kind_now:
                        self.emit(f"{value.text} = {self.expressions.exactly(kind_now, self.scope, 2)}")
            if state is not None and assigns:
                self.assign_state(own)
            if len(self.lines) == before:
                self.assign(Kind.ELEMENT)
            self.indent -= 1
        self.depth -= 1
        self.scope = outer
        self.scope.over_model = over_model
        if state is not None:
            self.scope.values = [v for v in self.scope.values if not v.text.startswith(f"{state.name}[")]
        for value in changed:
            self.differing.add(value.text)
            self.scope.add(value.text, value.kinds, differs=True)
        if both:
            self.differing.add(name)
            self.scope.add(name, frozenset(kinds), differs=True)

    def step_branch(self) -> None:
        """An `if` on the step."""
        random = self.random
        conditions = ["t == 1", "every(2)", "every(3)", "t > 2", "t % 2 == 1", "not every(2)", "t > 1 and every(2)"]
        steps = [v.text for v in self.scope.leaves(Kind.STEP, exact=True)]
        conditions += [f"{random.choice(steps)} > 0.5", f"{random.choice(steps)} <= lr"]
        both = random.random() < 0.7
        outer = self.scope
        name, kind = self.name("d"), self.some_kind()
        changed = [v for v in outer.values if v.text.startswith("d") and random.random() < 0.3 and len(v.kinds) == 1]
        state = None
        if self.states and random.random() < 0.35:
            state = self.states.pop(random.randrange(len(self.states)))
        self.depth += 1
        for branch in range(2 if both else 1):
            self.scope = outer.copy()
            self.emit(f"if {random.choice(conditions)}:" if branch == 0 else "else:")
            self.indent += 1
            before = len(self.lines)
            if random.random() < 0.15:
                self.statement()
            if both:
                self.assign(kind, name)
            for value in changed:
                (own,) = value.kinds
                if random.random() < 0.7:
                    self.emit(f"{value.text} = {self.expressions.exactly(own, self.scope, 2)}")
            if state is not None and (branch == 0 or random.random() < 0.6):
                self.assign_state(state)
            if len(self.lines) == before:
                self.assign(Kind.ELEMENT)
            self.indent -= 1
        self.depth -= 1
        self.scope = outer
        if both:
            self.scope.add(name, frozenset({kind}), not outer.over_model)
        if state is not None:
            self.scope.add(f"{state.name}[t]", frozenset({state.kind}), not outer.over_model)

    def option_branch(self) -> None:
        """An `if` on an option or an optional hyperparameter."""
        random = self.random
        conditions: list[tuple[str, str]] = []
        if "decay" in self.hyperparameters:
            conditions += [("decay", "decay")] * 2
        if "fast" in self.options:
            conditions.append(("fast", ""))
        if "mode" in self.options:
            conditions.append((random.choice(('mode == "two"', 'mode != "one"')), ""))
        if "count" in self.options:
            conditions.append(("count > 1", ""))
        if not conditions:
            self.assign()
            return
        condition, name = random.choice(conditions)
        values = [v for v in self.scope.leaves(Kind.ELEMENT, exact=True) if v.text == "g" or v.text.startswith("d")]
        value = random.choice(values)
        outer = self.scope
        self.scope = outer.copy()
        if name:
            self.scope.add(name, frozenset({Kind.CONSTANT}))
        self.emit(f"if {condition}:")
        added = (
            f"{name or 0.1}*theta[t-1]"
            if random.random() < 0.6
            else self.expressions.exactly(Kind.ELEMENT, self.scope, 1)
        )
        self.indent += 1
        self.emit(f"{value.text} = {value.text} + {added}")
        self.indent -= 1
        self.scope = outer

    def loop(self) -> None:
        """A loop, with numbered names or over the history of a state."""
        random = self.random
        chance = random.random()
        bound = "count" if "count" in self.options and random.random() < 0.5 else str(random.choice((1, 2, 3)))
        if chance < 0.25:
            name, kind = self.assign()
            turns = bound if random.random() < 0.85 else str(random.choice((20, 60, 150)))
            self.emit(f"for i in range({turns}):")
            change = random.choice(("{d}*0.9", "{d}*2", "0.5*{d} + 0.1*i", "tanh({d})", "-{d}"))
            self.emit(f"    {name} = {change.format(d=name)}")
        elif chance < 0.6:
            array, total, kind = self.name("a"), self.name("d"), self.some_kind()
            if kind is Kind.GLOBAL and not self.scope.over_model:
                kind = Kind.TENSOR
            self.emit(f"{total} = {self.expressions.exactly(kind, self.scope, 1)}")
            self.scope.add(total, frozenset({kind}), not self.scope.over_model)
            self.emit(f"for i in range({bound}):")
            self.emit(f"    {array}[i] = {self.expressions.exactly(kind, self.scope, 2)} + 0.1*i")
            self.emit(f"    {total} = 0.5*{total} + {array}[i]")
            if random.random() < 0.4:
                self.emit(f"for i in range({bound} - 1, -1, -1):")
                self.emit(f"    {total} = {total} - {random.choice(('0.1*', 'tanh', ''))}({array}[i])")
        else:
            if not self.states:
                self.assign()
                return
            state = random.choice(self.states)
            total = self.name("d")
            self.emit(f"{total} = {self.expressions.exactly(state.kind, self.scope, 1)}")
            first, last = 1, random.choice(("3", "4", "count + 2" if "count" in self.options else "2"))
            self.emit(f"for i in range({first}, {last}):")
            share = random.choice(("0.3", "0.1*i"))
            self.emit(f"    {total} = {random.choice(('0.5', '0.9'))}*{total} + {share}*{state.name}[t-i]")
            self.scope.add(total, frozenset({state.kind}), not self.scope.over_model)

    def many_terms(self) -> None:
        """A sum of many terms."""
        random = self.random
        name = self.name("d")
        count = random.choice((20, 40, 80, 120)) if random.random() < 0.5 else 8
        leaves = self.scope.leaves(Kind.ELEMENT, exact=False)
        terms = [f"{random.uniform(0.01, 0.2):.2g}*{random.choice(leaves).text}" for _ in range(count)]
        self.emit(f"{name} = {' + '.join(['g', *terms])}")
        self.scope.add(name, frozenset({Kind.ELEMENT}), not self.scope.over_model)

    def assign_state(self, state: PlannedState) -> None:
        """Give a state its value at [t]."""
        random, scope = self.random, self.scope
        kind = state.kind
        if kind is Kind.GLOBAL and not scope.over_model:
            kind = Kind.TENSOR
        known = ("g", "theta[t-1]", *self.inputs, "t", "lr")
        leaves = [v for v in scope.leaves(kind, exact=True) if v.text in known]
        if state.alias and leaves:
            text = random.choice(leaves).text
        elif random.random() < 0.5:
            old = f"{state.name}[t-{random.randint(1, state.depth)}]"
            text = f"{random.choice(('0.9', '0.5', 'beta' if 'beta' in self.hyperparameters else '0.1'))}*{old} + "
            text += f"({self.expressions.exactly(kind, scope, 2)})"
        else:
            text = self.expressions.exactly(kind, scope, 2)
        if not (state.alias and leaves):
            # Something whose kind does not follow from those of states, which start at the lowest.
            text += f" + 0.1*{random.choice([v.text for v in leaves] or [self.expressions.lowest(kind, scope, 0)])}"
        self.emit(f"{state.name}[t] = {text}")
        if self.differs(text):
            self.differing.add(state.name)
        scope.add(f"{state.name}[t]", frozenset({kind}), self.differs(text))

    def direction(self) -> None:
        """The parameter's new value."""
        random = self.random
        if self.wraps is not None:
            self.emit(f"fast_theta = base({self.expressions.exactly(Kind.ELEMENT, self.scope, 1)})")
            self.scope.add("fast_theta", frozenset({Kind.ELEMENT}), True)
        chance = random.random()
        if chance < 0.08 and self.depth == 0:
            self.emit(f"if {random.choice((*SHAPE_CONDITIONS[:6], 't == 1', 'every(2)', 'every(2)'))}:")
            for branch in range(2):
                if branch:
                    self.emit("else:")
                self.indent += 1
                self.theta()
                self.indent -= 1
        else:
            self.theta()

    def theta(self) -> None:
        """An assignment of `theta[t]`."""
        random, make, scope = self.random, self.expressions, self.scope
        latest = [v for v in scope.leaves(Kind.ELEMENT, exact=False) if v.text not in ("g", "theta[t-1]")]
        d = (
            random.choice(latest[-4:]).text
            if latest and random.random() < 0.8
            else make.exactly(Kind.ELEMENT, scope, 2)
        )
        more = make.fitting(Kind.ELEMENT, scope, 2)
        element = [v.text for v in scope.leaves(Kind.ELEMENT, exact=True)]
        forms = [
            *(f"theta[t-1] - lr*({d})",) * 8,
            *(f"theta[t-1] - lr*({d} + {more})",) * 8,
            f"theta[t-1] - lr*tanh({d})*({more})",
            f"theta[t-1] + {random.choice(('lr', 't', '0.5', d))}",
            f"{random.choice(element)}",
            f"(theta[t-1] - lr*({d}))/sqrt(1 + lr**2)",
            f"clip(theta[t-1] - lr*({d}), -3, 3)",
            f"where({make.condition(Kind.ELEMENT, scope, 1)}, theta[t-1], theta[t-1] - lr*({d}))",
            f"0.9*theta[t-1] + 0*({more}) - lr*({d})",
            f"theta[t-1]*(1 - 0.1*lr) - lr*({d})",
        ]
        if self.wraps is not None:
            forms += [f"fast_theta - lr*({d})", "fast_theta", f"where({more} > 0, fast_theta, theta[t-1])"] * 8
        self.emit(f"theta[t] = {random.choice(forms)}")
