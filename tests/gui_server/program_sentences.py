"""Finds, with `ast`, the sentences that the scripts may say to the page: what locales/program_ja.json must hold.

A sentence is a literal or an f-string of sd_scripts with English words in it, wherever it is put together: given to an
error, a notice or a reporting function, named first, chosen between two, or one word that is put into another sentence.
What only the terminal shows, and what is written for programmers, is left out.

`python -m tests.gui_server.program_sentences` puts the lines that the catalogue lacks into it, to be filled in, and
takes those out that are left over; the lines stand in the order of the sources.
"""

import ast
import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kohya_gui import program_words
from kohya_gui.i18n import LOCALES
from sd_scripts.library import errors

SCRIPTS = Path(__file__).resolve().parents[2] / "sd_scripts"
# Files whose sentences the page never shows: what is printed, and what writes commands for terminals.
TERMINAL_ONLY = (
    "tools/", "library/example/", "library/console.py", "library/report.py", "library/data/debug_dataset.py",
    "library/data/dataset_facts.py", "library/systems.py",
)  # fmt: skip
# Calls whose texts nobody of the page reads: the terminal's, patterns, marks of options, faults of the program.
UNHEARD = {
    "say", "phase", "summary", "print", "compile", "sub", "search", "fullmatch", "match", "filterwarnings", "Range",
    "TypeError", "KeyError", "AssertionError", "RuntimeError", "NotImplementedError", "place", "getLogger", "line",
}  # fmt: skip
# What is given to these is said as it stands, also where it is only put together from others.
TELLERS = {"notice", "failed_item", "Failed", "Stopped", "Notice", "ItemFailed"} | {
    name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)
}
# Literals that look like sentences and are said to nobody.
NOT_SAID = {"a picture of ", "option | value", "#version: 0.2"}
_PATTERN = re.compile(r"\\[bsdw]|\(\?")
_FLAG = re.compile(r"--\w*|\w+=\S*|`[^`]*`|https?:\S+")
_WORD = re.compile(r"(?<![\w.\\/*-])[a-z]{2,}(?![\w/\\(*])")
_NAMED = re.compile(r"\{(\w*)\}")


@dataclass
class Sentences:
    """{pattern: (key, where)}: a pattern is a sentence whose placeholders have no names; a key has them."""

    found: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add(self, key: str, where: str) -> None:
        """Keeps a sentence unless its pattern is known."""
        self.found.setdefault(program_words.pattern(key), (key, where))


@functools.cache
def sentences() -> dict[str, tuple[str, str]]:
    """All of them: {pattern: (key, "file:line")}."""
    found = Sentences()
    for path in sorted(SCRIPTS.rglob("*.py")):
        name = path.relative_to(SCRIPTS).as_posix()
        if not name.startswith(TERMINAL_ONLY):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            _File(tree, name, found).visit(tree)
    return found.found


