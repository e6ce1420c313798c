"""The errors that users see: one small tree, each error one sentence that says what to do."""

from typing import Literal

FailureKind = Literal["memory", "not_finite", "disk_full", "file"]


class UserError(Exception):
    """Something that the user can mend; its text is one clear sentence for them.

    `kind` is what sort of trouble it is, for whoever knows remedies; None where the sentence says it all.
    """

    exit_code = 2
    kind: FailureKind | None = None


class BadOption(UserError):
    """An option has a value that cannot be used.

    `option` is the name of the option's field, so that the page can show the sentence beside it.
    """

    def __init__(self, option: str, sentence: str) -> None:
        super().__init__(sentence)
        self.option = option


class BadFile(UserError):
    """A file or folder is missing, broken, or not what it should be."""

    kind = "file"


class NotWhole(UserError):
    """What was written does not read back: to write it again, or elsewhere, is not for a program to decide."""

    exit_code = 1
    kind = "file"


class StoppedAsAsked(Exception):
    """The work ended before its end, because that was asked for; its text says what became of it."""


class NothingUsable(UserError):
    """Every item failed, or there was none: there is nothing to go on with."""

    exit_code = 1


class NotInstalled(UserError):
    """A package that an option needs is not installed, or does not run on this machine."""


class TrainingFailed(UserError):
    """Training cannot go on: the loss is not a number, or memory ran out."""

    exit_code = 1


class OutOfMemory(TrainingFailed):
    """What is trained does not fit the memory."""

    kind = "memory"


class LossNotFinite(TrainingFailed):
    """The loss became NaN or infinite."""

    kind = "not_finite"
