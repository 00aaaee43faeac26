"""Custom nodes that misbehave in known ways, loaded by the test server beside the real pack."""

import time

import comfy.model_management
import comfy.utils
from comfy_api.latest import ComfyExtension, io


class Slow(io.ComfyNode):
    """Takes its time in steps, reports each and can be interrupted at each."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        inputs = [io.Image.Input("image"), io.Int.Input("steps", min=1), io.Float.Input("seconds", step=0.001)]
        return io.Schema("TestSlow", category="test", inputs=inputs, outputs=[io.Image.Output()])

    @classmethod
    def execute(cls, image, steps, seconds) -> io.NodeOutput:
        progress = comfy.utils.ProgressBar(steps)
        for _ in range(steps):
            comfy.model_management.throw_exception_if_processing_interrupted()
            time.sleep(seconds)
            progress.update(1)
        return io.NodeOutput(image)


class Fail(io.ComfyNode):
    """Raises."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema("TestFail", category="test", inputs=[io.Image.Input("image")], outputs=[io.Image.Output()])

    @classmethod
    def execute(cls, image) -> io.NodeOutput:
        raise ValueError("the picture is too blue")


class Block(io.ComfyNode):
    """Blocks everything after it without a word."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema("TestBlock", category="test", inputs=[io.Image.Input("image")], outputs=[io.Image.Output()])

    @classmethod
    def execute(cls, image) -> io.NodeOutput:
        from comfy_execution.graph import ExecutionBlocker

        return io.NodeOutput(ExecutionBlocker(None))


class Promise(io.ComfyNode):
    """Names a file that it did not write."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema("TestPromise", category="test", is_output_node=True, inputs=[io.Image.Input("image")])

    @classmethod
    def execute(cls, image) -> io.NodeOutput:
        return io.NodeOutput(ui={"images": [{"filename": "never.png", "subfolder": "", "type": "output"}]})


class Quiet(io.ComfyNode):
    """An output node that shows nothing."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema("TestQuiet", category="test", is_output_node=True, inputs=[io.Image.Input("image")])

    @classmethod
    def execute(cls, image) -> io.NodeOutput:
        return io.NodeOutput()


class Extension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [Slow, Fail, Block, Promise, Quiet]


async def comfy_entrypoint() -> Extension:
    return Extension()
