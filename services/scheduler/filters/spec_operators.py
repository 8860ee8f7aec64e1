"""The operators of extra specs: `>= 2`, `s== text`, `<in> text`, `<or> a <or> b` and their kin.

The meanings are Nova's (admin guide, "Flavors: extra specs"): `=` means at least,
a value without an operator means equal as text.
"""

import operator
from collections.abc import Callable

_NUMBERS: dict[str, Callable[[float, float], bool]] = {
    "=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
}
_TEXTS: dict[str, Callable[[str, str], bool]] = {
    "s==": operator.eq,
    "s!=": operator.ne,
    "s<": operator.lt,
    "s<=": operator.le,
    "s>": operator.gt,
    "s>=": operator.ge,
}


def matches(value: object, requirement: str) -> bool:
    """Whether a text, number or list is what `requirement` asks for. What can't be compared isn't."""
    words = requirement.split()
    if not words:
        return str(value) == requirement
    first, rest = words[0], words[1:]
    if first in _NUMBERS:
        try:
            return _NUMBERS[first](float(str(value)), float(rest[0]))
        except (ValueError, IndexError):
            return False
    if first in _TEXTS:
        return bool(rest) and _TEXTS[first](str(value), rest[0])
    if first == "<or>":
        return str(value) in [word for word in rest if word != "<or>"]
    if first in ("<in>", "<all-in>"):
        wanted = [word for word in rest if word != first]
        return bool(wanted) and all(_contains(value, word) for word in wanted)
    return str(value) == requirement


def _contains(value: object, word: str) -> bool:
    if isinstance(value, (list, tuple, set)):
        return word in {str(item) for item in value}
    return word in str(value)
