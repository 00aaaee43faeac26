"""Several processes train what one process trains: the same state after the same steps, saved and reported once."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sora_core.cli import main
from sora_core.data.latents import LatentShard, encode_store
from sora_core.data.store import ClipStore
from sora_core.training import parallel, sharding, state
from sora_core.training.dit import DiTTask
from sora_core.training.loop import TrainConfig, train

pytestmark = pytest.mark.timeout(900)
CONFIG = TrainConfig(steps=4, slots=2, warmup=2, save_every=2, report_every=3, sheet_every=2)
UNCLIPPED = TrainConfig(**vars(CONFIG) | {"clip": 1e9})
"""The norm of divided gradients is added up in another order, so what it scales would not be the same bits."""
LONGER = TrainConfig(**vars(UNCLIPPED) | {"steps": 6})
MORE_SLOTS = TrainConfig(**vars(CONFIG) | {"steps": 2, "slots": 4})


class Parts:
    """Three numbers: one that every batch uses, one that only slots above 0 use, and one that none uses."""

    def __init__(self):
        self.module = torch.nn.ParameterDict({name: torch.nn.Parameter(torch.ones(3)) for name in "abc"})
        self.numbers = []

    def loss(self, number):
        self.numbers.append(number)
        x = torch.rand(3, generator=torch.Generator().manual_seed(number))
        used = self.module["a"] + (self.module["b"] if number > 1000 else 0)
        return (used - x).square().sum(), {"odd" if number > 1000 else "even": float(number % 2**32)}, 1

    def sheet(self, path):
        path.write_text(str(parallel.rank()))


def transformer(nano, folder, *, shard=False):
    """The transformer's task on the latents of a folder."""
    shards = [LatentShard.load(path) for path in sorted(folder.iterdir())]
    task = DiTTask(nano.config, shards, nano.text, nano.vae, tokens=120, compile=False, shard=shard)
    if not shard:
        task.sheet = lambda path: None
    return task


RUN = """
import sys
from pathlib import Path
import torch
from sora_core.pipeline import Sora
from sora_core.training import parallel
from sora_core.training.loop import train
from sora_core.training.sharding import refuse_uneven

sys.path.insert(0, sys.argv[1])
from test_parallel import CONFIG, Parts, transformer

nano, latents, out = map(Path, sys.argv[2:5])
with parallel.processes():
    task = Parts()
    train(task, CONFIG, out / "parts")
    (out / f"numbers_{parallel.rank()}").write_text(str(task.numbers))
    task = transformer(Sora.load(nano), latents)
    with torch.no_grad():  # all must start from the weights of process 0
        task.dit.entry.weight.add_(parallel.rank())
    train(task, CONFIG, out / "dit")
    try:
        parallel.agree_on_start(10 * parallel.rank(), [])
    except ValueError as error:
        print(error)
    for refused in (parallel.own_slots, refuse_uneven):
        try:
            refused(1)
        except ValueError as error:
            print(error)
    refuse_uneven(4)
"""

SHARDED = """
import shutil, sys
from pathlib import Path
import torch
from sora_core.cli.training_tasks import start_from
from sora_core.pipeline import Sora
from sora_core.training import dit, parallel
from sora_core.training.loop import train
from sora_core.training.sharding import is_sharded, own, own_rows

sys.path.insert(0, sys.argv[1])
from test_parallel import LONGER, MORE_SLOTS, UNCLIPPED, transformer

nano, latents, plain, out = map(Path, sys.argv[2:6])
dit.PROMPTS = ("a red ball",)
with parallel.processes():
    sora = Sora.load(nano)
    task = transformer(sora, latents, shard=True)
    train(task, UNCLIPPED, out / "sharded")
    held = sum(own(p).untyped_storage().nbytes() // 4 for p in task.dit.blocks.parameters())
    (out / f"held_{parallel.rank()}").write_text(str(held))
    for start, end, shard in ((out / "sharded", "then_whole", False), (plain, "then_sharded", True)):
        if parallel.rank() == 0:
            shutil.copytree(start, out / end)
        parallel.wait_for_all()
        train(transformer(sora, latents, shard=shard), LONGER, out / end)
    task = transformer(sora, latents, shard=True)
    train(task, MORE_SLOTS, out / "more_slots")
    task.fit_reader = lambda: None
    start_from(task, "dit", nano)
    for name, p in task.dit.named_parameters():
        whole = sora.dit.get_parameter(name)
        assert torch.equal(own(p), whole[own_rows(p)] if is_sharded(p) else whole), name
"""


