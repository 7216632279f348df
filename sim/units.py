"""Quantities with a unit, as people write them, to floats; the only file that knows pint, which sees only names of uncommon units."""

from __future__ import annotations

import difflib
import functools
import math
import re
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from .errors import Problem, SimError

# The international pound of 1959 and its sixteenth, and the SI. Pint, which knows them too, takes .3 s to start, so that it is asked about
# other names only.
_KILOGRAMS = {
    "kg": Fraction(1),
    "g": Fraction(1, 10**3),
    "mg": Fraction(1, 10**6),
    "lb": Fraction(45_359_237, 10**8),
    "oz": Fraction(45_359_237, 16 * 10**8),
    "t": Fraction(10**3),
}
MASS_UNITS = tuple(_KILOGRAMS)
RATIO = "kg/kg"

# What pint makes of an accepted name. Its other masses are refused, because they are slips or ambiguous: `Mg` is a megagram
# (a billion milligrams), `ton` the short ton of 2000 lb.
_PINT_MASSES = frozenset({"kilogram", "gram", "milligram", "microgram", "pound", "ounce", "metric_ton"})
_NAMES = (*MASS_UNITS, "µg", "kilograms", "grams", "milligrams", "micrograms", "pounds", "ounces", "tonnes")

# The number is matched before anything else looks at the text, so that an expression ("9**9**9 kg") is never evaluated.
_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[ \t]*([^0-9\s.,_+*/^-].*)?")
_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?[^0-9,]*")
_LONGEST_QUANTITY = 64


class UnitError(SimError):
    """A quantity cannot be read, or its unit does not fit."""


def closest(word: str, choices: Iterable[str]) -> str | None:
    """Return the choice that `word` most probably stands for, its case ignored, or None where nothing is near."""
    folded: dict[str, str] = {}
    for choice in choices:
        folded.setdefault(choice.casefold(), choice)
    near = difflib.get_close_matches(word[:80].casefold(), folded, n=1, cutoff=0.6)
    return folded[near[0]] if near else None


def parse_quantity(text: str, unit: str) -> float:
    """Read `"2.4 mg"`, `"43 lb"` or `"5"` as a number of `unit`, which is "1", "kg/kg" or one of MASS_UNITS.

    A bare number is in `unit` already. Units are those of MASS_UNITS, `µg`, or written out (`pounds`); case counts.
    The conversion is exact and rounded once.

    Raises UnitError, with one problem that has no place yet, for what is not a number and a unit, is outside the range of a
    float, or has a unit that does not fit; with `unit` "1" no unit fits.

    >>> parse_quantity("2.4 mg", "mg"), parse_quantity("43 lb", "kg"), parse_quantity("0.12", "1")
    (2.4, 19.50447191, 0.12)
    """
    if unit not in ("1", RATIO) and unit not in MASS_UNITS:
        raise ValueError(f"unit must be '1', {RATIO!r} or one of {MASS_UNITS}, not {unit!r}")
    allowed = {
        "1": "it must be a bare number",
        RATIO: 'it must be a ratio of masses, such as "760 g/kg", or a bare number of kg/kg',
    }.get(unit, f'it must be a mass, such as "2.4 mg", or a bare number of {unit}')
    if len(text) > _LONGEST_QUANTITY:
        raise UnitError([Problem(came=f"a quantity of {len(text)} characters, {text[:20]!r}...", allowed=allowed, advice="Shorten it")])
    stripped = text.strip()
    match = _QUANTITY.fullmatch(stripped)
    if match is None:
        grouped = _GROUPED.fullmatch(stripped)
        advice = f'Write "{stripped.replace(",", "")}"' if grouped else "Write digits, with a point for decimals, and the unit after them"
        raise UnitError([Problem(came=f"{text!r} is not a quantity", allowed=allowed, advice=advice)])
    digits, name = match[1], match[2]
    number = float(digits)
    if not math.isfinite(number) or (number == 0 and re.match(r"[^eE]*[1-9]", digits)):
        raise UnitError([Problem(came=f"{text!r} is outside the range of numbers", allowed=allowed, advice="Check its exponent")])
    if name is None:
        return number
    if name in ("%", "percent"):
        advice = {"1": f"A fraction is 0..1: write {number / 100:g}", RATIO: f"Write {number / 100:g}"}.get(unit, "Give the mass itself")
        raise UnitError([Problem(came=f"{text!r} is a percentage", allowed=allowed, advice=advice)])
    if unit == "1":
        raise UnitError([Problem(came=f"{text!r} has a unit", allowed=allowed, advice="A fraction is 0..1; leave the unit out")])
    if unit == RATIO:
        above, _, below = (part.strip() for part in name.partition("/"))
        if not below:
            raise UnitError([Problem(came=f"{text!r} is no ratio of masses", allowed=allowed, advice=f'Write "{digits} {RATIO}"')])
        return _convert(number / _convert(1.0, below, "kg", repr(text), allowed), above, "kg", repr(text), allowed)
    return _convert(number, name, unit, repr(text), allowed)


