"""Prints every message, enum and RPC of protobuf modules as JSON. Run by interpreters that lack our code."""

import importlib
import json
import sys

from google.protobuf import descriptor_pb2


def messages(found, prefix=""):
    """Full name to fields and enums, nested messages included."""
    described = {}
    for message in found:
        name = prefix + message.name
        oneofs = [oneof.name for oneof in message.oneof_decl]
        described[name] = {
            "fields": {
                field.name: [
                    field.number,
                    field.type,
                    field.label,
                    field.type_name.rsplit(".inference.", 1)[-1].lstrip("."),
                    oneofs[field.oneof_index] if field.HasField("oneof_index") else None,
                ]
                for field in message.field
            },
            "enums": enums(message.enum_type),
            "map": message.options.map_entry,
        }
        described.update(messages(message.nested_type, name + "."))
    return described


def enums(found):
    """Name to values."""
    return {enum.name: {value.name: value.number for value in enum.value} for enum in found}


def describe(names):
    """What the modules define, together."""
    result = {"messages": {}, "enums": {}, "rpcs": {}, "packages": []}
    for name in names:
        file = descriptor_pb2.FileDescriptorProto()
        importlib.import_module(name).DESCRIPTOR.CopyToProto(file)
        result["packages"].append(file.package)
        result["messages"].update(messages(file.message_type))
        result["enums"].update(enums(file.enum_type))
        for service in file.service:
            for rpc in service.method:
                kinds = [rpc.input_type, rpc.output_type, rpc.client_streaming, rpc.server_streaming]
                result["rpcs"][f"{service.name}.{rpc.name}"] = kinds
    return result


if __name__ == "__main__":
    print(json.dumps(describe(sys.argv[1:])))
