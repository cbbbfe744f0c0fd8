"""Layouts: how the workers may share a unit, and what they cost and read then."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dds.compiled import njit
from dds.parallel.search_structure import KINDS, Structure
from dds.parallel.tiles import ALIGNMENT

__all__ = ["ALIGN", "layouts", "sums"]

#: Indices from one border to the next, of each kind.
ALIGN = np.array([ALIGNMENT[kind] for kind in KINDS], np.int64)
#: Up to so many workers every group of them may share a unit; of more, the fastest few.
_ALL_GROUPS = 4


def layouts(
    structure: Structure, whole: NDArray[np.float64], overhead: NDArray[np.float64],
    thin: NDArray[np.float64], *, slices: bool,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:  # fmt: skip
    """(kind of each layout, where each cuts each unit: units x layouts x (workers + 1)).

    Units of equal heights are cut at equal places, so that what one makes is where the next reads.
    Arrays as in :class:`dds.parallel.search_tables.Tables`; thin: rows or packs of each worker.
    """
    count = whole.shape[1]
    listed = [*_layouts(whole.sum(axis=0), slices)]
    kinds = np.array([kind for kind, _, _ in listed], np.int64)
    shares = np.array([share for _, share, _ in listed])
    even = np.array([together for _, _, together in listed])
    cut = np.zeros((len(whole), len(kinds), count + 1), np.int64)
    for lay in range(count):
        cut[:, lay, lay + 1 :] = 1
    works = whole.max(axis=1) > 0.0
    for kind in (1, 2):
        sizes, group = np.unique(structure.extent[:, kind - 1], return_inverse=True)
        number = np.bincount(group[works], minlength=len(sizes))
        pace = sums(group[works], whole[works], len(sizes)) / np.maximum(number, 1)[:, None]
        lays = np.flatnonzero(kinds == kind)
        ends = np.zeros((len(sizes), len(lays), count + 1), np.int64)
        _cut_all(sizes, pace, int(ALIGN[kind]), shares[lays], even[lays], overhead, thin, ends)
        cut[:, lays] = ends[group]
    return kinds, cut


def sums(place: NDArray[np.int64], seconds: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Sums of the rows of `seconds` that belong to each of `count` places."""
    columns = [np.bincount(place, column, count) for column in seconds.T]
    # Of no rows at all bincount returns integers, for which numba would compile everything anew.
    return np.ascontiguousarray(np.stack(columns, axis=1), np.float64)


@njit
def _cut_all(
    sizes: Any, pace: Any, step: int, shares: Any, even: Any, overhead: Any, thin: Any, cut: Any
) -> None:
    """Fill where each layout cuts so many indices, of units of that pace.

    Worker k takes ``e_k (n_k + thin_k) + overhead_k`` for n_k > 0 rows or packs, where e_k is
    pace_k divided by how many there are; if that is 0, the inverse of its share, no overhead.
    """
    workers = shares.shape[1]
    each, fixed = np.zeros(workers), np.zeros(workers)
    parts = np.zeros(workers, np.int64)
    for i in range(sizes.shape[0]):
        packs = (sizes[i] + step - 1) // step
        for lay in range(shares.shape[0] if sizes[i] > 1 else 0):
            for k in range(workers):
                each[k] = pace[i, k] / packs
                fixed[k] = thin[k]
                if each[k] > 0.0:
                    fixed[k] += overhead[k] / each[k]
                elif shares[lay, k] > 0.0:
                    each[k] = 1e-12 / shares[lay, k]
            if even[lay]:
                _share_out(packs, each, fixed, shares[lay], parts)
            before, last = 0.0, 0
            for k in range(workers):
                before += shares[lay, k]
                end = int(sizes[i] * before / step + 0.5)
                if even[lay]:
                    # The last pack may be a part of one, and is taken all the same.
                    end = (cut[i, lay, k] + step - 1) // step + parts[k]
                cut[i, lay, k + 1] = min(end * step, sizes[i])
                if shares[lay, k] > 0.0:
                    last = k
            for k in range(last, workers):
                cut[i, lay, k + 1] = sizes[i]


@njit
def _share_out(packs: int, each: Any, fixed: Any, share: Any, parts: Any) -> None:
    """Fill parts: in reals that all may end at once, rounded down, the rest where it ends first."""
    workers = each.shape[0]
    parts[:] = 0
    taking = share > 0.0
    end, slowest = 0.0, 0
    while slowest >= 0:  # the last of the workers for whom nothing is left does not take part
        top, bottom = float(packs), 0.0
        for k in range(workers):
            if taking[k]:
                top += fixed[k]
                bottom += 1.0 / each[k]
        end, slowest = top / bottom, -1
        for k in range(workers):
            late = taking[k] and end / each[k] <= fixed[k]
            if late and (slowest < 0 or each[k] * fixed[k] > each[slowest] * fixed[slowest]):
                slowest = k
        if slowest >= 0:
            taking[slowest] = False
    left = packs
    for k in range(workers):
        if taking[k]:
            parts[k] = min(left, int(end / each[k] - fixed[k]))
            left -= parts[k]
    while left > 0:
        first = -1
        for k in range(workers):
            if taking[k]:
                now = each[k] * (parts[k] + 1 + fixed[k])
                if first < 0 or now < each[first] * (parts[first] + 1 + fixed[first]):
                    first = k
        parts[first] += 1
        left -= 1


def _layouts(seconds: NDArray[np.float64], slices: bool) -> Iterator[tuple[int, list[float], bool]]:
    """(kind, share of each worker, whether all shall end together)."""
    count = len(seconds)
    for k in range(count):
        yield 0, [float(j == k) for j in range(count)], False
    if not slices or count < 2:
        return
    speed = 1.0 / np.maximum(seconds, max(float(seconds.max()) * 1e-9, 1e-300))
    everybody = tuple(range(count))
    for even, groups in ((False, [everybody]), (True, _groups(speed))):
        for group in groups:
            among = [float(speed[k]) if k in group else 0.0 for k in range(count)]
            share = [each / sum(among) for each in among]
            yield 2, share, even
            yield 1, share, even


def _groups(speed: NDArray[np.float64]) -> list[tuple[int, ...]]:
    """The groups of workers that may share a unit."""
    count = len(speed)
    if count <= _ALL_GROUPS:
        return [g for size in range(2, count + 1) for g in combinations(range(count), size)]
    fastest = [int(k) for k in np.argsort(-speed, kind="stable")]
    groups = {tuple(sorted(fastest[:size])) for size in range(2, count + 1)}
    groups |= {tuple(sorted({0, *fastest[:size]})) for size in range(1, count)}
    return sorted(group for group in groups if len(group) > 1)
