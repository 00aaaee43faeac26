"""The pack's blocks: everything that knows ComfyUI. The work itself is done by sora_core."""

from comfy_api.latest import ComfyExtension, io
from typing_extensions import override

from . import folders
from .comfy_model.family import register
from .decode import SoraDecodeVideo
from .describe import SoraDescribeVideo
from .editing_change import SoraEditVideo
from .editing_connect import SoraConnectVideos, SoraPromptTimeline
from .editing_extend import SoraExtendVideo, SoraJoinVideos
from .editing_fit import SoraFitModel, SoraResampleSampler
from .editing_flow import SoraFlowEdit
from .editing_loop import SoraDecodeLoop, SoraSeamlessLoop
from .editing_place import SoraPlaceFrames
from .editing_tile import SoraTileModel
from .encode import SoraEncodeVideo
from .grid import SoraNoiseGrid, SoraNoiseGridLike
from .load import SoraLoadModel
from .load_clips import SoraLoadClips
from .long import SoraLongVideoSampler
from .metrics import SoraVideoMetrics
from .play import SoraPlayWorld
from .prompt import SoraExpandPrompt, SoraTextEncode
from .sample import SoraSampler, SoraSchedule
from .train import SoraTrain
from .world import SoraWorldClips

BLOCKS: list[type[io.ComfyNode]] = [
    SoraLoadModel,
    SoraExpandPrompt,
    SoraDescribeVideo,
    SoraTextEncode,
    SoraNoiseGrid,
    SoraNoiseGridLike,
    SoraSchedule,
    SoraSampler,
    SoraLongVideoSampler,
    SoraPlayWorld,
    SoraEncodeVideo,
    SoraDecodeVideo,
    SoraPlaceFrames,
    SoraExtendVideo,
    SoraJoinVideos,
    SoraSeamlessLoop,
    SoraDecodeLoop,
    SoraEditVideo,
    SoraFlowEdit,
    SoraConnectVideos,
    SoraPromptTimeline,
    SoraFitModel,
    SoraTileModel,
    SoraResampleSampler,
    SoraWorldClips,
    SoraVideoMetrics,
    SoraLoadClips,
    SoraTrain,
]


class SoraExtension(ComfyExtension):
    """What ComfyUI asks for the blocks."""

    @override
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return BLOCKS


async def comfy_entrypoint() -> SoraExtension:
    """Called by ComfyUI once, when it loads the pack."""
    folders.register()
    register()
    return SoraExtension()
