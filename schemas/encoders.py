"""Turns an Avro record schema into a Python function that writes a Struct as its bytes.

The counterpart of `tocsin.schemas.decoders`: a property test holds the functions equal to fastavro,
which takes five times as long for a warning. They write the types that our schemas use and refuse
to be made for others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from msgspec import Struct

from tocsin.schemas.decoders import INT_BITS, LONG_BITS, Json, check_fields
from tocsin.schemas.emitting import Lines

# Any: an encoder is made for one type of record, the one that it is looked up by.
Encoder: TypeAlias = Callable[[Any], bytes]

SHORT_MIN, SHORT_MAX = -64, 4096


class Varints(dict[int, bytes]):
    """Zig-zag varints by number: usual ones are kept, others are made when asked for."""

    def __init__(self, bits: int) -> None:
        self._bits = bits
        super().__init__((number, self[number]) for number in range(SHORT_MIN, SHORT_MAX))

    def __missing__(self, number: int) -> bytes:
        if not -(1 << self._bits - 1) <= number < 1 << self._bits - 1:
            raise ValueError(f"{number} does not fit into {self._bits} bits")
        n = number << 1 if number >= 0 else ~(number << 1)
        if n < 1 << 7:
            return bytes((n,))
        if n < 1 << 14:
            return bytes((n & 127 | 128, n >> 7))
        if n < 1 << 21:
            return bytes((n & 127 | 128, n >> 7 & 127 | 128, n >> 14))
        if n < 1 << 28:
            return bytes((n & 127 | 128, n >> 7 & 127 | 128, n >> 14 & 127 | 128, n >> 21))
        low = bytes((n & 127 | 128, n >> 7 & 127 | 128, n >> 14 & 127 | 128, n >> 21 & 127 | 128))
        n >>= 28
        while n > 127:
            low += bytes((n & 127 | 128,))
            n >>= 7
        return low + bytes((n,))


INTS = Varints(INT_BITS)
LONGS = Varints(LONG_BITS)


def compile_encoder(schema: Json, structs: Mapping[str, type[Struct]], head: bytes) -> Encoder:
    """Return a function that writes one record of `schema`, after the bytes of `head`.

    It raises ValueError for a number that is too large. `structs` maps record names to the Struct
    made of their fields, in the schema's order.
    """
    source = _Source(structs)
    source.line("def encode(r):")
    source.indent += 1
    pieces = source.record("r", schema)
    source.line(f"return join((head, {', '.join(pieces)},))")
    names: dict[str, Any] = {"head": head, "join": b"".join, "ints": INTS, "longs": LONGS}
    exec("\n".join(source.lines), names)  # noqa: S102 - made of checked names and constants only
    encoder: Encoder = names["encode"]
    return encoder


class _Source(Lines):
    """Lines of the function being made. What a value becomes is a list of expressions of bytes."""

    def record(self, name: str, schema: Json) -> list[str]:
        """Emit lines that prepare the record held by the variable `name`; return its pieces."""
        check_fields(self.structs[schema["name"]], schema)
        pieces = []
        for field in schema["fields"]:
            pieces += self.value(f"{name}.{field['name']}", field["type"])
        return pieces

    def value(self, text: str, schema: Json) -> list[str]:
        """Emit lines that prepare the value of an expression; return its pieces."""
        if isinstance(schema, list):
            return self.optional(text, schema)
        kind = schema if isinstance(schema, str) else schema["type"]
        if kind == "int":
            return [f"ints[{text}]"]
        if kind == "long":
            return [f"longs[{text}]"]
        if kind == "boolean":
            return [f"(b'\\x01' if {text} else b'\\x00')"]
        found = self.variable()
        if kind == "string":
            self.line(f"{found} = {text}.encode()")
            return [f"longs[len({found})]", found]
        self.line(f"{found} = {text}")
        if kind == "bytes":
            return [f"longs[len({found})]", found]
        if kind == "record":
            return self.record(found, schema)
        if kind == "array":
            return self.array(found, schema["items"])
        raise TypeError(f"no encoder for Avro type {kind}")

    def optional(self, text: str, schema: Json) -> list[str]:
        if len(schema) != 2 or schema[0] != "null":
            raise TypeError(f"no encoder for unions other than of null and one type: {schema}")
        found, content = self.variable(), self.variable()
        self.line(f"{content} = {text}")
        self.line(f"if {content} is None:")
        self.line(f"    {found} = b'\\x00'")
        self.line("else:")
        self.indent += 1
        pieces = self.value(content, schema[1])
        self.line(f"{found} = join((b'\\x02', {', '.join(pieces)},))")
        self.indent -= 1
        return [found]

    def array(self, name: str, items: Json) -> list[str]:
        """Arrays are one block: their number of items, the items, and the end."""
        found, item = self.variable(), self.variable()
        self.line(f"if {name}:")
        self.indent += 1
        self.line(f"{found} = [longs[len({name})]]")
        self.line(f"for {item} in {name}:")
        self.indent += 1
        pieces = self.value(item, items)
        self.line(f"{found} += ({', '.join(pieces)},)")
        self.indent -= 1
        self.line(f"{found} = join({found}) + b'\\x00'")
        self.indent -= 1
        self.line("else:")
        self.line(f"    {found} = b'\\x00'")
        return [found]
