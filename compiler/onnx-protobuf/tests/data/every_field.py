"""Writes every_field.onnx with the official Python package (onnx 1.23.2).

Each field of each message is set at least once, to a value derived from its number, so that a
wrong or missing field number or wire type in the Rust structs changes the bytes on re-encoding.
"""

import pathlib

import onnx
from google.protobuf.descriptor import FieldDescriptor as F

expanded = set()


def scalar(field, sign=1):
    if field.type == F.TYPE_STRING:
        return field.name
    if field.type == F.TYPE_BYTES:
        return field.name.encode() + b"\x00\xff"
    if field.type in (F.TYPE_FLOAT, F.TYPE_DOUBLE):
        return sign * (field.number + 0.5)
    if field.type == F.TYPE_ENUM:
        return field.enum_type.values[-1].number
    return field.number if field.type == F.TYPE_UINT64 else sign * field.number


def fill(message, choice=0):
    # Recursive messages end here: each type is expanded in full only where it is first met.
    full = message.DESCRIPTOR.full_name not in expanded
    expanded.add(message.DESCRIPTOR.full_name)
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        oneof = field.containing_oneof
        # Writers order oneofs differently, so all but the first member stand alone.
        if oneof.fields[choice] is not field if oneof else choice > 0:
            continue
        if field.message_type is None:
            if field.is_repeated:
                value.extend([scalar(field), scalar(field, -1)])
            else:
                setattr(message, field.name, scalar(field))
        elif field.is_repeated and full:
            oneofs = field.message_type.oneofs
            for choice_of_item in range(len(oneofs[0].fields) if oneofs else 1):
                fill(value.add(), choice_of_item)
        elif not field.is_repeated and (full or oneof):
            value.SetInParent()
            if field.message_type.full_name not in expanded:
                fill(value)


model = onnx.ModelProto()
fill(model)
path = pathlib.Path(__file__).with_suffix(".onnx")
path.write_bytes(model.SerializeToString(deterministic=True))
