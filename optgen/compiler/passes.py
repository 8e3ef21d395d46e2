"""Program → schedule: an order of passes over memory, and what each reads, computes and writes.

Numbers that are known before any tensor is looked at come first. What needs a fold over a tensor, or over the model,
comes in a later pass than the fold itself. A value that a later pass needs again is read back if it was stored,
computed again if that takes at most two more reads and few operations, and kept in scratch memory otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy

from optgen.compiler.program import UPDATE, Definition, Program, Reduce
from optgen.contract.kinds import SIZE_SYMBOLS, Kind

#: The order of the passes between two folds: a value is computed before the ones that vary more.
_ORDER = (Kind.GLOBAL, Kind.TENSOR, Kind.MATRIX, Kind.ROW, Kind.COLUMN, Kind.AXIS, Kind.ELEMENT)


#: How many values of earlier passes a pass computes again at most; beyond, it reads what it needs from scratch memory.
MOST_REPEATED = 40


@dataclass(frozen=True, slots=True)
class Pass:
    """One loop over memory.

    Attributes:
        domain: what it loops over: the elements of a tensor, its rows, ..., or, for one number, nothing.
        reads: arrays loaded at each turn, of the domain's kind; `theta`, `g`, states, inputs, and definitions that an
            earlier pass stored.
        broadcast: values that vary less than the domain, loaded from where an earlier pass put them.
        definitions: computed at each turn, in order, without the folds.
        folds: reductions begun here, by name; their operands are among the definitions or what is read.
        writes: definitions stored, of the domain's kind: new states, the result, scratch.
    """

    domain: Kind
    reads: tuple[str, ...]
    broadcast: tuple[str, ...]
    definitions: tuple[Definition, ...]
    folds: tuple[Definition, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PassSchedule:
    """The passes of one program, in the order in which they run.

    Attributes:
        constants: known when the optimizer is built.
        step: known when the step begins.
        passes: the loops over memory.
        scratch: values of kind element that are kept between passes and are neither state nor result.
        reads, writes: how often a pass reads or writes one number per element, summed over the passes; updating the
            parameter in place is counted as reading and writing it.
    """

    constants: tuple[Definition, ...]
    step: tuple[Definition, ...]
    passes: tuple[Pass, ...]
    scratch: tuple[str, ...]
    reads: int
    writes: int

    def bytes_per_element(self, itemsize: int = 4) -> int:
        """Bytes moved per element if every array holds numbers of that size."""
        return itemsize * (self.reads + self.writes)

    @property
    def element_passes(self) -> int:
        """How many times a tensor is gone through."""
        return sum(p.domain is Kind.ELEMENT for p in self.passes)


def schedule(program: Program, *, reads_back: bool = True) -> PassSchedule:
    """Order a program into passes.

    Args:
        program: what is to be computed.
        reads_back: whether a pass may read a state's new value where an earlier one has stored it. If not, such states
            are stored by the last pass, and may be rounded there: no pass reads what another has rounded.
    """
    return _PassScheduler(program, reads_back).schedule()


def schedules(program: Program) -> tuple[PassSchedule, PassSchedule | None]:
    """A program's schedule, and the one for states that are rounded as they are stored, if it has to be another."""
    made = schedule(program)
    new = {state.new for state in program.states if state.kind is Kind.ELEMENT} - set(made.scratch)
    if not any(new & set(one.reads) for one in made.passes):
        return made, None
    rounding = schedule(program, reads_back=False)
    # Where nothing is saved by reading states back, one schedule is enough.
    return (rounding, None) if rounding.bytes_per_element() <= made.bytes_per_element() else (made, rounding)


