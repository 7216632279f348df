"""How much may be asked for, and how much is said at once: limits that more than one door keeps, and nothing else."""

from __future__ import annotations

MAX_DRAWS = 10**13
MAX_SEED = 2**64 - 1
MAX_THREADS = 4096
MAX_PROBLEMS = 200  # of one file that a message shows; a person stops reading earlier
MAX_CASES = 100_000  # of the sweeps of one scenario; each costs a millisecond to check and ten to run
MAX_LABEL = 200  # characters of a corridor, a period, a group
EIGENVALUE_ROUNDING = 1e-9  # a correlation matrix whose smallest eigenvalue is above minus this is rounded, not contradictory