class _File(ast.NodeVisitor):
    """Walks through one file; `names` are what its variables may stand for, in the function at hand and outside."""

    def __init__(self, tree: ast.Module, name: str, found: Sentences) -> None:
        self.name = name
        self.found = found
        self.module = _assigned(tree.body)
        self.names = self.module

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        before = self.names
        self.names = {**self.names, **_assigned(node.body)}
        for inner in [*node.body, *node.args.defaults, *node.decorator_list]:
            self.visit(inner)
        self.names = before

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):
            self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value:
            self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        called = _called(node)
        if called in UNHEARD:
            return
        if called in TELLERS:
            # The first word of these names what the sentence is about.
            told = node.args[1:] if called in ("BadOption", "failed_item") else node.args[:1]
            for given in [*told, *(keyword.value for keyword in node.keywords)]:
                if isinstance(given, ast.JoinedStr) and program_words.pattern(_key(given)).replace("{}", "").strip():
                    self.found.add(_key(given), f"{self.name}:{given.lineno}")
        if called == "counted" and isinstance(node.args[1], ast.Constant):
            for noun in (node.args[1].value, f"{node.args[1].value}s"):
                self.found.add(f"{{number}} {noun}", f"{self.name}:{node.lineno}")
            return
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        parts = list(_added(node)) if isinstance(node.op, ast.Add) else []
        if any(_text(part) for part in parts):
            self._take(node, _joined([_key(part) if _text(part) else "{more}" for part in parts]))
            for part in parts:
                if _text(part):
                    self._take_parts(part)
                else:
                    self.visit(part)
        else:
            self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self._take(node, node.value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self._take(node, _key(node))
        self._take_parts(node)

    def _take(self, node: ast.expr, key: str) -> None:
        if is_prose(key):
            self.found.add(key, f"{self.name}:{node.lineno}")

    def _take_parts(self, node: ast.expr) -> None:
        """The words that a sentence's placeholders may stand for, single ones too."""
        for part in ast.walk(node):
            if isinstance(part, ast.FormattedValue):
                for word in self._words(part.value, 0):
                    self.found.add(word, f"{self.name}:{node.lineno}")
                self.visit(part.value)

    def _words(self, node: ast.expr | None, depth: int) -> Iterator[str]:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch("[a-z]{3,}", node.value):
            yield node.value
        elif isinstance(node, ast.IfExp):
            yield from self._words(node.body, depth)
            yield from self._words(node.orelse, depth)
        elif isinstance(node, ast.Name) and depth < 3:
            for value in self.names.get(node.id, ()):
                yield from self._words(value, depth + 1)
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
            for table in self.module.get(node.value.id, ()):
                for value in table.values if isinstance(table, ast.Dict) else ():
                    yield from self._words(value, depth + 1)


def is_prose(key: str) -> bool:
    """Whether a literal has English words in it, more than one where it has no placeholder."""
    if key in NOT_SAID or _PATTERN.search(key):
        return False
    bare = _FLAG.sub("", _NAMED.sub(" X ", key)).strip()
    words = len(_WORD.findall(bare))
    return " " in key.strip() and words >= (1 if _NAMED.search(key) or len(bare.split()) > 1 else 2)


def placeholders(said: str) -> list[str]:
    """The names of a Japanese text's placeholders."""
    return re.findall(r"\{(\w+)(?::text)?\}", said)


def missing_lines(catalogue: dict[str, str]) -> list[str]:
    """The sentences without a line in a catalogue, as lines to fill in, each after where it is said."""
    known = {program_words.pattern(key) for key, said in catalogue.items() if said}
    lacking = [(where, key) for pattern, (key, where) in sentences().items() if pattern not in known]
    return [f'{json.dumps(key, ensure_ascii=False)}: "",   <- {where}' for where, key in lacking]


def stale_lines(catalogue: dict[str, str]) -> list[str]:
    """The lines of a catalogue that no sentence uses."""
    return [key for key in catalogue if program_words.pattern(key) not in sentences()]


def _assigned(body: list[ast.stmt]) -> dict[str, list[ast.expr]]:
    """{name: what it is set to} within these statements."""
    found: dict[str, list[ast.expr]] = {}
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    _pair(target, node.value, found)
            elif isinstance(node, ast.AnnAssign) and node.value:
                _pair(node.target, node.value, found)
    return found


def _pair(target: ast.expr, value: ast.expr, found: dict[str, list[ast.expr]]) -> None:
    if isinstance(target, ast.Name):
        found.setdefault(target.id, []).append(value)
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, its in zip(target.elts, value.elts, strict=False):
            _pair(one, its, found)


def _added(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        yield from _added(node.left)
        yield from _added(node.right)
    else:
        yield node


def _text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _key(node: ast.expr) -> str:
    """A literal or an f-string with its placeholders named after what stands there."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    parts = [str(one.value) if isinstance(one, ast.Constant) else f"{{{_name(one)}}}" for one in _values(node)]
    return _joined(parts)


def _values(node: ast.expr) -> list[ast.expr]:
    return node.values if isinstance(node, ast.JoinedStr) else []


def _joined(parts: list[str]) -> str:
    """Parts of a sentence as one, its placeholders' names told apart."""
    seen: list[str] = []

    def once(found: re.Match[str]) -> str:
        name = found[1] or "value"
        seen.append(name)
        return f"{{{name}{seen.count(name) if seen.count(name) > 1 else ''}}}"

    return _NAMED.sub(once, "".join(parts))


def _name(node: ast.AST) -> str:
    """A short name for an expression: its own, its attribute's, or that of the first name in it."""
    if isinstance(node, ast.FormattedValue):
        return _name(node.value)
    if isinstance(node, ast.Name):
        return node.id.strip("_").lower()
    if isinstance(node, ast.Attribute):
        return node.attr.strip("_")
    if isinstance(node, ast.Call) and not isinstance(node.func, ast.Attribute) and not node.args:
        return _name(node.func)
    inner = [one for one in ast.walk(node) if isinstance(one, ast.Name) and one.id not in ("len", "str", "type", "max")]
    return _name(inner[-1]) if inner else "value"


def write() -> None:
    """Writes the catalogue anew, in the order of the sources: known lines stay, new ones have no Japanese yet."""
    known = {program_words.pattern(key): (key, said) for key, said in program_words.catalogue().items()}
    lines = dict(known.get(pattern, (key, "")) for pattern, (key, _) in sentences().items())
    whole = {"sentences": lines, "others": program_words.catalogue(part="others")}
    text = json.dumps(whole, ensure_ascii=False, indent=2)
    (LOCALES / "program_ja.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    print("\n".join(missing_lines(program_words.catalogue())))
    write()
