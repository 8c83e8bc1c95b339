"""Keeps training.json: how each model was made and how well it does."""

import json
import pathlib

FOLDER = pathlib.Path(__file__).resolve().parents[1]
FILE = FOLDER / "training.json"


def model_path(name):
    return str(FOLDER / f"{name}.onnx")


def adam(settings):
    """The training settings of nets.train in words."""
    return f"Adam lr {settings['lr']:g}, {settings['epochs']} epochs, batch {settings.get('batch', 100)}, seed {settings['seed']}"


def write(name, **facts):
    """Replaces the record of one model; keys stay sorted so that diffs are small."""
    records = json.loads(FILE.read_text()) if FILE.exists() else {}
    records[name] = facts
    FILE.write_text(json.dumps(records, indent=1, sort_keys=True) + "\n")
    print(name, facts)
