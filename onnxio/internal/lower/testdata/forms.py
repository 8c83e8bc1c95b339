"""Nodes of known operators, sound and malformed, with the verdict of onnx.checker.

    python forms.py SEED < operators

reads lines `domain operator` and writes a line of JSON a model: the model in base64,
what is malformed in it, and the checker's sentence, empty where it accepts. Every
operator has a node of each version of its domain at which its form changes, and of the
version before; some stand in branches, one within the other.
"""

import base64
import json
import random
import sys

import onnx.defs
from onnx import AttributeProto, TensorProto, checker, helper

OWN = ("LayerNormalization", "ThresholdedRelu")  # ONNX Runtime has them from version 1 on
VALUES = {
    "FLOAT": 1.0, "INT": 1, "STRING": "a", "FLOATS": [1.0], "INTS": [1], "STRINGS": ["a"],
    "TENSOR": helper.make_tensor("t", TensorProto.FLOAT, [1], [1.0]),
}  # fmt: skip
TYPES = [t for t in VALUES]


def attribute(name, kind):
    return helper.make_attribute(name, VALUES[kind], attr_type=getattr(AttributeProto, kind))


def sound(schema, draw):
    """A node with what must be there, and some of what may."""
    names = []
    for i, p in enumerate(schema.inputs):
        kind = str(p.option).split(".")[-1]
        if kind == "Single":
            names.append(f"x{i}")
        elif kind == "Optional":
            names.append(draw.choice(["", f"x{i}"]))
        else:
            names += [f"v{k}" for k in range(draw.randint(max(1, schema.min_input - i), 3))]
    while len(names) > schema.min_input and not names[-1]:
        names.pop()
    outs = [f"y{k}" for k in range(max(1, schema.min_output))]
    node = helper.make_node(schema.name, names, outs, "node", domain=schema.domain)
    for name, a in sorted(schema.attributes.items()):
        kind = a.type.name
        if kind in VALUES and (a.required or draw.random() < 0.3):
            node.attribute.append(attribute(name, kind))
    return node


def mutants(schema, draw):
    """Pairs of a name and a node."""
    yield "sound", sound(schema, draw)
    base = lambda: sound(schema, draw)
    for k in range(4):
        n = base()
        del n.input[k:]
        yield f"{k} inputs", n
    n = base()
    n.input.extend(["x0"] * draw.randint(1, 3))
    yield "more inputs", n
    for k in range(min(3, len(base().input))):
        n = base()
        if k < len(n.input):
            n.input[k] = ""
            yield f"input {k} left out", n
    for k in range(3):
        n = base()
        n.output.extend([f"z{i}" for i in range(k + 1)])
        yield f"{k + 1} more outputs", n
    n = base()
    n.attribute.append(attribute("nobody", draw.choice(TYPES)))
    yield "unknown attribute", n
    for name, a in sorted(schema.attributes.items()):
        n = base()
        rest = [x for x in n.attribute if x.name != name]
        del n.attribute[:]
        n.attribute.extend(rest)
        yield f"without {name}", n
        if a.type.name not in VALUES:
            continue
        wrong = sound(schema, draw)
        wrong.CopyFrom(n)
        wrong.attribute.append(attribute(name, draw.choice([t for t in TYPES if t != a.type.name])))
        yield f"{name} of another type", wrong
        untyped = sound(schema, draw)
        untyped.CopyFrom(n)
        untyped.attribute.append(attribute(name, a.type.name))
        untyped.attribute[-1].ClearField("type")
        yield f"{name} without a type", untyped
        lying = sound(schema, draw)
        lying.CopyFrom(n)
        lying.attribute.append(attribute(name, a.type.name))
        lying.attribute[-1].type = draw.choice([x for x in (1, 2, 3, 6, 7, 8) if x != lying.attribute[-1].type])
        yield f"{name} that lies", lying
        twice = sound(schema, draw)
        twice.CopyFrom(n)
        twice.attribute.extend([attribute(name, a.type.name)] * 2)
        yield f"{name} twice", twice


def branch(node, out, depth):
    """An If one of whose branches has the node, depth levels down."""
    if depth > 1:
        node, out = branch(node, out, depth - 1), "r"
    value = helper.make_tensor_value_info(out, TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "g", [], [value])
    other = helper.make_node("Identity", ["x0"], [out])
    other = helper.make_graph([other], "g", [], [value])
    return helper.make_node("If", ["c"], ["r"], then_branch=graph, else_branch=other)


def model(node, version, depth):
    ins = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2, 3]) for n in dict.fromkeys(node.input) if n]
    if not any(i.name == "x0" for i in ins):
        ins.append(helper.make_tensor_value_info("x0", TensorProto.FLOAT, [2, 3]))
    out = next((n for n in node.output if n), "x0")
    if depth:
        node, out, domain = branch(node, out, depth), "r", node.domain
        ins.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))
    else:
        domain = node.domain
    outs = [helper.make_tensor_value_info(out, TensorProto.FLOAT, ["a"])]
    imports = [helper.make_opsetid(domain, version)] + ([helper.make_opsetid("", 17)] if domain else [])
    return helper.make_model(helper.make_graph([node], "g", ins, outs), opset_imports=imports, ir_version=10)


def main(seed):
    draw = random.Random(seed)
    known = {tuple(line.split()) for line in sys.stdin if line.strip()}
    versions = {}
    for s in onnx.defs.get_all_schemas_with_history():
        if (s.domain or "ai.onnx", s.name) in known:
            versions.setdefault((s.domain, s.name), []).append(s)
    for (domain, name), schemas in sorted(versions.items()):
        for s in schemas:
            for what, node in mutants(s, draw):
                for version in {s.since_version, s.since_version - 1, draw.choice([0, -1, 1, 5, 10, 17, 28])}:
                    if version != s.since_version and draw.random() < 0.8:
                        continue
                    if name in OWN and 1 <= version < s.since_version:
                        continue
                    depth = draw.choice([0, 0, 1, 3])
                    m = model(node, version, depth)
                    try:
                        checker.check_model(m)
                        verdict = ""
                    except checker.ValidationError as e:
                        verdict = str(e).splitlines()[0]
                    line = {"what": f"{name} {version}, {depth} branches: {what}", "verdict": verdict}
                    print(json.dumps(line | {"model": base64.b64encode(m.SerializeToString()).decode()}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
