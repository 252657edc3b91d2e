"""`python -m snnc_check ARTEFACT MODEL.onnx [--json]`: checks the certificate of an artefact of snnc.

Exit codes: 0 nothing is refuted, 1 a statement is refuted, 2 wrong usage, 4 the files are refused.
"""

import argparse
import json
import sys

from .check import check
from .common import WRONG, Refused


def main(argv=None):
    parser = argparse.ArgumentParser(prog="snnc_check", description=__doc__.splitlines()[0])
    parser.add_argument("artefact", help="the folder of one target")
    parser.add_argument("model", help="the ONNX file it was compiled from")
    parser.add_argument("--json", action="store_true", help="the answers as JSON")
    arguments = parser.parse_args(argv)
    try:
        answers = check(arguments.artefact, arguments.model)
    except (Refused, OSError) as e:
        print(json.dumps({"refused": str(e)}) if arguments.json else f"refused: {e}")
        return 4
    if arguments.json:
        print(json.dumps({"answers": answers}, indent=2, default=str))
    else:
        for a in answers:
            print(f"{a['population']}: {a['claim']}: {a['answer']} ({a['why']})")
            if "witness" in a:
                print(f"  witness: {json.dumps(a['witness'], default=str)[:400]}")
    return int(any(a["answer"] == WRONG for a in answers))


if __name__ == "__main__":
    sys.exit(main())