def torchrun(*command):
    """Start two processes; each computes with as many threads as this one, so that sums are rounded alike."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    pipe = subprocess.PIPE
    with subprocess.Popen([*launcher, *command], stdout=pipe, stderr=pipe, text=True, env=environment) as process:
        try:
            said, errors = process.communicate()
        except BaseException:
            # What it started has sessions of its own and would wait for a day; it alone ends that.
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=60)
            process.kill()
            raise
    assert process.returncode == 0, errors
    return said


def differences(a, b):
    """The names of the tensors that two states do not share bit for bit."""
    one, other = load_file(a / "state.safetensors"), load_file(b / "state.safetensors")
    assert one.keys() == other.keys()
    return {name for name, value in one.items() if not torch.equal(value, other[name])}


@pytest.fixture(scope="module")
def latents(nano, clips, tmp_path_factory):
    folder = tmp_path_factory.mktemp("latents")
    encode_store(nano.vae, ClipStore(clips), folder, say=lambda _: None)
    return folder


@pytest.fixture(scope="module")
def together(nano_file, latents, tmp_path_factory):
    """What two processes left in a folder, and what they said."""
    out = tmp_path_factory.mktemp("together")
    script = out / "run.py"
    script.write_text(RUN, encoding="utf-8")
    return out, torchrun(str(script), os.path.dirname(__file__), str(nano_file), str(latents), str(out))


def test_two_processes_with_two_slots_are_one_process_with_two_slots(together, nano, latents, tmp_path):
    train(transformer(nano, latents), CONFIG, tmp_path / "alone", say=lambda _: None)
    assert differences(together[0] / "dit", tmp_path / "alone") == set()
    # One slot is another run: the second slot did count.
    train(transformer(nano, latents), TrainConfig(**vars(CONFIG) | {"slots": 1}), tmp_path / "one", say=lambda _: None)
    assert "model.dit.entry.weight" in differences(together[0] / "dit", tmp_path / "one")


def test_a_run_of_two_processes_goes_on_in_one(together, nano, latents, tmp_path):
    longer = TrainConfig(**vars(CONFIG) | {"steps": 6})
    train(transformer(nano, latents), CONFIG, tmp_path, say=lambda _: None)
    said = []
    shutil.copytree(together[0] / "dit", tmp_path / "both")
    for out in (tmp_path, tmp_path / "both"):
        train(transformer(nano, latents), longer, out, say=said.append)
    assert said.count("resuming at step 4 of 6") == 2
    assert differences(tmp_path / "both", tmp_path) == set()


def test_one_process_trains_without_the_distributed_part_of_pytorch(tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "dist", SimpleNamespace(is_available=lambda: False))
    assert parallel.own_card() is None
    with parallel.processes():
        train(Parts(), CONFIG, tmp_path, say=lambda _: None)
    assert (tmp_path / "state.safetensors").is_file()


def test_each_process_computes_its_own_slots_and_parts_that_few_use_are_trained_alike(together, tmp_path):
    task = Parts()
    train(task, CONFIG, tmp_path, say=lambda _: None)
    own = [[n for n in task.numbers if (n > 1000) == bool(rank)] for rank in (0, 1)]
    assert own[0] == [0, 1, 2, 3]
    assert [(together[0] / f"numbers_{rank}").read_text() for rank in (0, 1)] == [str(numbers) for numbers in own]
    assert differences(together[0] / "parts", tmp_path) == set()
    # A parameter without a gradient has no state: weight decay and momentum must not begin on it.
    assert not [name for name in load_file(together[0] / "parts" / "state.safetensors") if "optimizer.c" in name]


def test_process_0_alone_reports_saves_and_draws(together, tmp_path):
    train(Parts(), CONFIG, tmp_path, say=lambda _: None)
    lines, alone = (
        [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
        for out in (together[0] / "parts", tmp_path)
    )
    assert [(line["step"], line["even"], line["odd"]) for line in lines] == [(3, 1.0, 1.0), (4, 3.0, 3.0)]
    for a, b in zip(lines, alone, strict=True):
        assert (a["loss"], a["norm"]) == pytest.approx((b["loss"], b["norm"]), abs=2e-6)
    assert (together[0] / "parts" / "sheet_0000004.png").read_text() == "0"


def test_what_processes_cannot_do_together_is_refused(together):
    said = together[1]  # lines of two processes may run into each other
    assert said.count("processes would start at steps 0, 10; all of them must see the same --out folder") == 2
    assert said.count("--slots is 1 and 2 processes train together; give --slots 2 or more") == 2
    assert said.count("--slots is 1 and --shard divides a model among 2 processes, which must compute equally") == 2


@pytest.fixture(scope="module")
def sharded(together, nano_file, latents, tmp_path_factory):
    """What two processes that divided the blocks left in a folder."""
    out = tmp_path_factory.mktemp("sharded")
    (out / "run.py").write_text(SHARDED, encoding="utf-8")
    here = os.path.dirname(__file__)
    torchrun(str(out / "run.py"), here, str(nano_file), str(latents), str(together[0] / "dit"), str(out))
    return out


def test_a_divided_transformer_is_trained_as_a_whole_one(sharded, nano, latents, tmp_path):
    train(transformer(nano, latents), UNCLIPPED, tmp_path, say=lambda _: None)
    assert differences(sharded / "sharded", tmp_path) == set()
    sheets = [path.name for path in sorted((sharded / "sharded").glob("*.png"))]
    assert sheets == ["sheet_0000002.png", "sheet_0000004.png"]


def test_its_gradients_are_clipped_alike_however_many_batches_a_process_computes(sharded, nano, latents, tmp_path):
    train(transformer(nano, latents), MORE_SLOTS, tmp_path, say=lambda _: None)
    line, alone = (
        json.loads((out / "log.jsonl").read_text().splitlines()[-1]) for out in (sharded / "more_slots", tmp_path)
    )
    assert alone["norm"] > 2 * MORE_SLOTS.clip
    assert (line["loss"], line["norm"]) == pytest.approx((alone["loss"], alone["norm"]), rel=1e-6, abs=2e-6)
    one, other = (load_file(out / "state.safetensors") for out in (sharded / "more_slots", tmp_path))
    assert one.keys() == other.keys()
    assert max(float((value - one[name]).norm() / value.norm().clamp(min=1e-9)) for name, value in other.items()) < 1e-4


def test_each_process_holds_half_of_the_blocks(sharded, nano):
    whole = sum(p.numel() for p in nano.dit.blocks.parameters())
    held = [int((sharded / f"held_{rank}").read_text()) for rank in (0, 1)]
    assert sum(held) == whole
    assert max(held) < 0.51 * whole


def test_a_run_goes_on_divided_or_whole(sharded, together, nano, latents, tmp_path):
    for start, end in (("sharded", "then_whole"), (together[0] / "dit", "then_sharded")):
        shutil.copytree(sharded / start, tmp_path / end)
        train(transformer(nano, latents), LONGER, tmp_path / end, say=lambda _: None)
        assert differences(sharded / end, tmp_path / end) == set()


class Divided:
    """Two rows of four numbers, of which a process holds some."""

    def __init__(self, held):
        self.held = torch.zeros(held, 4)

    def __len__(self):
        return 2

    def to_local(self):
        return self.held


@pytest.mark.parametrize(("process", "held"), [(0, 1), (1, 1), (2, 0), (7, 0)])
def test_of_more_processes_than_rows_all_go_on(process, held, tmp_path, monkeypatch):
    monkeypatch.setattr(sharding, "rank", lambda: process)
    monkeypatch.setattr(sharding, "world", lambda: 8)
    whole, tensor = torch.arange(8.0).view(2, 4), Divided(held)
    save_file({"x": whole}, tmp_path / "x.safetensors")
    with safe_open(tmp_path / "x.safetensors", framework="pt") as file:
        state._read(file, "x", tensor)
    assert torch.equal(tensor.held, whole[process : process + 1])


def test_one_process_cannot_divide(nano, latents, tmp_path, capsys):
    sentence = "--shard divides a model among processes and there is one; start several with torchrun"
    with pytest.raises(ValueError, match=sentence):
        transformer(nano, latents, shard=True)
    command = ["train", "dit", "--data", "none", "--out", str(tmp_path), "--steps", "1", "--shard"]
    assert main(command) == 2
    assert sentence in capsys.readouterr().err


def test_the_command_trains_alike_in_two_processes_and_in_one(clips, tmp_path):
    def command(out):
        return ["train", "vae", "--preset", "nano", "--data", str(clips), "--out", str(out),
                "--steps", "2", "--slots", "2"]  # fmt: skip

    said = torchrun("-m", "sora_core", *command(tmp_path / "two"))
    assert [json.loads(line)["step"] for line in said.splitlines()] == [2]
    assert main(command(tmp_path / "one")) == 0
    assert differences(tmp_path / "two", tmp_path / "one") == set()
    assert main([*command(tmp_path / "one"), "--slots", "0"]) == 2