class _PassScheduler:
    """Finds for each value the fold it has to wait for, and from that the passes."""

    def __init__(self, program: Program, reads_back: bool) -> None:
        self.program = program
        self.reads_back = reads_back
        self.kinds = program.kinds
        self.by_name = {d.name: d for d in program.definitions}
        self.position = {d.name: number for number, d in enumerate(program.definitions)}
        self.reads = {d.name: _ordered_names(d.expression) for d in program.definitions}
        self.levels = self.find_levels()
        self.fixed_roots = self.find_fixed_roots()
        self.scratch: list[str] = []

    def find_levels(self) -> dict[str, int]:
        """How many folds, one after the other, each value has to wait for."""
        levels: dict[str, int] = {}
        for definition in self.program.definitions:
            level = max((levels.get(name, 0) for name in self.reads[definition.name]), default=0)
            levels[definition.name] = level + isinstance(definition.value, Reduce)
        return levels

    def find_fixed_roots(self) -> dict[tuple[Kind, int], list[str]]:
        """Roots of the pass of a domain and level, without numbers of elements, which a pass stores at will."""
        found: dict[tuple[Kind, int], list[str]] = {}
        for definition in self.program.definitions:
            name, value, level = definition.name, definition.value, self.levels[definition.name]
            if isinstance(value, Reduce):
                found.setdefault((value.source, level - 1), []).append(name)
            elif definition.kind is not Kind.ELEMENT and not definition.kind.is_per_step:
                # Few numbers: each is computed once and kept.
                found.setdefault((definition.kind, level), []).append(name)
        return found

    def schedule(self) -> PassSchedule:
        per_step = [d for d in self.program.definitions if d.kind.is_per_step]
        write_level = self.find_write_levels()
        passes = self.make_passes(write_level)
        # What a later pass keeps, an earlier one has to store: once more, with what is kept known from the start.
        known = 0
        while len(self.scratch) > known:
            known = len(self.scratch)
            passes = self.make_passes(write_level)
        element = [p for p in passes if p.domain is Kind.ELEMENT]
        in_place = sum(self.program.result == UPDATE and UPDATE in p.writes and "theta" not in p.reads for p in element)
        return PassSchedule(
            constants=tuple(d for d in per_step if d.kind is Kind.CONSTANT),
            step=tuple(d for d in per_step if d.kind is Kind.STEP),
            passes=tuple(passes),
            scratch=tuple(self.scratch),
            reads=sum(not self.is_folded_from_axes(name) for p in element for name in p.reads) + in_place,
            writes=sum(len(p.writes) for p in element),
        )

    def is_fold(self, name: str) -> bool:
        """Whether a name is that of a fold."""
        definition = self.by_name.get(name)
        return definition is not None and isinstance(definition.value, Reduce)

    def is_folded_from_axes(self, name: str) -> bool:
        """Whether a value per element is put together from vectors per axis where it is needed, and not stored."""
        definition = self.by_name.get(name)
        return definition is not None and isinstance(definition.value, Reduce) and definition.value.over == "axes"

    def make_passes(self, write_level: dict[str, int]) -> list[Pass]:
        """The passes in order; finds on the way what has to be kept in scratch."""
        passes: list[Pass] = []
        last = max([0, *self.levels.values(), *write_level.values()])
        stored: set[str] = set()
        for level in range(last + 1):
            for domain in _ORDER:
                made = self.make_pass(level, domain, write_level, stored)
                if made is not None:
                    passes.append(made)
                    stored |= set(made.writes)
        return passes

    def find_write_levels(self) -> dict[str, int]:
        """At which level each output is stored.

        As early as it is known, but in a pass that has to run anyway, and not before the last pass that reads the
        value it replaces. Where new states are not read back, they are stored by the last pass.
        """
        program = self.program
        folds = {level for domain, level in self.fixed_roots if domain is Kind.ELEMENT}
        outputs = [name for name in program.outputs if self.kinds[name] is Kind.ELEMENT]
        final = max([0, *folds, *(self.levels[name] for name in outputs)])
        running = sorted({*folds, final})
        chosen = {name: self.levels[name] for name in program.outputs}
        for name in outputs:
            is_last = not self.reads_back and name != program.result
            chosen[name] = final if is_last else next(level for level in running if level >= self.levels[name])
        # A history is a ring: the new value takes the oldest one's place.
        replaces = {state.new: state.older(state.depth) for state in program.states}
        replaces[program.result] = "theta"
        arrays = {replaces[name] for name in outputs}
        #: For each set of outputs that have been stored: which of these arrays a value is computed from.
        sources: dict[frozenset[str], dict[str, frozenset[str]]] = {}
        changed = True
        while changed:
            changed = False
            for level in running:
                stored = frozenset(n for n in outputs if chosen[n] < level)
                if stored not in sources:
                    sources[stored] = self.find_sources(arrays, stored)
                known = sources[stored]
                read = frozenset[str]().union(*(known[root] for root in self.roots(level, Kind.ELEMENT, chosen)))
                for name in outputs:
                    if level > chosen[name] and replaces[name] in read:
                        chosen[name] = level
                        changed = True
        return chosen

    def find_sources(self, arrays: set[str], stored: frozenset[str]) -> dict[str, frozenset[str]]:
        """Which of some arrays each value is computed from, where some of those in between have been stored."""
        found: dict[str, frozenset[str]] = {}
        for definition in self.program.definitions:
            parts = [frozenset[str]()]
            for name in self.reads[definition.name]:
                if name in arrays:
                    parts.append(frozenset({name}))
                elif name in found and self.kinds[name] is Kind.ELEMENT and not self.is_fold(name):
                    parts.append(frozenset() if name in stored else found[name])
            found[definition.name] = parts[0].union(*parts[1:])
        return found

    def roots(self, level: int, domain: Kind, write_level: dict[str, int]) -> list[str]:
        """The definitions for which a pass exists: reductions that run in it, and values that it stores."""
        found = set(self.fixed_roots.get((domain, level), ()))
        if domain is Kind.ELEMENT:
            found |= {name for name in self.scratch if self.levels[name] == level}
            found |= {n for n, at in write_level.items() if at == level and self.kinds[n] is domain}
        return sorted(found, key=self.position.__getitem__)

    def make_pass(self, level: int, domain: Kind, write_level: dict[str, int], stored: set[str]) -> Pass | None:
        roots = self.roots(level, domain, write_level)
        if not roots:
            return None
        if domain is Kind.ELEMENT:
            self.keep_scratch(roots, level, stored)
        reads, needed = self.trace(roots, stored | set(self.scratch_before(level)))
        folds = tuple(self.by_name[r] for r in roots if self.is_fold(r))
        in_order = sorted(needed, key=self.position.__getitem__)
        definitions = tuple(self.by_name[name] for name in in_order if not self.is_fold(name))
        computed = {d.name for d in definitions}
        stores = [r for r in roots if not self.is_fold(r)]
        same = tuple(r for r in reads if self.kinds[r] is domain)
        lower = tuple(r for r in reads if self.kinds[r] is not domain)
        assert set(stores) <= computed | set(same), (stores, computed)
        return Pass(domain, same, lower, definitions, folds, tuple(stores))

    def scratch_before(self, level: int) -> list[str]:
        return [name for name in self.scratch if self.levels[name] < level]

    def keep_scratch(self, roots: list[str], level: int, stored: set[str]) -> None:
        """Decide which earlier values this pass reads from scratch instead of computing them again."""
        available = stored | set(self.scratch_before(level))
        needed = self.trace(roots, available)[1]
        earlier = [n for n in needed if self.levels[n] < level and n not in roots and self.kinds[n] is Kind.ELEMENT]
        if len(earlier) > MOST_REPEATED:
            # What the pass itself computes from: nothing earlier than that is computed again.
            own = [name for name in needed if name not in earlier]
            direct = {name for one in own for name in self.reads[one]} & set(earlier)
            self.scratch += sorted(direct - set(self.scratch), key=self.position.__getitem__)
            available |= direct
            needed = self.trace(roots, available)[1]
            earlier = [name for name in earlier if name in needed]
        many = self.made_of_many(needed, available)
        # Later values first: what is kept of them makes keeping the earlier ones needless.
        for name in sorted(earlier, key=self.position.__getitem__, reverse=True):
            if name in self.scratch or name not in many:
                continue
            with_it = self.element_reads(roots, available | {name})
            without = self.element_reads(roots, available)
            if without - (with_it - 1) > 2:
                self.scratch.append(name)
                available.add(name)

    def made_of_many(self, needed: set[str], available: set[str]) -> set[str]:
        """Those of the values of a pass that it makes of three arrays or more: of others there is nothing to save."""
        arrays: dict[str, frozenset[str]] = {}
        for name in sorted(needed, key=self.position.__getitem__):
            parts = [
                arrays[read] if read in arrays and read not in available else frozenset({read})
                for read in self.reads[name]
                if self.kinds.get(read) is Kind.ELEMENT
            ]
            arrays[name] = frozenset[str]().union(*parts)
        return {name for name, read in arrays.items() if len(read) > 2}

    def element_reads(self, roots: list[str], available: set[str]) -> int:
        return sum(self.kinds[name] is Kind.ELEMENT for name in self.trace(roots, available)[0])

    def trace(self, roots: list[str], stored: set[str]) -> tuple[list[str], set[str]]:
        """Find what has to be loaded, and what computed, so that the roots of a pass are known."""
        loads: dict[str, None] = {}
        needed: set[str] = set()
        domains = {
            self.by_name[r].value.source if isinstance(self.by_name[r].value, Reduce) else self.kinds[r] for r in roots
        }
        for root in roots:
            if root in stored:
                loads[root] = None
                continue
            pending = [root]
            while pending:
                name = pending.pop()
                if name in needed or name in loads:
                    continue
                is_computed = name in self.by_name and self.kinds[name] in domains and not self.is_fold(name)
                if name == root or (is_computed and name not in stored):
                    needed.add(name)
                    pending += reversed(self.reads[name])
                elif name not in SIZE_SYMBOLS:  # where a shape gives a number, no memory is read
                    loads[name] = None
        return list(loads), needed


def _ordered_names(expression: sympy.Expr) -> list[str]:
    """The names in an expression, in the order in which they stand."""
    if isinstance(expression, sympy.Symbol):
        return [str(expression.name)]
    found: dict[str, None] = {}
    for argument in expression.args:
        found |= dict.fromkeys(_ordered_names(argument))
    return list(found)
