"""How often regularisation pictures are shown: as often as all training pictures together. Needs no torch."""

from collections.abc import Sequence


def balanced_repeats(repeats: Sequence[int], wanted: int) -> list[int]:
    """How often each regularisation picture is shown so that their showings reach `wanted`.

    Each has its own repeats to begin with, until there are enough: those after that are not shown (0). Where there are
    too few, further rounds show each once more.
    """
    shown = [0] * len(repeats)
    total, first_round = 0, True
    while total < wanted and repeats:
        for place, own in enumerate(repeats):
            more = own if first_round else 1
            shown[place] += more
            total += more
            if total >= wanted:
                break
        first_round = False
    return shown
