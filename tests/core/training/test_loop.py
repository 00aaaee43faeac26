"""The loop: learning rates, averages, reports, and steps that must not count."""

import json
import signal
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from sora_core.training.export import averaged_weights
from sora_core.training.loop import TrainConfig, averaged, forget_lines, train


class Line:
    """Fits y = 3 x - 1 with a linear layer."""

    def __init__(self, faulty=()):
        self.module = nn.Linear(1, 1)
        nn.init.zeros_(self.module.weight)
        nn.init.zeros_(self.module.bias)
        self.faulty, self.sheets = faulty, []

    def loss(self, step):
        x = torch.randn(16, 1, generator=torch.Generator().manual_seed(step))
        loss = (self.module(x) - (3 * x - 1)).square().mean()
        return loss * float("nan") if step in self.faulty else loss, {"seen": float(step)}, 16

    def sheet(self, path):
        self.sheets.append((path.name, self.module.weight.item(), self.module.training))


def test_the_rate_warms_up_holds_and_falls_to_zero():
    config = TrainConfig(steps=100, lr=0.5, warmup=10, decay=0.3)
    rates = [config.rate(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.05)
    assert rates[9:70] == [0.5] * 61
    assert all(a > b for a, b in pairwise(rates[70:]))
    assert rates[100] == 0


def test_training_fits_and_returns_the_average(tmp_path):
    task = Line()
    ema = train(task, TrainConfig(steps=300, lr=0.5, warmup=1, ema=0.9), tmp_path, say=lambda _: None)
    assert task.module.weight.item() == pytest.approx(3, abs=0.1)
    assert float(ema["weight"]) == pytest.approx(3, abs=0.1)
    assert not torch.equal(ema["weight"], task.module.weight)


def test_reports_average_their_steps_and_are_kept(tmp_path):
    said = []
    train(Line(), TrainConfig(steps=5, report_every=2), tmp_path, say=said.append)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [json.loads(line) for line in said] == lines
    assert [(line["step"], line["seen"]) for line in lines] == [(2, 0.5), (4, 2.5), (5, 4.0)]
    assert all(line["samples_per_second"] > 0 for line in lines)


def test_the_time_of_a_contact_sheet_is_left_out_of_the_rate_and_that_of_steps_before_it_is_not(tmp_path, monkeypatch):
    clock = [0.0]

    class Timed(Line):
        def loss(self, step):
            clock[0] += 1
            return super().loss(step)

        def sheet(self, path):
            clock[0] += 100

    monkeypatch.setattr("sora_core.training.loop.time", SimpleNamespace(perf_counter=lambda: clock[0]))
    said = []
    train(Timed(), TrainConfig(steps=4, report_every=4, sheet_every=3), tmp_path, say=said.append)
    assert json.loads(said[0])["samples_per_second"] == 16


def test_a_figure_that_only_some_batches_have_is_the_mean_of_those(tmp_path):
    class Kinds(Line):
        def loss(self, step):
            loss, _, samples = super().loss(step)
            return loss, {"rare": 8.0} if step % 3 == 1 else {}, samples

    said = []
    train(Kinds(), TrainConfig(steps=4, report_every=3), tmp_path, say=said.append)
    assert [json.loads(line).get("rare") for line in said] == [8.0, None]


def test_a_step_with_a_broken_gradient_is_skipped_and_said(tmp_path):
    said, task = [], Line(faulty={1})
    train(task, TrainConfig(steps=3, lr=0.01, warmup=1), tmp_path, say=said.append)
    assert any("step 1: gradient norm is nan; the step is skipped" in line for line in said)
    assert torch.isfinite(task.module.weight).all()
    assert task.module.weight.item() != 0


def test_contact_sheets_show_the_average_and_give_the_weights_back(tmp_path):
    task = Line()
    ema = train(task, TrainConfig(steps=4, lr=0.1, warmup=1, sheet_every=2), tmp_path, say=lambda _: None)
    assert [name for name, _, _ in task.sheets] == ["sheet_0000002.png", "sheet_0000004.png"]
    assert task.sheets[1][1:] == (float(ema["weight"]), False)
    weight = task.module.weight.detach().clone()
    with averaged(task.module, ema):
        assert torch.equal(task.module.weight, weight) is False
    assert torch.equal(task.module.weight, weight)
    assert task.module.training


def test_a_finished_run_is_not_trained_again(tmp_path):
    config = TrainConfig(steps=3)
    train(Line(), config, tmp_path, say=lambda _: None)
    task, said = Line(), []
    train(task, config, tmp_path, say=said.append)
    assert said == ["resuming at step 3 of 3"]
    assert task.module.weight.item() != 0


def test_a_run_of_fewer_steps_than_are_done_is_refused(tmp_path):
    train(Line(), TrainConfig(steps=3), tmp_path, say=lambda _: None)
    with pytest.raises(ValueError, match=r"has 3 steps already, and a run of 2 was asked for; ask for 3 or more"):
        train(Line(), TrainConfig(steps=2), tmp_path, say=lambda _: None)


def test_a_request_to_end_finishes_the_step_and_keeps_it(tmp_path, request):
    class Interrupted(Line):
        def loss(self, step):
            if step == 3:
                signal.raise_signal(signal.SIGINT)
            return super().loss(step)

    # Programs that a shell starts in the background ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    config = TrainConfig(steps=6, report_every=1, lr=0.01)
    expected = train(Line(), config, tmp_path / "whole", say=lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        train(Interrupted(), config, tmp_path / "run", say=lambda _: None)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    said = []
    found = train(Line(), config, tmp_path / "run", say=said.append)
    assert said[0] == "resuming at step 4 of 6"
    assert torch.equal(found["weight"], expected["weight"])


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system does not say when a terminal is closed")
def test_a_closed_terminal_finishes_the_step_and_keeps_it_though_nothing_can_be_said(tmp_path, request):
    closed = []

    class Closed(Line):
        def loss(self, step):
            if step == 3:
                closed.append(step)
                for _ in ("the shell", "the system"):
                    signal.raise_signal(signal.SIGHUP)
            return super().loss(step)

    def say(line):
        if closed:
            raise OSError(5, "Input/output error")

    before = signal.signal(signal.SIGHUP, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGHUP, before))
    config = TrainConfig(steps=6, report_every=1)
    with pytest.raises(OSError, match="Input/output"):
        train(Closed(), config, tmp_path, say=say)
    assert signal.getsignal(signal.SIGHUP) is signal.default_int_handler
    said = []
    train(Line(), config, tmp_path, say=said.append)
    assert said[0] == "resuming at step 4 of 6"
    logged = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert logged == [1, 2, 3, 4, 5, 6]


def test_a_watch_sees_every_step_and_ends_the_run_with_its_state_saved(tmp_path):
    config = TrainConfig(steps=6, report_every=1, lr=0.01, sheet_every=0)
    expected = train(Line(), config, tmp_path / "whole", say=lambda _: None)
    seen = []

    def watch(step, loss):
        seen.append((step, loss))
        return step == 4

    with pytest.raises(KeyboardInterrupt):
        train(Line(), config, tmp_path / "run", say=lambda _: None, watch=watch)
    task = Line()
    found = train(task, config, tmp_path / "run", say=lambda _: None, watch=lambda *_: False)
    assert torch.equal(found["weight"], expected["weight"])
    assert task.sheets == []
    logged = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert seen == [(line["step"], pytest.approx(line["loss"], abs=1e-5)) for line in logged[:4]]


def test_what_was_logged_after_the_saved_step_is_forgotten(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps({"step": step}) + "\n" for step in (1, 2, 3, 4)))
    forget_lines(log, 2)
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [1, 2]


def test_a_line_of_the_log_that_is_not_whole_does_not_stop_a_run(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 1}\n{"step": 2, "lo')
    forget_lines(log, 2)
    assert log.read_text() == '{"step": 1}\n'


def test_a_run_that_goes_on_remembers_what_it_began_with(tmp_path):
    train(Line(), TrainConfig(steps=2, fresh=True), tmp_path, say=lambda _: None)
    train(Line(), TrainConfig(steps=4), tmp_path, say=lambda _: None)
    about = averaged_weights(tmp_path / "state.safetensors")[1]
    assert (about["step"], about["fresh"]) == (4, True)
