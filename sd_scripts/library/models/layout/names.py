"""Names of modules in two layouts, and the translation of tensor names between them."""

from collections.abc import Iterable


class Names:
    """A table of modules: (name in the original layout, name in diffusers). A module's tensors follow it."""

    def __init__(self, modules: Iterable[tuple[str, str]]) -> None:
        modules = list(modules)
        self._diffusers = dict(modules)
        self._original = {new: old for old, new in modules}

    def to_diffusers(self, name: str) -> str | None:
        """The name in diffusers of a tensor of the original layout; None where diffusers has none."""
        return _translate(name, self._diffusers)

    def to_original(self, name: str) -> str | None:
        """The original name of one of diffusers' tensors; None where the original layout has none."""
        return _translate(name, self._original)


def _translate(name: str, modules: dict[str, str]) -> str | None:
    module, rest = name, ""
    while module not in modules:
        module, dot, last = module.rpartition(".")
        if not dot:
            return None
        rest = f".{last}{rest}"
    return modules[module] + rest
