"""One block of the border model: seized + missed = flow, in every draw, gross and pure, added to the summaries as it is drawn.

Letters: x = inputs (parameter draws and constants), j = strata sorted by period and corridor, b = load-scale blocks, c = corridors,
g = groups, p = periods, d = draws of one lane (at most 1,024), s = uniform slots, k = contrasts, m = claims.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .arithmetic import copy, exp, log
from .betas import draw_betas
from .counts import draw_missed_loads, geometric_failures
from .gammas import log_gamma_ratio, log_gamma_ratios
from .inputs import draw_inputs, fill, largest_component
from .jit import borrowing, inlined, kernel
from .lognormal_loads import LoadSums, draw_effective_loads, draw_sums_of_loads
from .quantiles import normal_scores
from .scratch import LANE, PADDING, scratch, scratches
from .summaries import CONTINUOUS, Waiting, count_waiting, lane_sums, wait

LOGNORMAL, GAMMA, EQUAL, COPY = range(4)
POWDER, PILL, UNRECORDED = range(3)

# Columns of Strata.ref: which input a stratum reads for what.
(
    DETECTION_RATE,
    LOAD_SIZE,
    LOAD_MEDIAN,
    MISSED_SIZE_RATIO,
    ATTRIBUTION_SHARE,
    INLAND_RATIO,
    DOSE,
    PILL_SHARE,
    POWDER_PURITY,
    MASS_WEIGHTING,
    PILL_FENTANYL,
    PILL_MASS,
    POWDER_CV,
    PILL_CV,
) = range(14)
N_REFS = 14

# Columns of Strata.slot: the uniforms of a stratum, whose scores are reflected together.
SLOT_GAMMA, SLOT_POISSON, SLOT_SUM = range(3)
(
    SLOT_SHARE_SEIZED,
    SLOT_SHARE_MISSED,
    SLOT_ATTRIBUTED_SEIZED,
    SLOT_ATTRIBUTED_MISSED,
    SLOT_POWDER_SEIZED,
    SLOT_POWDER_MISSED,
    SLOT_PILL_SEIZED,
    SLOT_PILL_MISSED,
) = range(3, 11)
N_SLOTS = 11

# Components that add up over strata, forms and corridors; every quantity follows from them.
SEIZED_GROSS, SEIZED_PURE, MISSED_GROSS, MISSED_PURE, INLAND, UNATTRIBUTED, DOSES, N_MISSED = range(8)
N_COMPONENTS = 8

_WAITING = 8  # lanes whose places are counted together
_MG_PER_KG = 1e6


class Precursors(NamedTuple):
    """What seized precursors could have made, by corridor or group and period: sums of amount x yield, apart from all strata.

    summary (m,), start (m + 1,)     summary of each sum, and its range of terms
    amount, half, half_slot (t,)     kg, half-width of rounding and the slot of its uniform, -1 where the amount is certain
    conversion (t,)                  input: the yield
    """

    summary: np.ndarray
    start: np.ndarray
    amount: np.ndarray
    half: np.ndarray
    half_slot: np.ndarray
    conversion: np.ndarray


class Strata(NamedTuple):
    """The evidence and how it reads the inputs.

    form, prior, n_events (j,)       form code, share of the event prior, known events
    mass_kg, tablets (j,)            seized mass and tablets of the rows that are certain
    reflection (j, 11)               v of z - v (v' z), z the scores of the stratum's slots; 0 where they stay as they are
    ref (j, 14), slot (j, 11)        inputs and uniform slots, -1 where not used
    unknown_start (j + 1,), unknown_slot, unknown_low, unknown_span    blank counts: log n_min and log((n_max + 1) / n_min)
    row_start (j + 1,), row_amount, row_half, row_is_pill, row_half_slot, row_copy_slot    rows that are rounded, or every row of "copy"
    block (j,)                       load-scale block
    term_start (b + 1,), term_slot, term_size, term_member_start, term_member    the sums in a block's Z: one for each load-size input
    period_strata, period_cells, period_blocks (p + 1,)    ranges
    cell_corridor, cell_start        (cells,), (cells + 1,): strata of one corridor and period
    member (g, c)                    whether a corridor belongs to a group
    index (c + g, p, 3, 13)          summary of each corridor or group, period, form and quantity, -1 where none is kept
    precursors                       sums beside the strata
    """

    form: np.ndarray
    prior: np.ndarray
    n_events: np.ndarray
    mass_kg: np.ndarray
    tablets: np.ndarray
    ref: np.ndarray
    slot: np.ndarray
    reflection: np.ndarray
    unknown_start: np.ndarray
    unknown_slot: np.ndarray
    unknown_low: np.ndarray
    unknown_span: np.ndarray
    row_start: np.ndarray
    row_amount: np.ndarray
    row_half: np.ndarray
    row_is_pill: np.ndarray
    row_half_slot: np.ndarray
    row_copy_slot: np.ndarray
    block: np.ndarray
    term_start: np.ndarray
    term_slot: np.ndarray
    term_size: np.ndarray
    term_member_start: np.ndarray
    term_member: np.ndarray
    period_strata: np.ndarray
    period_cells: np.ndarray
    period_blocks: np.ndarray
    cell_corridor: np.ndarray
    cell_start: np.ndarray
    member: np.ndarray
    index: np.ndarray
    precursors: Precursors


class Contrasts(NamedTuple):
    """Ratios of two results, as summaries after all others, and claims about them.

    row (S - k,)                          where the draws of a summary wait for the ratios, -1 where none needs it
    numerator, denominator (k,)           rows; the last row holds zeros
    numerator_factor, denominator_factor (k,)   what a row is multiplied by
    claim_contrast, claim_low, claim_high (m,)  a claim is true where low <= ratio <= high
    """

    row: np.ndarray
    numerator: np.ndarray
    denominator: np.ndarray
    numerator_factor: np.ndarray
    denominator_factor: np.ndarray
    claim_contrast: np.ndarray
    claim_low: np.ndarray
    claim_high: np.ndarray


class Tables(NamedTuple):
    """Tables of gammas.py, quantiles.py and lognormal_loads.py: gamma quantiles, normal scores, normal tail, sums of lognormal loads."""

    gamma: np.ndarray
    score: np.ndarray
    tail: np.ndarray
    sums: LoadSums


@borrowing
def draw_evidence(strata, source, x, first, j, n_events, seized):
    """Write the events and the seized gross mass (kg) of stratum j in every draw of a lane.

    A blank count is log-uniform on n_min .. n_max; a rounded amount is uniform on amount +- half, kept above 0; a counted pill weighs
    `pill_mass`.

    n_events, seized (d,)  written in place

    Source: method.md section 2; interface.md section 2.
    """
    n = n_events.size
    uniform = scratch(np.float64, n)
    for i in range(n):
        n_events[i] = strata.n_events[j]
        seized[i] = strata.mass_kg[j]
    if strata.tablets[j] > 0.0:
        for i in range(n):
            seized[i] += strata.tablets[j] * x[strata.ref[j, PILL_MASS], i] / _MG_PER_KG
    for r in range(strata.unknown_start[j], strata.unknown_start[j + 1]):
        fill(source, strata.unknown_slot[r], first, uniform)
        most = np.floor(exp(strata.unknown_low[r] + strata.unknown_span[r]) + 0.5) - 1.0
        for i in range(n):
            u = uniform[i] if uniform[i] > 0.0 else 1.0 + uniform[i]
            n_events[i] += min(np.floor(exp(strata.unknown_low[r] + u * strata.unknown_span[r]) * (1.0 + 1e-12)), most)
    for r in range(strata.row_start[j], strata.row_start[j + 1]):
        if strata.row_half_slot[r] >= 0:
            fill(source, strata.row_half_slot[r], first, uniform)
        for i in range(n):
            seized[i] += _row_mass(strata, x, j, r, i, uniform[i])


@inlined
def _row_mass(strata, x, j, r, i, t):
    """Return the mass (kg) of one row that is rounded or stands alone; t is the folded uniform of its rounding."""
    amount = strata.row_amount[r]
    if strata.row_half_slot[r] >= 0:
        u = t if t > 0.0 else 1.0 + t
        amount += (2.0 * u - 1.0) * strata.row_half[r]
        amount = max(amount, 1e-300)
    if strata.row_is_pill[r]:
        amount *= x[strata.ref[j, PILL_MASS], i] / _MG_PER_KG
    return amount


@borrowing
def draw_scores(source, tables, slot, first, z):
    """Write the normal scores of the uniforms of one slot to z (d,)."""
    t = scratch(np.float64, z.size)
    fill(source, slot, first, t)
    normal_scores(tables.score, t, z)


@borrowing
def draw_stratum_scores(strata, tables, source, first, j, n, z):
    """Write n normal scores of a stratum's uniforms to each row of z (11, d): independent, and reflected so that the first one counts most.

    w - v (v' w) turns the first of the independent scores w into the direction in which log flow grows fastest, and keeps them independent
    normal. So one Sobol' dimension covers most of what is random in a stratum, and the others are plain draws.

    Source: Imai & Tan 2006, J. Comput. Finance 10:129, for a linear transformation of one's choice.
    """
    along = scratch(np.float64, n)
    along[:] = 0.0
    for k in range(N_SLOTS):
        if strata.slot[j, k] >= 0:
            draw_scores(source, tables, strata.slot[j, k], first, z[k, :n])
            weight = strata.reflection[j, k]
            here = z[k, :n]
            for i in range(n):
                along[i] += weight * here[i]
    for k in range(N_SLOTS):
        weight = strata.reflection[j, k]
        if strata.slot[j, k] >= 0 and weight != 0.0:
            here = z[k, :n]
            for i in range(n):
                here[i] -= weight * along[i]


@borrowing
def draw_sums(tables, law, size, k, known, z, log_sum):
    """Write the log of the sum of k >= 1 standardised loads at normal score z.

    size (d,)   load_log_sd or load_shape;  k, z (d,);  known: k is the same in every draw;  log_sum (d,) in place
    """
    n = k.size
    if law == LOGNORMAL:
        draw_sums_of_loads(tables.sums, size, k, known, z, log_sum)
    elif law == GAMMA:
        shape = scratch(np.float64, n)
        for i in range(n):
            shape[i] = size[i] * k[i]
        log_gamma_ratios(tables.gamma, shape, z, log_sum)
        for i in range(n):
            log_sum[i] += log(shape[i])
    else:
        for i in range(n):
            log_sum[i] = log(k[i])


@borrowing
def draw_effective(tables, law, size, k, known, effective):
    """Write the effective number of k >= 1 loads, 1 .. k; as `draw_sums`."""
    n = k.size
    if law == LOGNORMAL:
        draw_effective_loads(tables.sums, size, k, known, effective)
    else:
        for i in range(n):
            effective[i] = max((size[i] * k[i] + 1.0) / (size[i] + 1.0), 1.0) if law == GAMMA else k[i]


@inlined
def _log_median_load(tables, law, size):
    """Return the log of the median of one standardised load."""
    if law == LOGNORMAL:
        return size * tables.sums.score_median
    if law == GAMMA:
        return log(size) + log_gamma_ratio(tables.gamma, size, 0.0)
    return 0.0


@borrowing
def draw_scale(strata, tables, law, source, x, first, b, n_events, seized, log_scale):
    """Write log s of one load-scale block: s = T_B / Z_{n_B}, Z one draw that all strata of the block share.

    n_events, seized (j, d);  log_scale (d,) written in place, NaN where the block has no event

    Source: method.md section 2, Mass.
    """
    n = log_scale.size
    z, events, size, loads, log_sum, total = scratches(6, n)
    total[:] = 0.0
    log_scale[:] = 0.0
    for k in range(strata.term_start[b], strata.term_start[b + 1]):
        draw_scores(source, tables, strata.term_slot[k], first, z)
        events[:] = 0.0
        known = True
        for m in range(strata.term_member_start[k], strata.term_member_start[k + 1]):
            member = strata.term_member[m]
            known &= strata.unknown_start[member] == strata.unknown_start[member + 1]
            for i in range(n):
                events[i] += n_events[member, i]
            for i in range(n):
                log_scale[i] += seized[member, i]
        for i in range(n):
            loads[i] = max(events[i], 1.0)
        if strata.term_size[k] >= 0:
            copy(x[strata.term_size[k]], size)
        else:
            size[:] = 0.0
        draw_sums(tables, law, size, loads, known, z, log_sum)
        for i in range(n):
            total[i] += exp(log_sum[i]) if events[i] > 0.0 else 0.0
    for i in range(n):
        log_scale[i] = log(log_scale[i]) - log(total[i]) if total[i] > 0.0 else np.nan


@borrowing
def draw_copies(strata, source, x, first, j, missed, mass, loads_seized, loads_missed):
    """As `draw_missed`, under the law "copy": every seized load stands for itself and K_i ~ Geometric(d) others of its size.

    K = sum of K_i,  M = r sum of x_i K_i

    Source: method.md section 2.
    """
    n = missed.size
    ref = strata.ref[j]
    uniform, half, first_sum, seized_square, missed_square = scratches(5, n)
    missed[:] = 0.0
    mass[:] = 0.0
    first_sum[:] = 0.0
    seized_square[:] = 0.0
    missed_square[:] = 0.0
    for r in range(strata.row_start[j], strata.row_start[j + 1]):
        fill(source, strata.row_copy_slot[r], first, uniform)
        if strata.row_half_slot[r] >= 0:
            fill(source, strata.row_half_slot[r], first, half)
        for i in range(n):
            load = _row_mass(strata, x, j, r, i, half[i])
            k = geometric_failures(x[ref[DETECTION_RATE], i], uniform[i])
            missed[i] += k
            mass[i] += k * load
            first_sum[i] += load
            seized_square[i] += load * load
            missed_square[i] += k * load * load
    for i in range(n):
        loads_seized[i] = first_sum[i] * first_sum[i] / seized_square[i] if seized_square[i] > 0.0 else 1.0
        loads_missed[i] = mass[i] * mass[i] / missed_square[i] if missed_square[i] > 0.0 else 1.0
        mass[i] *= x[ref[MISSED_SIZE_RATIO], i]


@borrowing
def draw_missed(strata, tables, law, source, x, first, j, n_events, log_scale, z, missed, mass, loads_seized, loads_missed):
    """Write what stratum j let through: loads missed K, their gross mass M (kg), and the effective numbers of seized and missed loads.

    K | n, d ~ NegBin(n + a, d);   M = r s Z'_K

    n_events (d,), log_scale (d,) of its block;  z (11, d) scores of the stratum
    missed, mass, loads_seized, loads_missed (d,)  written in place

    Source: method.md sections 2 and 3.
    """
    if law == COPY:
        draw_copies(strata, source, x, first, j, missed, mass, loads_seized, loads_missed)
        return
    n = n_events.size
    ref = strata.ref[j]
    size, k = scratches(2, n)
    for i in range(n):
        k[i] = n_events[i] + strata.prior[j]
    known = strata.unknown_start[j] == strata.unknown_start[j + 1]
    draw_missed_loads(tables.gamma, tables.tail, k, known, x[ref[DETECTION_RATE], :n], z[SLOT_GAMMA, :n], z[SLOT_POISSON, :n], missed)
    if ref[LOAD_SIZE] >= 0:
        copy(x[ref[LOAD_SIZE]], size)
    else:
        size[:] = 0.0
    for i in range(n):
        k[i] = max(n_events[i], 1.0)
    draw_effective(tables, law, size, k, known, loads_seized)
    for i in range(n):
        k[i] = max(missed[i], 1.0)
    draw_effective(tables, law, size, k, False, loads_missed)
    draw_sums(tables, law, size, k, False, z[SLOT_SUM, :n], mass)
    if ref[LOAD_MEDIAN] >= 0:
        median = x[ref[LOAD_MEDIAN]]
        for i in range(n):
            mass[i] += log(median[i]) - _log_median_load(tables, law, size[i])
    else:
        for i in range(n):
            mass[i] += log_scale[i]
    ratio = x[ref[MISSED_SIZE_RATIO]]
    for i in range(n):
        some = ratio[i] * exp(mass[i])
        mass[i] = some if missed[i] > 0.0 else 0.0


@borrowing
def draw_share(tables, slot, z, share, loads, out):
    """Write the realised share of the mass of single-kind loads: Beta with mean `share` and variance share (1 - share) / loads.

    slot            of its uniform, -1 where the share is certain;  z (d,) its scores
    share, loads (d,) effective;  out (d,) in place

    Source: method.md section 3, Form, and section 4, attribution.
    """
    if slot < 0:
        copy(share, out)
        return
    concentration = scratch(np.float64, out.size)
    for i in range(out.size):
        concentration[i] = loads[i] - 1.0
    draw_betas(tables.gamma, tables.tail, share, concentration, z, out)


@borrowing
def draw_average_purity(tables, slot, z, mean, cv, part, loads, limited, out):
    """Write the average purity of the mass of one form: Beta with this mean and sd = mean cv / sqrt(m), limited to what a Beta allows.

    concentration = (1 - mean) m / (mean cv^2) - 1, limited to 0 .. 1e15;  m = max(1, part x loads)

    slot            of its uniform, -1 where there is no spread;  z (d,) its scores
    mean, cv, part, loads (d,);  limited (d,) bool, set where the sd was limited;  out (d,) in place

    Source: method.md section 3, Purity.
    """
    n = out.size
    if slot < 0:
        copy(mean, out)
        return
    concentration = scratch(np.float64, n)
    for i in range(n):
        concentration[i] = (1.0 - mean[i]) * max(part[i] * loads[i], 1.0) / (mean[i] * cv[i] * cv[i]) - 1.0
    for i in range(n):
        limited[i] |= (concentration[i] < 0.0) & (mean[i] < 1.0)
    for i in range(n):
        concentration[i] = min(max(concentration[i], 0.0), 1e15)
    draw_betas(tables.gamma, tables.tail, mean, concentration, z, out)
    for i in range(n):
        out[i] = out[i] if cv[i] > 0.0 else mean[i]  # no spread in this draw


@borrowing
def _add_product(total, a, b):
    """Add a b (d,) to the first d of total."""
    for i in range(a.size):
        total[i] += a[i] * b[i]


@borrowing
def compose(strata, tables, x, j, z, seized, missed, mass, loads_seized, loads_missed, parts, counters):
    """Split stratum j by form, make it pure, keep what crossed this border, and add it to the components of its corridor.

    realised pill share  S ~ Beta(mean s, variance s (1 - s) / m),  the same for the attributed share A;  m = n_eff seized, K_eff missed
    pure = share x gross x average purity over max(1, s m) loads

    z (11, d) scores of the stratum;  seized, missed, mass, loads_seized, loads_missed (d,)
    parts (3, 8, d)      powder, pill and (n_missed only) unrecorded components of the corridor, added to in place
    counters (j, 2)      draws whose mean purity was cut at 1, and whose sd was limited

    Source: method.md sections 3 and 4.
    """
    n = seized.size
    ref = strata.ref[j]
    slot = strata.slot[j]
    form = strata.form[j]
    here_seized, here_missed, pills_seized, pills_missed, form_seized, form_missed = scratches(6, n)
    mean, part, gross, purity, pure, ours, both = scratches(7, n)
    limited, cut = scratch(np.bool_, n), scratch(np.bool_, n)
    limited[:] = False
    cut[:] = False
    share = x[ref[ATTRIBUTION_SHARE], :n]
    draw_share(tables, slot[SLOT_ATTRIBUTED_SEIZED], z[SLOT_ATTRIBUTED_SEIZED, :n], share, loads_seized, here_seized)
    draw_share(tables, slot[SLOT_ATTRIBUTED_MISSED], z[SLOT_ATTRIBUTED_MISSED, :n], share, loads_missed, here_missed)
    _add_product(parts[form, N_MISSED], here_missed, missed)
    inland = x[ref[INLAND_RATIO], :n]
    dose = x[ref[DOSE], :n]
    for f in range(2):
        if form != UNRECORDED and form != f:
            continue
        if f == POWDER:
            columns = (SLOT_POWDER_SEIZED, SLOT_POWDER_MISSED)
            cv = x[ref[POWDER_CV], :n]
            observed, weighting = x[ref[POWDER_PURITY]], x[ref[MASS_WEIGHTING]]
            for i in range(n):
                mean[i] = observed[i] * weighting[i]
        else:
            columns = (SLOT_PILL_SEIZED, SLOT_PILL_MISSED)
            cv = x[ref[PILL_CV], :n]
            content, tablet = x[ref[PILL_FENTANYL]], x[ref[PILL_MASS]]
            for i in range(n):
                mean[i] = content[i] / tablet[i]
        for i in range(n):
            cut[i] |= mean[i] > 1.0
        for i in range(n):
            mean[i] = min(mean[i], 1.0)
        if form != UNRECORDED:
            part[:] = 1.0
            form_seized[:] = 1.0
            form_missed[:] = 1.0
        elif f == PILL:
            copy(x[ref[PILL_SHARE]], part)
            copy(pills_seized, form_seized)
            copy(pills_missed, form_missed)
        else:
            pills = x[ref[PILL_SHARE], :n]
            draw_share(tables, slot[SLOT_SHARE_SEIZED], z[SLOT_SHARE_SEIZED, :n], pills, loads_seized, pills_seized)
            draw_share(tables, slot[SLOT_SHARE_MISSED], z[SLOT_SHARE_MISSED, :n], pills, loads_missed, pills_missed)
            for i in range(n):
                part[i] = 1.0 - pills[i]
            for i in range(n):
                form_seized[i] = 1.0 - pills_seized[i]
            for i in range(n):
                form_missed[i] = 1.0 - pills_missed[i]
        unattributed = parts[f, UNATTRIBUTED]
        both[:] = 0.0
        for side in range(2):
            amount, of_form, here, loads = (
                (seized, form_seized, here_seized, loads_seized) if side == 0 else (mass, form_missed, here_missed, loads_missed)
            )
            column = columns[side]
            draw_average_purity(tables, slot[column], z[column, :n], mean, cv, part, loads, limited, purity)
            for i in range(n):
                gross[i] = amount[i] * of_form[i]
            for i in range(n):
                pure[i] = gross[i] * purity[i]
            for i in range(n):
                ours[i] = here[i] * pure[i]
            _add_product(parts[f, MISSED_GROSS if side else SEIZED_GROSS], here, gross)
            _add_product(parts[f, MISSED_PURE if side else SEIZED_PURE], here, pure)
            for i in range(n):
                unattributed[i] += pure[i] - ours[i]
            for i in range(n):
                both[i] += ours[i]
            if side == 0:
                _add_product(parts[f, INLAND], inland, ours)
        doses = parts[f, DOSES]
        for i in range(n):
            doses[i] += both[i] * _MG_PER_KG / dose[i]
    for i in range(n):
        counters[j, 0] += cut[i]
    for i in range(n):
        counters[j, 1] += limited[i]


@borrowing
def add_parts(total, parts):
    """Add the components of a corridor to those of a group, both (3, 8, d); of unrecorded loads only the number."""
    for f in range(3):
        for e in range(N_COMPONENTS):
            if f == UNRECORDED and e != N_MISSED:
                continue
            here = total[f, e]
            more = parts[f, e]
            for i in range(here.size):
                here[i] += more[i]


_ROW_OF = np.array([SEIZED_GROSS, SEIZED_PURE, MISSED_GROSS, MISSED_PURE, -1, -1, INLAND, -1, UNATTRIBUTED, -1, -1, N_MISSED, DOSES])
"""The component that a quantity is, in the order of QUANTITIES, or -1."""
FLOW_GROSS, FLOW_PURE, DELIVERED, PURITY, INTERDICTION_RATE = 4, 5, 7, 9, 10  # those that are none, in that order


@borrowing
def _write_quantity(q, part, values):
    """Write quantity q, which is no component, from part (8, d or more) to values (d,)."""
    gross, pure, missed_gross, missed_pure = part[SEIZED_GROSS], part[SEIZED_PURE], part[MISSED_GROSS], part[MISSED_PURE]
    n = values.size
    if q == FLOW_GROSS:
        for i in range(n):
            values[i] = gross[i] + missed_gross[i]
    elif q == FLOW_PURE:
        for i in range(n):
            values[i] = pure[i] + missed_pure[i]
    elif q == DELIVERED:
        inland = part[INLAND]
        for i in range(n):
            values[i] = missed_pure[i] - inland[i]
    elif q == PURITY:
        for i in range(n):
            values[i] = pure[i] / gross[i]
    else:  # INTERDICTION_RATE
        for i in range(n):
            values[i] = pure[i] / (pure[i] + missed_pure[i])


@borrowing
def record(s, draws, first, lane, layout, state, sums, stored, waiting):
    """Add one lane of draws (d,) to summary s, or store it; see `summarise`."""
    n = draws.size
    if stored.shape[1] > 0:
        for i in range(min(n, stored.shape[1] - first)):
            stored[s, first + i] = draws[i]
    else:
        wait(layout, state, s, draws, lane % _WAITING, waiting)
        sums[s, lane, 0], sums[s, lane, 1] = lane_sums(draws, layout.centre[s])


@borrowing
def compare(contrasts, kept, n, first, lane, layout, state, sums, stored, waiting, claim_counters):
    """Form the ratios of one lane, add them to their summaries or store them, and count what is true of them.

    n                    draws in this lane, d
    kept (T + 1, d)      draws of the summaries that a ratio needs, by Contrasts.row; zeros in the last row
    claim_counters (m, 2)   draws for which a claim is true, and is not, added to; 0/0 is neither
    the rest             as in `summarise`

    Source: method.md section 7; 0/0 and x/0 as in interface.md section 4.
    """
    values = scratch(np.float64, n)
    before = contrasts.row.size
    for k in range(contrasts.numerator.size):
        above, below = kept[contrasts.numerator[k], :n], kept[contrasts.denominator[k], :n]
        more, less = contrasts.numerator_factor[k], contrasts.denominator_factor[k]
        for i in range(n):
            values[i] = (above[i] * more) / (below[i] * less)
        record(before + k, values, first, lane, layout, state, sums, stored, waiting)
        for m in range(contrasts.claim_contrast.size):
            if contrasts.claim_contrast[m] == k:
                low, high = contrasts.claim_low[m], contrasts.claim_high[m]
                hits = 0
                undefined = 0
                for i in range(n):
                    hits += (low <= values[i]) & (values[i] <= high)
                    undefined += values[i] != values[i]
                claim_counters[m, 0] += hits
                claim_counters[m, 1] += n - hits - undefined


@borrowing
def summarise(index, parts, whole, n, first, lane, layout, state, sums, stored, waiting, row, kept):
    """Add every quantity of one corridor or group in one period to its summary, or store it.

    index (3, 13)        summaries, -1 where none is kept
    parts (3, 8, d)      components by powder, pill, unrecorded;  whole (8, d) scratch: their sum
    n                    draws in this lane
    first, lane          first point of the lane within the block, and the lane's number there
    sums (S, lanes, 2)   sums of v - centre and of its square, written for this lane
    stored (S, k)        kept draws of the block's points 0 .. k - 1; with k = 0 nothing is stored and the summaries are updated
    waiting              takes this lane, to be counted by `count_waiting`
    row, kept            Contrasts.row, and (T + 1, d) where it says the draws are kept for `compare`
    """
    values = scratch(np.float64, n)
    for e in range(whole.shape[0]):
        powder, pill, both = parts[POWDER, e], parts[PILL, e], whole[e]
        for i in range(n):
            both[i] = powder[i] + pill[i]
    for i in range(n):
        whole[N_MISSED, i] += parts[UNRECORDED, N_MISSED, i]
    for f in range(3):
        part = whole if f == 2 else parts[f]
        for q in range(index.shape[1]):
            s = index[f, q]
            if s < 0:
                continue
            if _ROW_OF[q] >= 0:
                draws = part[_ROW_OF[q], :n]
            else:
                _write_quantity(q, part, values)
                draws = values
            if row[s] >= 0:
                copy(draws, kept[row[s], :n])
            record(s, draws, first, lane, layout, state, sums, stored, waiting)


@borrowing
def summarise_precursors(precursors, source, start, x, n, first, lane, layout, state, sums, stored, waiting, row, kept):
    """Add what seized precursors could have made to its summaries, or store it: the sum of amount x yield.

    start            index of the lane's first point
    n and the rest   as in `summarise`; first is counted from the block's

    Source: docs/notes/013-precursor-potential.md; rounding as in `draw_evidence`.
    """
    uniform, values = scratches(2, n)
    for k in range(precursors.summary.size):
        values[:] = 0.0
        for t in range(precursors.start[k], precursors.start[k + 1]):
            amount, half = precursors.amount[t], precursors.half[t]
            made = x[precursors.conversion[t]]
            if precursors.half_slot[t] >= 0:
                fill(source, precursors.half_slot[t], start, uniform)
                for i in range(n):
                    u = uniform[i] if uniform[i] > 0.0 else 1.0 + uniform[i]
                    values[i] += max(amount + (2.0 * u - 1.0) * half, 1e-300) * made[i]
            else:
                for i in range(n):
                    values[i] += amount * made[i]
        s = precursors.summary[k]
        if row[s] >= 0:
            copy(values, kept[row[s], :n])
        record(s, values, first, lane, layout, state, sums, stored, waiting)


@kernel
def border_block(
    strata, inputs, tables, contrasts, law, source, first, n_draws, layout, state, sums, counters, inland_counters, claim_counters,
    stored, stored_inputs,
):  # fmt: skip
    """Draw points first .. first + n_draws - 1 of one replicate of the border model and add them to its summaries.

    sums (S, lanes, 2)            lane sums of this block, written
    counters (j, 2)               draws with purity cut, sd limited, added to
    inland_counters (cells, 2)    draws with inland seizures cut at what was missed, by powder and pill, added to
    claim_counters (m, 2)         draws for which a claim is true, and is not, added to
    stored (S, k), stored_inputs (x, k)    as `summarise`: with k > 0 the first k points are stored and no summary is touched
    """
    n_strata = strata.form.size
    n_groups, _ = strata.member.shape
    n_corridors = strata.index.shape[0] - n_groups
    lane_size = min(LANE, n_draws)
    x = np.empty((inputs.slot.size, lane_size + PADDING))
    score = np.empty((largest_component(inputs), lane_size + PADDING))
    n_events = np.empty((n_strata, lane_size + PADDING))
    seized = np.empty((n_strata, lane_size + PADDING))
    log_scale = np.empty((max(strata.term_start.size - 1, 1), lane_size + PADDING))
    z = np.empty((N_SLOTS, lane_size + PADDING))
    lone = np.empty((4, lane_size + PADDING))
    parts = np.empty((3, N_COMPONENTS, lane_size + PADDING))
    group_parts = np.empty((n_groups, 3, N_COMPONENTS, lane_size + PADDING))
    whole = np.empty((N_COMPONENTS, lane_size + PADDING))
    n_kept = 0
    for s in range(contrasts.row.size):
        n_kept = max(n_kept, contrasts.row[s] + 1)
    kept = np.zeros((n_kept + 1, lane_size))
    n_lanes = (n_draws + lane_size - 1) // lane_size
    counted = layout.origin.size if stored.shape[1] == 0 else 0
    row = np.full(counted, -1)
    n_rows = 0
    for s in range(counted):
        if layout.mode[s] != CONTINUOUS:
            row[s] = n_rows
            n_rows += 1
    held = min(n_lanes, _WAITING)
    waiting = Waiting(np.empty((held, counted, lane_size), np.uint16), row, np.empty((held, n_rows, lane_size)))
    for lane in range(n_lanes):
        start = first + lane * lane_size
        n = min(lane_size, first + n_draws - start)
        missed, mass, loads_seized, loads_missed = lone[0, :n], lone[1, :n], lone[2, :n], lone[3, :n]
        draw_inputs(inputs, tables, source, start, n, score, x)
        if stored.shape[1] > 0:
            for p in range(x.shape[0]):
                for i in range(min(n, stored.shape[1] - (start - first))):
                    stored_inputs[p, start - first + i] = x[p, i]
        for period in range(strata.period_strata.size - 1):
            for j in range(strata.period_strata[period], strata.period_strata[period + 1]):
                draw_evidence(strata, source, x, start, j, n_events[j, :n], seized[j, :n])
            if law != COPY:
                for b in range(strata.period_blocks[period], strata.period_blocks[period + 1]):
                    draw_scale(strata, tables, law, source, x, start, b, n_events, seized, log_scale[b, :n])
            group_parts[:] = 0.0
            for cell in range(strata.period_cells[period], strata.period_cells[period + 1]):
                parts[:] = 0.0
                for j in range(strata.cell_start[cell], strata.cell_start[cell + 1]):
                    draw_stratum_scores(strata, tables, source, start, j, n, z)
                    draw_missed(
                        strata, tables, law, source, x, start, j, n_events[j, :n], log_scale[strata.block[j], :n],
                        z, missed, mass, loads_seized, loads_missed,
                    )  # fmt: skip
                    compose(strata, tables, x, j, z, seized[j, :n], missed, mass, loads_seized, loads_missed, parts, counters)
                for f in range(2):
                    inland, pure = parts[f, INLAND, :n], parts[f, MISSED_PURE, :n]
                    for i in range(n):
                        inland_counters[cell, f] += inland[i] > pure[i]
                    for i in range(n):
                        inland[i] = min(inland[i], pure[i])
                corridor = strata.cell_corridor[cell]
                for g in range(n_groups):
                    if strata.member[g, corridor]:
                        add_parts(group_parts[g], parts)
                summarise(
                    strata.index[corridor, period], parts, whole, n, start - first, lane, layout, state, sums, stored,
                    waiting, contrasts.row, kept,
                )  # fmt: skip
            for g in range(n_groups):
                summarise(
                    strata.index[n_corridors + g, period], group_parts[g], whole, n, start - first, lane, layout, state, sums,
                    stored, waiting, contrasts.row, kept,
                )  # fmt: skip
        summarise_precursors(
            strata.precursors, source, start, x, n, start - first, lane, layout, state, sums, stored, waiting,
            contrasts.row, kept,
        )  # fmt: skip
        compare(
            contrasts, kept, n, start - first, lane, layout, state, sums, stored, waiting, claim_counters
        )  # fmt: skip
        if (lane + 1) % _WAITING == 0 or lane + 1 == n_lanes:
            count_waiting(layout, state, waiting, lane % _WAITING + 1)
