import subprocess
import sys
from pathlib import Path

import pytest

from serving.generate import differences, generate, main, write


def test_generated_code_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0
    assert capsys.readouterr().out == ""


def test_whatever_differs_is_named_and_written_again(tmp_path: Path) -> None:
    files = {"a.py": "1", "b/c.pyi": "2"}
    assert write(files, tmp_path) == ["a.py", "b/c.pyi"]
    (tmp_path / "a.py").write_text("edited")
    (tmp_path / "stale.py").write_text("from a proto file that is gone")
    assert differences(files, tmp_path) == ["a.py", "stale.py"]
    write(files, tmp_path)
    assert differences(files, tmp_path) == []


def test_an_error_in_a_proto_file_is_reported_in_the_words_of_protoc(tmp_path: Path) -> None:
    (tmp_path / "bad.proto").write_text('syntax = "proto3"; message M { strin a = 1; }')
    with pytest.raises(RuntimeError, match=r"bad\.proto.*strin"):
        generate(tmp_path)


def test_engine_and_generated_code_live_in_one_process() -> None:
    script = (
        "import recsys.types, serving.pb.recsys.v1.recommender_pb2_grpc as wire\n"
        "assert recsys.types.Query.__module__ == 'recsys.types'\n"
        "assert wire.RecommenderServiceStub.__module__ == 'serving.pb.recsys.v1.recommender_pb2_grpc'"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)
