"""A training that is killed goes on where it was, and ends in the bundle of an undisturbed one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import SMALL
from world import DAY, END

from recsys.bundle import MANIFEST, Bundle
from recsys.training.stages import UNFINISHED

N_KILLS = 10

SERVER = r"""
import json, os, re, signal, sys, traceback
from pathlib import Path
import implicit.cpu.als, lightgbm, sklearn.cluster, torch, transformers.models.bert.modeling_bert  # once, for all that are forked
import numpy as np
from recsys.config import parse_config
from recsys.data.dataset import Dataset
from recsys.training.pipeline import train

def strike_at(root, moment, number):
    '''Note every write below root, and send the signal right before the one that is the moment.'''
    own_id = re.compile(rf"[-.]{os.getpid()}(?=[-/]|$)")
    def watch(event, details):
        if event == "open" and not set(details[1] or "") & set("wxa"):
            return
        if event in ("open", "os.mkdir", "os.rename", "os.remove", "shutil.rmtree") and str(details[0]).startswith(root):
            seen.append(f"{event} {own_id.sub('-PID', str(details[0])[len(root):])}")
            if seen[-1] == moment:
                signal.raise_signal(number)
    seen = []
    sys.addaudithook(watch)
    return seen

shop, settings, as_of = sys.argv[1], json.loads(sys.argv[2]), np.datetime64(sys.argv[3], "us")
signal.signal(signal.SIGINT, signal.default_int_handler)
for line in sys.stdin:
    root, moment, number = json.loads(line)
    if (child := os.fork()) == 0:
        code = 1
        try:
            seen = strike_at(root, moment, number)
            train(Dataset.load(Path(shop)), parse_config(settings, "test"), as_of, Path(root) / "bundles", work=Path(root) / "work")
            print(json.dumps(seen), flush=True)
            code = 0
        except KeyboardInterrupt:
            code = 130
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Trainer:
    """Trains the small shop in processes of its own, each struck by a signal at a given moment."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.moments: list[str] = []

    def run(self, root: Path, moment: str = "", number: int = signal.SIGKILL) -> int:
        """Exit code of one training: minus the number of the signal that killed it, 130 = interrupted. 0 sets `moments`: all writes."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([str(root), moment, number]) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if answer.startswith("["):
            self.moments = json.loads(answer)
            answer = self.process.stdout.readline()
        return int(answer)


@pytest.fixture(scope="module")
def trainer(small_shop: Path) -> Iterator[Trainer]:
    command = [sys.executable, "-c", SERVER, str(small_shop), json.dumps(SMALL), str(END - 28 * DAY)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Trainer(process)


@pytest.fixture(scope="module")
def moments(trainer: Trainer, small_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Every write of an undisturbed training that happens once, in order; its bundle is that of a training in this process."""
    root = tmp_path_factory.mktemp("undisturbed")
    assert trainer.run(root) == 0
    assert (the_bundle(root) / MANIFEST).read_bytes() == (small_bundle / MANIFEST).read_bytes()
    times = Counter(trainer.moments)
    return [moment for moment in trainer.moments if times[moment] == 1]


def the_bundle(root: Path) -> Path:
    (bundle,) = (root / "bundles").iterdir()
    return bundle


def assert_as_if_undisturbed(root: Path, small_bundle: Path) -> None:
    assert (the_bundle(root) / MANIFEST).read_bytes() == (small_bundle / MANIFEST).read_bytes()
    assert Bundle.load(the_bundle(root)).version == small_bundle.name
    assert not list(root.rglob(f"{UNFINISHED}*"))


def test_a_training_killed_at_ten_random_moments_ends_like_an_undisturbed_one(
    trainer: Trainer, moments: list[str], small_bundle: Path, tmp_path: Path
) -> None:
    drawn = np.sort(np.random.default_rng(20).choice(len(moments), N_KILLS, replace=False))
    assert drawn[-1] - drawn[0] > len(moments) // 2
    for moment in drawn:
        assert trainer.run(tmp_path, moments[moment]) == -signal.SIGKILL
        assert not [bundle for bundle in (tmp_path / "bundles").glob("[!.]*") if not (bundle / MANIFEST).is_file()]
    assert trainer.run(tmp_path) == 0
    assert_as_if_undisturbed(tmp_path, small_bundle)


def test_a_kill_right_before_the_bundle_gets_its_name_leaves_none_and_is_made_good(
    trainer: Trainer, moments: list[str], small_bundle: Path, tmp_path: Path
) -> None:
    last = moments[-1]
    assert last == f"os.rename /bundles/{UNFINISHED.rstrip('-')}-PID"
    assert trainer.run(tmp_path, last) == -signal.SIGKILL
    assert not list((tmp_path / "bundles").glob("[!.]*"))
    assert trainer.run(tmp_path) == 0
    assert_as_if_undisturbed(tmp_path, small_bundle)


@pytest.mark.parametrize("share", [0.3, 0.95])
def test_ctrl_c_leaves_nothing_half_done(share: float, trainer: Trainer, moments: list[str], small_bundle: Path, tmp_path: Path) -> None:
    assert trainer.run(tmp_path, moments[int(share * len(moments))], signal.SIGINT) == 130
    assert not list(tmp_path.rglob(f"{UNFINISHED}*"))
    assert trainer.run(tmp_path) == 0
    assert_as_if_undisturbed(tmp_path, small_bundle)
