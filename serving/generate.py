"""Writes `serving/pb` from `proto`: ``python -m serving.generate``; with ``--check``, fails when what is there is not up to date.

protoc makes modules that import each other as ``recsys.v1``, the name of the proto package, which is our engine's name too.
Those imports are rewritten to where the modules are, so that both can be loaded in one process.
"""

from __future__ import annotations

import argparse
import importlib.resources
import re
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROTOS = ROOT / "proto"
TARGET = ROOT / "serving" / "pb"


def generate(protos: Path = PROTOS) -> dict[str, str]:
    """The generated files: path inside `serving/pb`, with forward slashes, and content.

    Raises:
        RuntimeError: a proto file is wrong, or protoc or one of its plugins is missing; the message is protoc's.
    """
    with tempfile.TemporaryDirectory() as folder:
        _run_protoc(protos, Path(folder))
        files = {_relative(path, Path(folder)): _rewritten(path) for path in Path(folder).rglob("*.py*")}
    packages = {(parent / "__init__.py").as_posix() for name in files for parent in Path(name).parents}
    return dict(sorted({**dict.fromkeys(packages, ""), **files}.items()))


def differences(files: Mapping[str, str], target: Path = TARGET) -> list[str]:
    """Paths inside the target folder that are missing, stale, or different from the given files, sorted."""
    paths = [*target.rglob("*.py"), *target.rglob("*.pyi")]
    present = {_relative(path, target): path.read_text(encoding="utf-8") for path in paths}
    return sorted(name for name in {*files, *present} if files.get(name) != present.get(name))


def write(files: Mapping[str, str], target: Path = TARGET) -> list[str]:
    """Make the target folder hold exactly the given files; returns the paths that changed."""
    changed = differences(files, target)
    for name in changed:
        if name in files:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_text(files[name], encoding="utf-8")
        else:
            (target / name).unlink()
    return changed


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m serving.generate", description="Write serving/pb from proto.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when a file is not up to date")
    check = parser.parse_args(arguments).check
    files = generate()
    changed = differences(files) if check else write(files)
    for name in changed:
        print(f"serving/pb/{name} {'is not up to date; run: python -m serving.generate' if check else 'written'}")
    return int(check and bool(changed))


def _run_protoc(protos: Path, out: Path) -> None:
    scripts = Path(sysconfig.get_path("scripts"))
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{protos}", f"-I{importlib.resources.files('grpc_tools') / '_proto'}"]
    command += [f"--plugin={name}={scripts / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
    command += [f"--python_out={out}", f"--grpc_python_out={out}", f"--mypy_out=quiet:{out}", f"--mypy_grpc_out=quiet,only_sync:{out}"]
    command += sorted(str(path.relative_to(protos)) for path in protos.rglob("*.proto"))
    result = subprocess.run(command, capture_output=True, text=True, cwd=protos, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"protoc failed: {result.stderr.strip()}")


def _rewritten(path: Path) -> str:
    return re.sub(r"^from recsys\.", "from serving.pb.recsys.", path.read_text(encoding="utf-8"), flags=re.MULTILINE)


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


if __name__ == "__main__":
    sys.exit(main())
