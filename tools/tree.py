"""What the tools share: the files of the checkout, and what a compiler needs to be told."""

import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-missing-field-initializers",
         "-Werror"]
PRIVATE = ["-Isrc", "-Iinclude", "-Iinclude/ndis"]


def files(*endings):
    """Files of the checkout (new ones included; ignored ones not), relative to ROOT. Without git: of the tree."""
    try:
        out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True,
                             check=True).stdout
        names = set(out.splitlines())
    except (OSError, subprocess.CalledProcessError):
        names = set()
        for top, folders, here in os.walk(ROOT):
            folders[:] = [f for f in folders if not f.startswith((".git", "build", "__pycache__"))]
            names.update(os.path.relpath(os.path.join(top, f), ROOT) for f in here)
    return sorted(name for name in names
                  if (not endings or name.endswith(endings)) and os.path.isfile(os.path.join(ROOT, name)))


def read(name):
    try:
        with open(os.path.join(ROOT, name), encoding="utf-8", errors="replace") as source:
            return source.read()
    except FileNotFoundError:
        return ""  # gone since it was listed
