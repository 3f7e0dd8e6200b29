"""Names numbered as they come, so that what is held of each can lie in the rows of arrays."""

from collections.abc import Iterable


class Roster:
    """People or devices; the number of each is its place in `names`, and never changes."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.names: list[str] = []
        self._number: dict[str, int] = {}
        self.add(names)

    def add(self, names: Iterable[str]) -> list[str]:
        """Number those that have no number yet; these, in the order of their numbers."""
        new = [name for name in dict.fromkeys(names) if name not in self._number]
        self._number |= {name: number for number, name in enumerate(new, len(self.names))}
        self.names += new
        return new

    def enrol(self, names: Iterable[str]) -> list[int]:
        """The number of each; who has none gets one."""
        names = list(names)
        self.add(names)
        return self.numbers(names)

    def numbers(self, names: Iterable[str]) -> list[int]:
        """The number of each, which must have one."""
        return [self._number[name] for name in names]
