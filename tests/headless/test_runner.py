"""The runner on a real server: what it returns, and everything that it refuses to call a success."""

import asyncio
import time

import pytest
from PIL import Image

from sora_core.headless import comfy_program, runner
from sora_core.headless.runner import _Job, run_prompt, run_workflow
from sora_core.headless.workflow import WorkflowError

SLOW = ("TestSlow", {"steps": 5000, "seconds": 0.02})
"""A job that lasts longer than any test waits for it to be taken off the server."""


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_api_workflow_returns_the_saved_file(server, workflows):
    result = run_workflow(workflows / "api" / "image.json", server=server)
    assert [file.parent for file in result.files] == [server.output]
    assert Image.open(result.files[0]).size == (32, 24)


def test_ui_workflow_makes_the_same_picture_as_its_api_twin(server, workflows):
    ui = run_workflow(workflows / "image.json", server=server)
    api = run_workflow(workflows / "api" / "image.json", server=server)
    assert Image.open(ui.files[0]).tobytes() == Image.open(api.files[0]).tobytes()


def test_ui_workflow_uses_its_twin_without_comfy_cli(server, workflows, monkeypatch):
    monkeypatch.setattr(comfy_program, "comfy_program", lambda: None)
    assert run_workflow(workflows / "image.json", server=server).files


def test_ui_workflow_without_comfy_cli_and_twin_names_the_extra(server, workflows, monkeypatch, tmp_path):
    monkeypatch.setattr(comfy_program, "comfy_program", lambda: None)
    lonely = tmp_path / "image.json"
    lonely.write_bytes((workflows / "image.json").read_bytes())
    with pytest.raises(WorkflowError, match="install the extra 'headless'"):
        run_workflow(lonely, server=server)


def test_what_is_no_workflow_is_refused_before_a_server_is_started(monkeypatch, tmp_path):
    monkeypatch.setattr(runner, "comfy_server", lambda output: pytest.fail("a server was started"))
    path = tmp_path / "workflow.json"
    path.write_text("import torch")
    with pytest.raises(WorkflowError, match="cannot be read as JSON"):
        run_workflow(path)


def test_inputs_change_widgets(server, workflows):
    result = run_workflow(workflows / "api" / "image.json", server=server, inputs={"EmptyImage.width": 48})
    assert Image.open(result.files[0]).size == (48, 24)


def test_cached_run_still_returns_its_files(server, chain):
    prompt = chain(color=77)
    first, second = run_prompt(prompt, server), run_prompt(prompt, server)
    assert first.executed == {"1", "2"}
    assert second.cached == {"1", "2"}
    assert second.files == first.files


def test_progress_counts_up_to_the_end(server, chain):
    seen = []
    run_prompt(chain(("TestSlow", {"steps": 4, "seconds": 0.12})), server, on_progress=lambda *step: seen.append(step))
    assert seen == sorted(seen)
    assert seen[-1] == ("TestSlow", 4, 4)


def test_partly_rejected_graph_fails_and_leaves_nothing_running(server, chain, idle):
    prompt = chain(SLOW)
    prompt["9"] = {"class_type": "SaveImage", "inputs": {"filename_prefix": "dropped"}}
    with pytest.raises(WorkflowError, match=r"node 9 \(SaveImage\).*images") as caught:
        run_prompt(prompt, server)
    assert (caught.value.kind, caught.value.node) == ("rejected", "9")
    wait_until(idle)


@pytest.mark.parametrize(
    ("node", "change", "said"),
    [
        ("1", {"inputs": {"width": -4, "height": 24, "batch_size": 1, "color": 0}}, r"1 \(EmptyImage\).*width"),
        ("2", {"class_type": "NoSuchNode"}, "NoSuchNode"),
    ],
)
def test_rejected_graph_names_the_fault(server, chain, node, change, said):
    prompt = chain()
    prompt[node].update(change)
    with pytest.raises(WorkflowError, match=said) as caught:
        run_prompt(prompt, server)
    assert caught.value.kind == "rejected"


def test_graph_without_outputs_is_rejected(server, chain):
    prompt = chain()
    del prompt["2"]
    with pytest.raises(WorkflowError, match="no outputs"):
        run_prompt(prompt, server)


def test_failing_node_is_named_with_its_message(server, chain):
    with pytest.raises(
        WorkflowError, match=r"2 \(TestFail\) failed with ValueError: the picture is too blue"
    ) as caught:
        run_prompt(chain(("TestFail", {})), server)
    assert (caught.value.kind, caught.value.node) == ("execution", "2")


def test_silently_blocked_output_is_missing_even_if_another_one_saved(server, chain):
    prompt = chain(("TestBlock", {}))
    prompt["9"] = {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "test"}}
    with pytest.raises(WorkflowError, match=r"3 \(SaveImage\) showed no result") as caught:
        run_prompt(prompt, server)
    assert (caught.value.kind, caught.value.node) == ("missing_output", "3")


def test_output_node_known_to_be_silent_is_accepted(server, chain):
    prompt = chain(end="TestQuiet")
    with pytest.raises(WorkflowError, match=r"2 \(TestQuiet\) showed no result"):
        run_prompt(prompt, server, require_files=False)
    assert run_prompt(prompt, server, require_files=False, silent=["TestQuiet"]).outputs == {}


def test_promised_file_that_is_not_there_is_missing(server, chain):
    with pytest.raises(WorkflowError, match=r"2 \(TestPromise\) did not write .*never\.png"):
        run_prompt(chain(end="TestPromise"), server)


def test_preview_alone_is_a_result_only_if_no_file_is_required(server, chain):
    with pytest.raises(WorkflowError, match="saved no file"):
        run_prompt(chain(end="PreviewImage"), server)
    assert run_prompt(chain(end="PreviewImage", color=3), server, require_files=False).files == []


def test_interrupt_by_someone_else_is_reported(server, chain, idle):
    asked = []

    def interrupt_once(*step):
        if not asked:
            asked.append(step)
            server.post("/interrupt")

    with pytest.raises(WorkflowError, match=r"interrupted at node 2 \(TestSlow\)") as caught:
        run_prompt(chain(SLOW), server, on_progress=interrupt_once)
    assert caught.value.kind == "interrupted"
    wait_until(idle)


def test_timeout_takes_the_job_off_the_server(server, chain, idle):
    with pytest.raises(WorkflowError, match=r"interrupted after 0\.3 s") as caught:
        run_prompt(chain(SLOW), server, timeout=0.3)
    assert caught.value.kind == "timeout"
    wait_until(idle)
    assert run_prompt(chain(color=5), server).files


def test_cancelling_takes_the_job_off_the_server(server, chain, idle):
    job = _Job(chain(SLOW), server, lambda *step: None, ())

    async def cancel_once_running():
        task = asyncio.create_task(job.run(60, True))
        while "2" not in job.executed:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel_once_running())
    wait_until(idle)
