#!/usr/bin/env python3
"""Writes the Kinesis service model without its documentation to `kinesis-2013-12-02.json`.

    python3 -m venv /tmp/boto && /tmp/boto/bin/pip install botocore
    /tmp/boto/bin/python streams/kinesis/model/strip.py
"""

import gzip
import json
import pathlib

import botocore

SERVICE = pathlib.Path(botocore.__file__).parent / "data/kinesis/2013-12-02/service-2.json.gz"
HERE = pathlib.Path(__file__).parent


def shape(name, full):
    out = {"name": name, "type": full["type"]}
    for limit in ("min", "max", "pattern", "enum"):
        if limit in full:
            out[limit] = full[limit]
    if full["type"] == "structure":
        required = set(full.get("required", ()))
        out["members"] = [
            {"name": member, "shape": of["shape"]} | ({"required": True} if member in required else {})
            for member, of in full["members"].items()
        ]
        for mark in ("exception", "event", "eventstream"):
            if full.get(mark):
                out[mark] = True
    elif full["type"] == "list":
        out["member"] = full["member"]["shape"]
    elif full["type"] == "map":
        out |= {"key": full["key"]["shape"], "value": full["value"]["shape"]}
    return out


def operation(name, full):
    out = {"name": name, "input": full["input"]["shape"]}
    if "output" in full:
        out["output"] = full["output"]["shape"]
    out["errors"] = [error["shape"] for error in full.get("errors", ())]
    return out


def main():
    with gzip.open(SERVICE) as file:
        full = json.load(file)
    stripped = {
        "source": f"botocore {botocore.__version__}",
        "target": full["metadata"]["targetPrefix"],
        "operations": [operation(*item) for item in sorted(full["operations"].items())],
        "shapes": [shape(*item) for item in sorted(full["shapes"].items())],
    }
    lines = ["{"]
    for key in ("source", "target"):
        lines.append(f"{json.dumps(key)}: {json.dumps(stripped[key])},")
    for key in ("operations", "shapes"):
        lines.append(f"{json.dumps(key)}: [")
        items = [json.dumps(item, separators=(",", ":")) for item in stripped[key]]
        lines.append(",\n".join(items))
        lines.append("]," if key == "operations" else "]")
    lines.append("}")
    (HERE / "kinesis-2013-12-02.json").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
