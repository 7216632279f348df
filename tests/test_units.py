"""Quantities with units: what is read, to which number, and that everything else ends in one UnitError, soon."""

from __future__ import annotations

import doctest
import math
import subprocess
import sys
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim import units
from sim.errors import SimError
from sim.units import MASS_UNITS, UnitError, closest, parse_quantity, to_kg

# Kilograms in one unit: the international pound of 1959 and its sixteenth, and the SI.
KILOGRAMS = {
    "kg": Fraction(1),
    "g": Fraction(1, 1000),
    "mg": Fraction(1, 10**6),
    "lb": Fraction(45359237, 10**8),
    "oz": Fraction(45359237, 16 * 10**8),
    "t": Fraction(1000),
}


def test_mass_units_are_those_of_the_evidence_table():
    assert set(MASS_UNITS) == set(KILOGRAMS)


@pytest.mark.parametrize(
    ("text", "unit", "number"),
    [
        ("2.4 mg", "mg", 2.4),
        ("43 lb", "kg", 19.50447191),
        ("10 t", "kg", 10_000.0),
        ("5", "mg", 5.0),
        ("5", "1", 5.0),
        (" .5\t", "1", 0.5),
        ("-3 g", "kg", -0.003),
        ("+1e3mg", "kg", 1e-3),
        ("1.e-2 kg", "mg", 1e4),
        ("100 µg", "mg", 0.1),
        ("100 μg", "mg", 0.1),  # the Greek letter
        ("1 pound", "kg", 0.45359237),
        ("2 tonnes", "kg", 2000.0),
        ("0 lb", "kg", 0.0),
    ],
)
def test_reads(text, unit, number):
    assert parse_quantity(text, unit) == number


@pytest.mark.parametrize(
    ("text", "unit", "words"),
    [
        ("50 %", "1", ["percentage", "0..1: write 0.5"]),
        ("50%", "kg", ["percentage"]),
        ("2 mg", "1", ["has a unit", "bare number", "0..1"]),
        ("5 m", "kg", ["a length", "must be a mass"]),
        ("5 s", "mg", ["a time"]),
        ("5 tesla", "kg", ["'tesla'", "Write one of kg"]),
        ("5 T", "kg", ["'T'", "Write t for a tonne"]),
        ("5 ton", "kg", ["'ton'", "Write t for a tonne of 1000 kg, or lb"]),
        ("5 Mg", "mg", ["'Mg'", "The nearest is mg"]),
        ("5 KG", "kg", ["The nearest is kg"]),
        ("5 lbss", "kg", ["The nearest is lb"]),
        ("5 miligrams", "mg", ["The nearest is milligrams"]),
        ("5 pill", "kg", ["'pill'"]),
        ("1,234.5 lb", "kg", ['Write "1234.5 lb"']),
        ("1,5 kg", "kg", ["not a quantity", "point for decimals"]),
        ("1e400 kg", "kg", ["range"]),
        ("1e-400 kg", "kg", ["range"]),
        ("1e308 t", "mg", ["range of numbers in mg"]),
        ("1e-320 mg", "kg", ["range of numbers in kg"]),
        ("nan", "kg", ["not a quantity"]),
        ("inf", "1", ["not a quantity"]),
        ("-inf kg", "kg", ["not a quantity"]),
        ("", "kg", ["not a quantity"]),
        ("mg", "mg", ["not a quantity"]),
        ("5 5", "mg", ["not a quantity"]),
        ("1_000 kg", "kg", ["not a quantity"]),
        ("٣ kg", "kg", ["not a quantity"]),
        ("0x10", "kg", ["'x10'"]),
        ("5 mg/kg", "mg", ["'mg/kg'"]),
        ("5 kg**2", "kg", ["'kg**2'"]),
        ("9**9**9 kg", "kg", ["not a quantity"]),
        ("2.4 mg * 1e999", "mg", ["'mg * 1e999'"]),
        ("5 __import__('os')", "kg", ["not a quantity"]),
        ("5 lambda", "kg", ["'lambda'"]),
        ("5 kg\nkg", "kg", ["not"]),
        ("5 \0", "kg", ["not"]),
    ],
)
def test_refuses_and_says_what_to_do(text, unit, words):
    with pytest.raises(UnitError) as caught:
        parse_quantity(text, unit)
    (problem,) = caught.value.problems
    for word in words:
        assert word in str(problem)
    assert problem.came
    assert problem.allowed
    assert problem.advice
    assert isinstance(caught.value, SimError)


