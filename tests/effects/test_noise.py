"""Effects of the options of the noise and of the loss."""

from tests.effects.check import checked
from tests.effects.effect import seen

ROWS = [
    seen("noise_offset", 0.3, "losses", "header"),
]

test_it_changes_what_it_should = checked(ROWS)
