"""Changes SavedModels as an attacker or a bad disk might: field by field, and byte by byte.

All chance comes from one `random.Random`, so that whatever draws it (hypothesis, a fuzzer) can find the way again.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

#: Numbers at which programs go wrong.
_NUMBERS = (0, 1, -1, 2, 7, 127, 128, 2**31 - 1, -(2**31), 2**32, 2**63 - 1, -(2**63))
_OPS = (
    "Const", "Placeholder", "Identity", "StringJoin", "While", "PartitionedCall", "SaveV2", "RestoreV2", "ReadFile",
    "MergeV2Checkpoints", "VarHandleOp", "ReadVariableOp", "AssignVariableOp", "PlaceholderWithDefault",
    "DatasetFromGraph", "PrintV2", "InitializeTableFromTextFileV2", "NoSuchOp", "Pack", "Switch", "Merge",
)  # fmt: skip
_TEXTS = ("", ":", "^", "/", "..", "../" * 40, "\x1b[31m\n", "é\u202e", "a" * 5000, "filename:0", "^^x:0:1", *_OPS)
#: Of a message's parts, so many are looked at.
_SEEN = 3000


def mutated(seed: bytes, kind: Any, random: Random) -> bytes:
    """A model with up to eight changes.

    Args:
        seed: A serialized message.
        kind: Its type.
        random: Where chance comes from.
    """
    message = kind()
    try:
        message.ParseFromString(seed)
    except Exception:  # noqa: BLE001 - protobuf's DecodeError: bytes are what is left to change
        return _bytes_changed(seed, random)
    for _ in range(random.randint(1, 8)):
        _change(message, random)
    data = bytes(message.SerializePartialToString())
    return _bytes_changed(data, random) if random.random() < 0.2 else data


def _bytes_changed(data: bytes, random: Random) -> bytes:
    raw = bytearray(data)
    for _ in range(random.randint(1, 8)):
        where = random.randint(0, len(raw))
        match random.randrange(4):
            case 0 if where < len(raw):
                raw[where] ^= 1 << random.randrange(8)
            case 1:
                del raw[where : where + random.randint(1, 64)]
            case 2:
                raw[where:where] = random.randbytes(random.randint(1, 16))
            case _:
                other = random.randint(0, len(raw))
                raw[where:where] = raw[other : other + random.randint(1, 200)]
    return bytes(raw)


def _messages(message: Any) -> Iterator[Any]:
    """A message and those in it, as many as are looked at."""
    todo = [message]
    for _ in range(_SEEN):
        if not todo:
            return
        found = todo.pop()
        yield found
        for field, value in found.ListFields():
            if field.message_type is None:
                continue
            if field.message_type.GetOptions().map_entry:
                todo += [each for each in value.values() if hasattr(each, "ListFields")]
            elif field.is_repeated:
                todo += list(value)
            else:
                todo.append(value)


def _change(message: Any, random: Random) -> None:
    everything = list(_messages(message))
    found = random.choice(everything)
    name = found.DESCRIPTOR.name
    match random.randrange(5):
        case 0 if name == "NodeDef":
            found.op = random.choice(_OPS)
        case 0 if name == "TensorProto":
            found.dtype = 7
            found.string_val.append(random.choice(everything).SerializePartialToString())
        case 1:  # another of its kind in its place
            alike = [each for each in everything if each.DESCRIPTOR is found.DESCRIPTOR]
            other = type(found)()
            other.CopyFrom(random.choice(alike))
            found.MergeFrom(other)
        case 2 if found.ListFields():
            found.ClearField(random.choice(found.ListFields())[0].name)
        case _ if found.DESCRIPTOR.fields:
            _set(found, random.choice(found.DESCRIPTOR.fields), random)


def _set(message: Any, field: Any, random: Random) -> None:
    """Give a field another value."""
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        values = getattr(message, field.name)
        if len(values) and random.random() < 0.5:
            del values[random.choice(sorted(values))]
        return
    if field.is_repeated:
        values = getattr(message, field.name)
        if len(values) and random.random() < 0.5:
            del values[random.randrange(len(values))]
        elif field.message_type is not None:
            values.add().MergeFrom(random.choice(values))
        else:
            values.append(_value(field, random))
    elif field.message_type is not None:
        getattr(message, field.name).SetInParent()
    else:
        setattr(message, field.name, _value(field, random))


def _value(field: Any, random: Random) -> Any:
    """A value that a field of this type can hold."""
    if field.cpp_type == field.CPPTYPE_STRING:
        text = random.choice(_TEXTS)
        return text.encode() if field.type == field.TYPE_BYTES else text
    if field.cpp_type == field.CPPTYPE_BOOL:
        return random.random() < 0.5
    if field.cpp_type in {field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE}:
        return random.choice((0.0, -1.0, float("nan"), float("inf")))
    number = random.choice(_NUMBERS)
    bits = 32 if field.cpp_type in {field.CPPTYPE_INT32, field.CPPTYPE_UINT32, field.CPPTYPE_ENUM} else 64
    number &= 2**bits - 1
    signed = field.cpp_type in {field.CPPTYPE_INT32, field.CPPTYPE_INT64, field.CPPTYPE_ENUM}
    return number - 2**bits if signed and number >= 2 ** (bits - 1) else number
