"""The version of the wheel: that of the tag, or 0.0.0.dev0 between tags."""

import os
import re

__version__ = os.environ.get("RELUPATH_VERSION", "").removeprefix("v") or "0.0.0.dev0"
if not re.fullmatch(r"\d+(\.\d+)*((a|b|rc|\.dev)\d+)?", __version__):
    __version__ = "0.0.0.dev0"