@pytest.mark.parametrize(
    "text", ["9" * 10_000, "9" * 10_000 + " kg", "5 " + "k" * 10_000, "1e" + "9" * 60, "(" * 10_000, "1" + ",111" * 2500, " " * 9999]
)
def test_hostile_texts_are_refused_within_milliseconds(text):
    parse_quantity("1 kg", "mg")  # the registry is loaded
    started = time.perf_counter()
    with pytest.raises(UnitError) as caught:
        parse_quantity(text, "kg")
    assert time.perf_counter() - started < 0.25  # measured: below 1 ms
    assert len(str(caught.value)) < 300


def is_read_or_refused(text, unit):
    """Whether the text is a finite number, or ends in a UnitError with one problem; any other exception passes through."""
    try:
        return math.isfinite(parse_quantity(text, unit))
    except UnitError as refused:
        return len(refused.problems) == 1


@given(st.text(max_size=70), st.sampled_from(("1", *MASS_UNITS)))
def test_any_text_is_a_finite_number_or_a_unit_error(text, unit):
    assert is_read_or_refused(text, unit)


@given(st.from_regex(r"\A[0-9]{1,4}(\.[0-9]{1,4})?(e-?[0-9]{1,4})? ?[A-Za-zµ%°*/^]{1,8}\Z"), st.sampled_from(("1", *MASS_UNITS)))
def test_any_number_with_any_unit_is_a_finite_number_or_a_unit_error(text, unit):
    assert is_read_or_refused(text, unit)


@given(st.floats(min_value=1e-200, max_value=1e200), st.sampled_from(MASS_UNITS), st.sampled_from(MASS_UNITS))
def test_conversion_is_exact_and_rounded_once(number, name, unit):
    exact = Fraction(number) * KILOGRAMS[name] / KILOGRAMS[unit]
    assert parse_quantity(f"{number!r} {name}", unit) == float(exact)
    assert to_kg(number, name) == float(Fraction(number) * KILOGRAMS[name])
    assert parse_quantity(repr(number), unit) == number


@given(st.floats(min_value=1e-9, max_value=1e9))
def test_the_same_mass_in_every_unit_is_the_same_mass(kilograms):
    for name, factor in KILOGRAMS.items():
        assert to_kg(float(Fraction(kilograms) / factor), name) == pytest.approx(kilograms, rel=1e-12)


@pytest.mark.parametrize(
    ("amount", "unit"),
    [(math.nan, "kg"), (math.inf, "lb"), (1e308, "t"), (5e-324, "mg"), (1.0, "lbs"), (1.0, "1"), (1.0, "pill"), (1.0, "")],
)
def test_to_kg_refuses(amount, unit):
    with pytest.raises(UnitError):
        to_kg(amount, unit)


def test_a_target_unit_that_does_not_exist_is_the_callers_mistake():
    with pytest.raises(ValueError, match="'lbs'"):
        parse_quantity("1 kg", "lbs")


def test_closest():
    assert closest("coridor", ["period", "corridor"]) == "corridor"
    assert closest("KG", ["g", "kg"]) == "kg"
    assert closest("zzz", ["period", "corridor"]) is None
    assert closest("x" * 100_000, ["period"]) is None


@pytest.mark.parametrize("name", MASS_UNITS)
def test_units_of_the_table_are_those_of_pint(name):
    assert units._kilograms(name) == units._by_pint(name)


def test_pint_waits_for_an_uncommon_unit():
    code = (
        "import sys, sim.units as u; u.parse_quantity('5 lb', 'kg'); assert 'pint' not in sys.modules; "
        "u.parse_quantity('5 grams', 'kg'); assert 'pint' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_examples_in_docstrings():
    tried = doctest.testmod(units)
    assert tried.attempted > 0
    assert tried.failed == 0
