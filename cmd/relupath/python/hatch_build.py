"""Puts the program into the wheel, as a script: built with Go, or RELUPATH_BINARY.

GOOS and GOARCH choose another platform, as for go build.
"""

import os
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PLATFORMS = {
    "linux/amd64": "manylinux2014_x86_64.musllinux_1_1_x86_64",
    "linux/arm64": "manylinux2014_aarch64.musllinux_1_1_aarch64",
    "darwin/amd64": "macosx_12_0_x86_64",
    "darwin/arm64": "macosx_12_0_arm64",
    "windows/amd64": "win_amd64",
}


class Program(BuildHookInterface):
    def initialize(self, version, build_data):
        goos, goarch = os.environ.get("GOOS"), os.environ.get("GOARCH")
        if not (goos and goarch):
            goos, goarch = subprocess.check_output(["go", "env", "GOOS", "GOARCH"], text=True).split()
        platform = f"{goos}/{goarch}"
        tag = PLATFORMS.get(platform, sysconfig.get_platform().replace("-", "_").replace(".", "_"))
        self.folder = tempfile.mkdtemp()
        program = Path(self.folder, "relupath.exe" if goos == "windows" else "relupath")
        given = os.environ.get("RELUPATH_BINARY")
        if given:
            shutil.copy(given, program)
        else:
            # Without a search for OpenBLAS the Linux program is static, and runs with any libc.
            static = ["-tags", "noblas"] if goos == "linux" else []
            flags = Path(self.root, "..", "release.flags").read_text().splitlines()
            subprocess.run(
                ["go", "build", "-buildvcs=auto", *flags, *static, "-o", str(program), ".."],
                cwd=self.root,
                env={**os.environ, "CGO_ENABLED": "0"},
                check=True,
            )
        build_data["tag"] = f"py3-none-{tag}"
        build_data["pure_python"] = False
        build_data["shared_scripts"][str(program)] = program.name

    def finalize(self, version, build_data, artifact_path):
        shutil.rmtree(self.folder, ignore_errors=True)
