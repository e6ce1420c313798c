"""Texts that would do something if anything took them for more than text."""

BOMB = (
    "\"'><img src=x data-planted onerror=window.hacked=1><svg data-planted onload=window.hacked=2>"
    "<script data-planted>window.hacked=3</script><a data-planted href=javascript:window.hacked=4>${window.hacked=5}"
    "{{window.hacked=6}}</textarea></title></style><iframe data-planted srcdoc=x></iframe>\u202egnp.exe"
)
NAME = "\"'><img src=x data-planted onerror=window.hacked=7><svg data-planted onload=window.hacked=8>"
"""The same as far as a file's name can hold it."""

SHORT = "\"'><img src=x data-planted onerror=window.hacked=9>"
"""For a preset's name, which has 60 letters at most."""

WATCH = """
window.planted = [];
new MutationObserver(() => {
    for (const one of document.querySelectorAll("[data-planted], [onerror], [onload], [href^='javascript']"))
        window.planted.push(one.outerHTML);
}).observe(document, { childList: true, subtree: true, attributes: true });
"""
"""Keeps every element that a text has become, even one that is gone again at once."""
