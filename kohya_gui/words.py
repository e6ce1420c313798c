"""The sentences of the server's answers, in the language of whoever asked."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from kohya_gui.i18n import FALLBACK, LANGUAGES, t, words
from kohya_gui.program_words import program_words
from sd_scripts.library.errors import BadOption
from sd_scripts.options.values import BadValue

# So many are named in a sentence.
NAMED = 3

_language: ContextVar[str] = ContextVar("language", default=FALLBACK)


@dataclass(frozen=True)
class Reason:
    """A sentence not yet put into words: it is stored like this and said in the reader's language.

    A fact that is itself a sentence stands there in every language: {"en": ..., "ja": ...}.
    """

    key: str
    facts: dict[str, Any] = field(default_factory=dict)


@contextmanager
def speaking(lang: str) -> Iterator[None]:
    """Everything said within is said in this language; an unknown one is English."""
    token = _language.set(lang if lang in LANGUAGES else FALLBACK)
    try:
        yield
    finally:
        _language.reset(token)


def say(key: str, **facts: Any) -> str:
    """The server's text of a key, in the present language; of one (n=1) its singular, where it has one."""
    singular = f"{key}_one"
    one = facts.get("n") == 1 and f"server.{singular}" in words(_language.get())
    return t(f"server.{singular if one else key}", _language.get(), **facts)


def say_reason(reason: Reason | None) -> str:
    """A reason in words; nothing for none."""
    if reason is None:
        return ""
    lang = _language.get()
    facts = {name: fact[lang] if isinstance(fact, dict) else fact for name, fact in reason.facts.items()}
    if "stage" in facts:
        # The runs of one project share a name: only with its stage is it clear which one is meant.
        stage = facts.pop("stage")
        facts["name"] = say("run.named", name=facts["name"], stage=say_or(f"stage.{stage}", stage))
    return say(reason.key, **facts)


def say_or(key: str, fallback: str) -> str:
    """The text of a key that scripts may have made up: where no locale has it, the fallback."""
    return say(key) if f"server.{key}" in words(FALLBACK) else fallback


def label(stage: str, tab: str, flag: str) -> str:
    """What a stage's form calls an option; its flag, where it has no other name."""
    keys = (f"stage_option.{stage}.{flag}.label", f"stage_option.{tab}.{flag}.label", f"option.{flag}.label")
    return next((t(key, _language.get()) for key in keys if key in words(FALLBACK)), flag)


def left_out() -> str:
    """What stands for the value of an option that is left out."""
    return t("field.empty", _language.get())


def bad_value(error: BadValue) -> str:
    """Why an option does not take a value."""
    return say(f"value.{error.key}", **error.facts)


def from_program(sentence: str) -> str:
    """What a script, or the library, says in English. Our own sentences stay as they are."""
    return program_words(sentence, _language.get())


def refusal(field: str, key: str, **facts: Any) -> BadOption:
    """The error to raise for a field, already in words."""
    return BadOption(field, say(key, **facts))


def some_names(names: Sequence[str]) -> str:
    """The first of many names."""
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")


def size(size_bytes: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "kB", "MB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} GB"


def duration(seconds_s: float) -> str:
    """A duration in the units that suit it."""
    if seconds_s < 59.5:
        return t("time.seconds", _language.get(), seconds=max(1, round(seconds_s)))
    hours, minutes = divmod(round(seconds_s / 60), 60)
    return t("time.hours" if hours else "time.minutes", _language.get(), hours=hours, minutes=minutes)