def to_kg(amount: float, unit: str) -> float:
    """Return `amount` of a unit of MASS_UNITS in kg, exact and rounded once (1 lb = 0.45359237 kg, 1 t = 1000 kg).

    Raises UnitError for another unit, and for an amount that is not finite or outside the range of a float in kg.
    """
    allowed = f"an amount is finite and in one of the units {', '.join(MASS_UNITS)}"
    if unit not in MASS_UNITS:
        raise UnitError([Problem(came=f"{unit!r} is not a unit of mass here", allowed=allowed, advice=_unit_advice(unit, MASS_UNITS))])
    if not math.isfinite(amount):
        raise UnitError([Problem(came=f"{amount} {unit}", allowed=allowed, advice="Write the amount in digits")])
    return _convert(amount, unit, "kg", f"{amount} {unit}", allowed)


def _convert(number: float, name: str, unit: str, shown: str, allowed: str) -> float:
    """Return `number` of the unit called `name` in `unit`, a member of MASS_UNITS, or raise UnitError about `shown`."""
    factor = _kilograms(name)
    if not isinstance(factor, Fraction):
        came = f"{shown} is a {factor}" if factor else f"{name[:30]!r} is not a unit that is read here"
        raise UnitError([Problem(came=came, allowed=allowed, advice=_unit_advice(name, _NAMES))])
    try:
        converted = float(Fraction(number) * factor / Fraction(_kilograms(unit)))
    except OverflowError:
        converted = math.inf
    if not math.isfinite(converted) or (converted == 0 and number != 0):
        raise UnitError([Problem(came=f"{shown} is outside the range of numbers in {unit}", allowed=allowed, advice="Check its exponent")])
    return converted


def _unit_advice(name: str, choices: tuple[str, ...]) -> str:
    if name.casefold() in ("t", "ton", "tons"):
        return "Write t for a tonne of 1000 kg, or lb"
    near = closest(name, choices)
    return f"The nearest is {near}" if near else f"Write one of {', '.join(MASS_UNITS)}"


@functools.cache
def _registry() -> Any:
    """Return pint's registry, with exact factors. Importing pint and building it take .3 s."""
    import pint

    return pint.UnitRegistry(non_int_type=Fraction)


def _kilograms(name: str) -> Fraction | str:
    """Return the mass in kg of one unit called `name`, or the dimension of what is no mass ("length"), or "" for a name we do not take."""
    return _KILOGRAMS.get(name) or _by_pint(name)


@functools.lru_cache(maxsize=256)
def _by_pint(name: str) -> Fraction | str:
    if not re.fullmatch(r"[^\W\d_]{1,30}", name):
        return ""
    try:
        unit = _registry().parse_units(name)
        if str(unit) in _PINT_MASSES:
            return Fraction(_registry().Quantity(Fraction(1), unit).to("kilogram").magnitude)
        dimension = str(unit.dimensionality)
    except Exception:  # pint raises several kinds for names that it does not know (Python's tokenizer is among them)
        return ""
    return dimension.strip("[]") if re.fullmatch(r"\[[a-z]+\]", dimension) and dimension != "[mass]" else ""
