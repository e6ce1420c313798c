"""What --remove_words takes out of GIT's sentences, and what it leaves."""

import pytest

from sd_scripts.library.tagging.git import without_writing


@pytest.mark.parametrize(
    ("sentence", "left"),
    [
        ('a red car with the word " fast " on it', "a red car"),
        ("a girl with the words hello on her shirt", "a girl"),
        ("a man with the letter k on his hat standing", "a man standing"),
        ('a book and the name " emma " is on the cover', "a book"),
        ('a poster that says " stop "', "a poster"),
        ("a man with a sign that says ' i'm here ' on it in a street", "a man in a street"),
        ("a shirt that says the word love on it", "a shirt"),
        ("a player with the number 23 on his back", "a player"),
        ("a wall with the word art on it, and a dog", "a wall, and a dog"),
        ('a mug with the words " to be cont', "a mug"),
        ("a cup has the letters abc", "a cup"),
        ("a stone with a word peace on it", "a stone"),
    ],
)
def test_writing_is_removed(sentence, left):
    assert without_writing(sentence) == left


@pytest.mark.parametrize(
    "sentence",
    [
        "a swordfish on ice",
        "a man with the crowd behind him",
        "a dog on the words of wisdom",
        "a girl with the numbered door",
    ],
)
def test_other_sentences_stay(sentence):
    assert without_writing(sentence) == sentence
