"""Every known answer of the border model comes out of the public door: a scenario file, `sim.run`, a tree."""

from __future__ import annotations

import pytest
from known_answers import ANSWERS, run

CASES = [(name, sampler) for name, answer in ANSWERS.items() for sampler in answer.samplers]


@pytest.mark.parametrize(("name", "sampler"), CASES)
def test_known_answer(name, sampler, statistics_seed):
    answer = ANSWERS[name]
    answer.verdict(run(answer.ask(sampler, statistics_seed)))
