"""Makes the demo video: runs workflows/text_to_video.json in a real ComfyUI through comfy-cli and prints its path."""

import sys
import time

from .comfy_program import run_with_comfy_cli
from .comfyui import PACK_ROOT, ComfyUIMissingError
from .server import ServerError, comfy_server
from .workflow import WorkflowError

WORKFLOW = PACK_ROOT / "workflows" / "text_to_video.json"


def main() -> int:
    """Runs the demo; returns 0 only if an MP4 was saved."""
    start = time.monotonic()
    try:
        print("Starting ComfyUI ...", flush=True)
        with comfy_server(output=PACK_ROOT / "output") as server:
            print(f"Running {WORKFLOW.relative_to(PACK_ROOT)} ...", flush=True)
            videos = [file for file in run_with_comfy_cli(WORKFLOW, server) if file.suffix == ".mp4"]
    except (ComfyUIMissingError, ServerError, WorkflowError) as error:
        print(error, file=sys.stderr)
        return 1
    if not videos:
        print(f"{WORKFLOW} saved no MP4.", file=sys.stderr)
        return 1
    print(f"Done in {time.monotonic() - start:.0f} s:")
    print(*videos, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
