"""The places where right candidates stand in a ranking, the precision there, and whether such places can be true."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def hits(candidates: Sequence[str], right: Collection[str]) -> list[int]:
    """Return the places, counted from 1, where a right candidate stands for the first time."""
    first_places: dict[str, int] = {}
    for place, candidate in enumerate(candidates, start=1):
        first_places.setdefault(candidate, place)
    return [place for candidate, place in first_places.items() if candidate in right]


def precision_sum(places: Sequence[int]) -> float:
    """Return the sum of the precision at every place of a right candidate, added from the first place on."""
    total = 0.0
    for found, place in enumerate(places, start=1):
        total += found / place
    return total


def problem_of(ranks: Sequence[int], expected: int, found: Sequence[int], shown: int) -> str:
    """Return why the ranks of a question's right candidates cannot be true; '' if they can.

    Args:
        ranks: places of the right candidates among all candidates.
        expected: how many right candidates there are.
        found: their places among the candidates that are shown (``hits``).
        shown: how many candidates are shown.
    """
    if len(ranks) != expected:
        return f"found {len(ranks)} ranks, expected {expected}, one per right candidate"
    if any(rank <= before for before, rank in zip((0, *ranks), ranks, strict=False)):
        return f"the ranks {list(ranks)} do not ascend from 1 on"
    by_rank = [rank for rank in ranks if rank <= shown]
    if by_rank != list(found):
        return (
            f"right candidates stand at {by_rank} of the first {shown} by the ranks, and at {list(found)} by the "
            "candidates themselves"
        )
    return ""
