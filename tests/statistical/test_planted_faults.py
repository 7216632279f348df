"""Every verdict on a known answer rejects the faults it exists for."""

from __future__ import annotations

import pytest
from known_answers import ANSWERS

CASES = [(name, fault, sampler) for name, answer in ANSWERS.items() for fault in answer.faults for sampler in answer.samplers[:1]]


@pytest.mark.parametrize(("name", "fault", "sampler"), CASES)
def test_planted_fault_is_rejected(name, fault, sampler, statistics_seed):
    answer = ANSWERS[name]
    tree = answer.faults[fault](sampler, statistics_seed)
    with pytest.raises(AssertionError):
        answer.verdict(tree)


def test_every_verdict_has_a_fault_planted():
    assert all(answer.faults for answer in ANSWERS.values())
