"""The LaTeX that a spec may give as a symbol: letters, accents, fonts and signs, and nothing that does anything."""

from __future__ import annotations

import re

_GREEK = (
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa varkappa lambda mu nu xi omicron pi "
    "varpi rho varrho sigma varsigma tau upsilon phi varphi chi psi omega digamma Gamma Delta Theta Lambda Xi Pi Sigma "
    "Upsilon Phi Psi Omega aleph beth ell hbar imath jmath wp Re Im nabla partial"
)
_ACCENTS = (
    "hat widehat check widecheck tilde widetilde acute grave dot ddot dddot breve bar vec mathring overline underline "
    "overrightarrow overleftarrow underbrace overbrace"
)
_FONTS = (
    "mathrm mathit mathbf mathsf mathtt mathcal mathbb mathfrak mathscr mathnormal boldsymbol bm text textrm textit "
    "textbf textsf texttt operatorname rm it bf sf tt cal"
)
_FUNCTIONS = (
    "max min sup inf lim log ln lg exp sin cos tan sinh cosh tanh arg det dim gcd ker deg Pr mod tr sqrt frac dfrac "
    "tfrac sum prod int limits nolimits"
)
_SIGNS = (
    "prime backprime star ast dagger ddagger circ bullet cdot cdots ldots dots times div pm mp oplus ominus otimes "
    "odot top bot perp parallel mid infty emptyset square triangle diamond sharp flat natural to gets rightarrow "
    "leftarrow leftrightarrow uparrow downarrow Rightarrow Leftarrow le leq ge geq ne neq approx sim simeq propto "
    "equiv in langle rangle lvert rvert lVert rVert vert Vert lfloor rfloor lceil rceil lbrace rbrace left right "
    "big Big bigl bigr Bigl Bigr quad qquad textbackslash"
)
_COMMANDS = frozenset(" ".join((_GREEK, _ACCENTS, _FONTS, _FUNCTIONS, _SIGNS)).split())
#: A backslash before one of these is a sign or a blank.
_SHORT = frozenset("_{}|,;:! ")
_COMMAND = re.compile(r"\\([A-Za-z]+|.?)", re.DOTALL)
_OTHER = re.compile(r"[^A-Za-z0-9 _^{}()\[\]+\-*/=,.;:!'|]")
_MAX_SYMBOL = 200


def symbol_problem(text: str) -> tuple[str, str] | None:
    """Why LaTeX is no symbol, and what to do about it; None if it is one.

    What it is refused for would end the formula that it stands in, load a file, define a command or make a link.
    """
    if len(text) > _MAX_SYMBOL:
        return f"a symbol has at most {_MAX_SYMBOL} characters", "choose a shorter one"
    for found in _COMMAND.finditer(text):
        if found[1] not in _COMMANDS and found[1] not in _SHORT:
            return f"'{found[0]}' is no command for a symbol", "letters, accents, fonts and signs are"
    rest = _COMMAND.sub("", text)
    if other := _OTHER.search(rest):
        return f"'{other[0]}' cannot stand in a symbol", "write it as a command of LaTeX, or leave it out"
    depth = 0
    for character in rest:
        depth += (character == "{") - (character == "}")
        if depth < 0:
            break
    return ("the braces of this symbol do not pair", "each '{' needs its '}'") if depth else None
