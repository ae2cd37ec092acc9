"""``python -m fuzz.target <name> <libFuzzer arguments>``: one target under atheris, watching our own code."""

import sys

import atheris

with atheris.instrument_imports(include=["schema", "ops.sign", "ingress.verify", "fuzz.harness"]):
    from fuzz import harness

if __name__ == "__main__":
    name = sys.argv.pop(1)
    run, _ = harness.TARGETS[name]
    atheris.Setup(sys.argv, run)
    atheris.Fuzz()
