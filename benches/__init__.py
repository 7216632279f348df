"""Ratios of the engine to what a user would pick instead, measured in one run: `python -m benches`.

A bench measures named amounts (`measure(effort)` of a `bench_*` module) and judges nothing; `targets.py` is the one table that says which
amount is divided by which and what the ratio must be. Contenders alternate and are paired round by round, which is why no fixture of
pytest-benchmark serves here: it times one after the other.
"""
