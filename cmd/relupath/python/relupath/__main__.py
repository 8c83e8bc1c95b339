"""python -m relupath: the program with the same arguments."""

import os
import subprocess
import sys

from ._program import find_program


def main() -> None:
    command = [find_program(), *sys.argv[1:]]
    if sys.platform == "win32":
        sys.exit(subprocess.run(command).returncode)
    os.execv(command[0], command)


main()
