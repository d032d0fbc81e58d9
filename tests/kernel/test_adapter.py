"""The adapter (tests/adapter): packets on one side, socket calls on the other. Its cases, each in a namespace of its own."""

import os
import sys

from harness import BUILD, ROOT, Skip, run

FOLDER = os.path.join(ROOT, "tests", "adapter")
ADAPTER = os.path.join(BUILD, "tests", "adapter", "adapter.so")
sys.path.insert(0, FOLDER)
import cases  # noqa: E402


def runtime():
    """A sanitized object needs its runtime loaded before anything else; which one it names itself."""
    needed = run("objdump", "-p", ADAPTER).stdout
    names = [line.split()[1] for line in needed.splitlines() if "NEEDED" in line and "san.so" in line]
    return [run("cc", "-print-file-name=" + name.split(".so")[0] + ".so").stdout.strip() for name in names]


def run_case(name):
    if not os.path.exists(ADAPTER):
        raise Skip("the adapter was not built")
    environment = dict(os.environ, ASAN_OPTIONS="detect_leaks=0", LD_PRELOAD=" ".join(runtime()))
    done = run("unshare", "--net", sys.executable, os.path.join(FOLDER, "cases.py"), ADAPTER, name, check=False, timeout=120,
               env=environment)
    said = done.stdout + done.stderr
    assert done.returncode == 0 and "Sanitizer" not in said and "runtime error" not in said, said[-6000:]


def as_test(case):
    def test():
        run_case(case.__name__)

    test.__doc__ = case.__doc__
    return test


for each in cases.CASES:
    globals()["test_" + each.__name__] = as_test(each)
