"""Ratios of the engine to what a user would pick instead, measured in one run: `python -m benches`.

A bench measures named amounts (`measure(effort)` of a `bench_*` module) and judges nothing; `targets.py` is the one table that says which
amount is divided by which and what the ratio must be. There contenders alternate and are paired round by round, which pytest-benchmark,
that times one after the other, cannot; for the statistics, histories and comparisons it keeps, the same contenders are its benchmarks in
`test_contenders.py`: `pytest benches --benchmark-only`.
"""
