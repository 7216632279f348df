"""The tables of the scenario file say the same as the modules that read what stands in them."""

from __future__ import annotations

from typing import get_args

import pytest

from sim.elicitation import ELICITED, NATURAL
from sim.errors import Problem
from sim.evidence import COLUMNS, FORMS
from sim.records import PARAMETERS
from sim.schema import KINDS, EvidenceRow, ParameterBlock, validated
from sim.units import MASS_UNITS


@pytest.mark.parametrize("kind", [*NATURAL, *KINDS])
def test_a_kind_has_the_keys_that_its_law_reads(kind: str) -> None:
    elicited = {"mean", "sd", "interval", "probability"} if kind in ELICITED else set()
    assert set(KINDS[kind].model_fields) == {"kind", "lower", "upper", *NATURAL[kind], *elicited}


def test_a_row_has_the_columns_forms_and_units_of_a_table() -> None:
    assert tuple(EvidenceRow.model_fields) == COLUMNS
    assert get_args(EvidenceRow.model_fields["form"].annotation) == FORMS
    assert get_args(EvidenceRow.model_fields["unit"].annotation) == (*MASS_UNITS, "pill")


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_parameter_has_a_block_and_its_slip_a_way_out(name: str) -> None:
    block = {"name": name, "distribution": 1, "basis": "elicited", "source": "x"}
    assert validated(ParameterBlock, block, ("parameter", 1), []) is not None
    problems: list[Problem] = []
    assert validated(ParameterBlock, block | {"name": name.upper()}, ("parameter", 1), problems) is None
    assert [(problem.path, problem.advice) for problem in problems] == [(("parameter", 1, "name"), f'The nearest is "{name}"')]
