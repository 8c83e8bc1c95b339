"""The forms of the operators that onnxio lowers.

    python schemas.py > onnxio/internal/lower/schemas.txt

A line is one operator from one version of its domain on, until the next line of it:

    domain operator version inputs outputs attributes

Inputs and outputs are the least number of them, one hexadecimal digit, then a letter each: 1 for one that
must be there, ? for one that may be left out, x for one that may be left out but is
not the last, * for any number at the end. An attribute is its name and type, with !
where it must be given; * stands for any other. Versions that differ
from the one before only in the types of numbers are left out. The facts are those of
onnx.defs, and of ONNX Runtime for its own domain and for what it has of its own in the standard one,
as LayerNormalization before opset 17.
"""

import re
from pathlib import Path

import onnx.defs
from onnx import checker, helper
from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

TABLE = Path(__file__).parents[2] / "onnxio" / "internal" / "lower" / "operators.go"
OWN = ("LayerNormalization", "ThresholdedRelu")  # as they are now, from version 1 on
VALUES = {"INT": 1, "INTS": [1], "FLOAT": 1.0, "FLOATS": [1.0], "STRING": "a", "TENSOR": helper.make_tensor("t", 1, [1], [1.0])}


def known():
    """The names in the table of operators: those of ONNX, and of ONNX Runtime."""
    own, microsoft = TABLE.read_text().split("var microsoftOperators")
    return [set(re.findall(r'^\t"(\w+)": ', part, re.M)) for part in (own, microsoft)]


def accepted(s, outputs, **attributes):
    """Whether the checker takes a node with the least inputs and so many outputs."""
    judged = s.domain != "com.microsoft" and not (s.name in OWN and s.since_version == 1)
    required = {} if not judged else {n: a.type.name for n, a in s.attributes.items() if a.required}
    if not judged or "GRAPH" in required.values():
        return not attributes
    attributes |= {name: VALUES[kind] for name, kind in required.items()}
    names = [f"x{k}" for k in range(max(s.min_input, 1))]
    node = helper.make_node(s.name, names[: s.max_input], [f"y{k}" for k in range(outputs)], domain=s.domain, **attributes)
    context = checker.C.CheckerContext()
    context.ir_version, context.opset_imports = 10, {s.domain: s.since_version}
    try:
        checker.check_node(node, context)
    except checker.ValidationError:
        return False
    return True


def arity(least, params, last=lambda n: True):
    letters = "".join("1?*"[int(getattr(p.option, "value", p.option))] for p in params)
    letters = "".join("x" if c == "?" and n > least and not last(n) else c for n, c in enumerate(letters, 1))
    return f"{least:x}{letters}"


def line(s):
    if s.deprecated:
        return "deprecated"
    words = [arity(s.min_input, s.inputs), arity(s.min_output, s.outputs, lambda n: accepted(s, n))]
    for name, a in sorted(s.attributes.items()):
        words.append(f"{name}={str(a.type).split('.')[-1].lower()}{'!' if a.required else ''}")
    if accepted(s, max(s.min_output, 1), nobody=1):
        words.append("*")
    return " ".join(words)


def main():
    own, microsoft = known()
    schemas = [s for s in onnx.defs.get_all_schemas_with_history() if s.domain in ("", "ai.onnx.ml")]
    names = {s.name for s in schemas}
    schemas += [s for s in get_all_operator_schema() if s.domain == "com.microsoft" or s.domain == "" and (s.name not in names or s.name in OWN and s.since_version == 1)]
    last = {}
    for s in sorted(schemas, key=lambda s: (s.domain, s.name, s.since_version)):
        if s.name not in (microsoft if s.domain == "com.microsoft" else own):
            continue
        text, key = line(s), (s.domain, s.name)
        if last.get(key) != text:
            print(s.domain or "ai.onnx", s.name, s.since_version, text)
        last[key] = text


if __name__ == "__main__":
    main()
