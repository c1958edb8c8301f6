"""YAML files that people write: plain values, with every problem at once and its line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml
from msgspec import Struct

POLICY_BYTES_MAX = 1_000_000
_DEPTH_MAX = 20
_NODES_MAX = 100_000  # aliases make a short text long
_DIGITS_MAX = 40


class FileProblem(Struct, frozen=True):
    """Something wrong in a policy file: its line (from 1), the path within it, and what."""

    line: int
    path: str
    message: str

    def located(self, file: object) -> str:
        """As compilers tell it: file:line: path: message."""
        return ": ".join(filter(None, (f"{file}:{self.line}", self.path, self.message)))

    def __str__(self) -> str:
        where = f" {self.path}:" if self.path else ""
        return f"line {self.line}:{where} {self.message}"


class BrokenYamlError(Exception):
    """A text that is no YAML, or too much of it; `problem` says where."""

    def __init__(self, line: int, message: str) -> None:
        self.problem = FileProblem(line, "", message)
        super().__init__(str(self.problem))


def read_yaml(text: str) -> tuple[Any, Reader]:
    """The plain value of a file's text, and the reader that knows its lines and problems so far.

    Raises BrokenYamlError.
    """
    if len(text.encode()) > POLICY_BYTES_MAX:
        raise BrokenYamlError(1, f"the file exceeds {POLICY_BYTES_MAX} bytes")
    reader = Reader()
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        return None if root is None else reader.plain(root, ()), reader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = 1 if mark is None else mark.line + 1
        raise BrokenYamlError(line, f"is no YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise BrokenYamlError(1, f"is no YAML: {error}") from error
    except RecursionError as error:
        raise BrokenYamlError(1, "is nested too deeply") from error


def lines_of(text: str) -> Callable[[tuple[str, ...]], int]:
    """What tells the line (from 1) of a path in a policy's text, or of its nearest part."""
    reader = Reader()
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is not None:
        reader.plain(root, ())
    return reader.line


class Reader:
    """Turns YAML nodes into plain values, remembering where each stands."""

    def __init__(self) -> None:
        self.problems: list[FileProblem] = []
        self._lines: dict[tuple[str, ...], int] = {}
        self._nodes = 0

    def line(self, path: tuple[str, ...]) -> int:
        """Line of a path, or of its nearest part that is there."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def note(self, path: tuple[str, ...], message: str) -> None:
        """Note a problem at a path."""
        self._tell(self.line(path), path, message)

    def plain(self, node: yaml.Node, path: tuple[str, ...]) -> Any:  # any plain value
        """The value of a node: mappings, lists, texts, whole numbers, booleans and null."""
        line = node.start_mark.line + 1
        self._lines.setdefault(path, line)
        self._nodes += 1
        if len(path) > _DEPTH_MAX:  # also ends an alias that contains itself
            self._tell(line, path, f"is nested deeper than {_DEPTH_MAX} levels")
            return None
        if self._nodes > _NODES_MAX:
            if self._nodes == _NODES_MAX + 1:
                self._tell(line, path, f"has more than {_NODES_MAX} values")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.plain(entry, (*path, str(n))) for n, entry in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: tuple[str, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self._tell(line, path, "has a key that is no word")
                continue
            key = str(key_node.value)
            where = (*path, key)
            if key in found:
                self._tell(line, where, "is given twice")
                continue
            self._lines[where] = line
            found[key] = self.plain(value_node, where)
        return found

    def _scalar(self, node: yaml.Node, path: tuple[str, ...]) -> Any:  # any plain scalar
        text = str(node.value)
        match node.tag.rpartition(":")[2]:
            case "null":
                return None
            case "bool":
                return text.lower() in ("yes", "true", "on")
            case "int" if text.isascii() and text.lstrip("-").isdigit():
                if len(text) > _DIGITS_MAX:  # far more and Python itself refuses to read them
                    self._tell(node.start_mark.line + 1, path, f"has {len(text)} digits")
                    return 0
                return int(text)
            case "str":
                return text
            case _:
                line = node.start_mark.line + 1
                self._tell(line, path, f"{text!r} is neither text nor a whole number: quote it")
                return text

    def _tell(self, line: int, path: tuple[str, ...], message: str) -> None:
        self.problems.append(FileProblem(line, ".".join(path), message))
