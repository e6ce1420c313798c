"""What a user should know of an option, though nothing is refused: a sentence that knows which option it is about."""


class Notice(str):
    """One sentence. `option` is the name of the option's field, so that the page can show it beside the field."""

    option: str

    def __new__(cls, option: str, sentence: str) -> "Notice":
        """Makes the sentence of an option."""
        notice = super().__new__(cls, sentence)
        notice.option = option
        return notice

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        """What a copy is made of: events are copied when they are written."""
        return self.option, str(self)
