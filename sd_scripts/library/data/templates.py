"""Captions for a new word that stand in for those of the pictures. Needs no torch."""

from typing import Any

OBJECT = (
    "a photo of {}", "a picture of {}", "a close view of {}", "{} seen from the side", "{} seen from above",
    "{} in the middle of the picture", "a sharp photo of {}", "a somewhat blurred photo of {}", "a small picture of {}",
    "a large photo of {}", "{} in bright light", "{} in the dark", "a colourful picture of {}", "a part of {}",
    "one {}", "{}, photographed at home", "{}, photographed outdoors", "a plain picture of {}", "this is {}",
    "a photo that shows {} and nothing else", "a snapshot of {}", "the whole of {}", "{} on a plain background",
    "a fine photo of {}",
)  # fmt: skip
"""For a thing, a person or an animal."""

STYLE = (
    "a picture in the style of {}", "a painting in the style of {}", "a drawing in the style of {}", "{} style",
    "a work by {}", "an illustration in the style of {}", "a detail of a work in the style of {}",
    "a colourful picture in the style of {}", "a dark picture in the style of {}", "a bright picture, {} style",
    "a large work in the style of {}", "a small work in the style of {}", "a scene in the style of {}",
    "a fine picture in the style of {}", "a plain picture in the style of {}", "something drawn in the style of {}",
    "a quiet picture, {} style", "a lively picture, {} style", "the manner of {}", "a sketch in the style of {}",
)  # fmt: skip
"""For the way in which pictures are made."""

_TEMPLATES = {"use_object_template": OBJECT, "use_style_template": STYLE}


def asked_templates(given: dict[str, Any]) -> tuple[str, ...]:
    """The captions that options ask for, by option; none where each picture has its own."""
    word = given.get("token_string") or ""
    return tuple(
        text.replace("{}", word) for option, texts in _TEMPLATES.items() if given.get(option) for text in texts
    )
