"""The libraries' settings that are compared, and the efforts at which each is searched."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from benchmarks.index.sides import Faiss, Hnswlib, Scann, Side, Space, Towerline, Usearch


class Candidate(NamedTuple):
    """A library with its settings, and the efforts at which it is searched."""

    make: Callable[[], Side]
    efforts: Sequence[int]


def candidates(count: int) -> Mapping[str, Candidate]:
    """Name -> candidate, with lists after the number of items."""
    lists = int(2 * count**0.5)
    probes = [lists // 128 + 1, lists // 64 + 1, lists // 32 + 1, lists // 16 + 1]
    graph = [100, 200, 400, 800]
    spaces = {
        "": Space(),
        ", reduced": Space(euclidean=True),
        ", centred": Space(weight=1),
        ", centred and reduced": Space(weight=1, euclidean=True),
        ", weighted": Space(weight=4),
    }
    quantised = f"IVF{lists},PQ33x4fs,RFlat"
    programs = {"Towerline": Candidate(Towerline, probes)}
    for suffix, space in spaces.items():
        programs |= {
            f"ScaNN{suffix}": Candidate(partial(Scann, lists, space), probes),
            f"hnswlib{suffix}": Candidate(partial(Hnswlib, 16, 100, space), graph),
            f"usearch{suffix}": Candidate(partial(Usearch, 16, 100, space), graph),
            f"usearch bf16{suffix}": Candidate(partial(Usearch, 16, 100, space, "bf16"), graph),
            f"faiss HNSW{suffix}": Candidate(partial(Faiss, "HNSW16", space, 100), graph),
            f"faiss IVF{suffix}": Candidate(partial(Faiss, f"IVF{lists},Flat", space), probes),
            f"faiss IVF SQ8{suffix}": Candidate(partial(Faiss, f"IVF{lists},SQ8", space), probes),
        }
    programs["faiss IVF PQ, reduced"] = Candidate(partial(Faiss, quantised, spaces[", reduced"]), probes)
    return programs
