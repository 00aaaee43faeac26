"""Run as a program by test_pack_import and benchmarks/startup.py: imports the pack beside a real ComfyUI.

Prints what that cost, touched and brought in, as JSON.

Arguments: the pack's folder, a base directory, ComfyUI's folder and what else has to be on sys.path.
"""

import asyncio
import importlib
import importlib.util
import json
import sys
import time


def prepare(base: str, comfyui: str, *more: str) -> None:
    """Imports all of ComfyUI that is there before any pack is."""
    sys.path[:] = [comfyui, *sys.path, *more]
    importlib.import_module("comfy.options").enable_args_parsing(False)
    args = importlib.import_module("comfy.cli_args").args
    args.cpu, args.base_directory = True, base
    importlib.import_module("utils.extra_config")
    importlib.import_module("nodes")
    importlib.import_module("comfy_api.latest")


def forget_installation() -> None:
    """Undoes the editable installation: most users clone the pack and install only its requirements."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if "__editable__" not in getattr(finder, "__module__", "")]
    sys.path[:] = [entry for entry in sys.path if "__editable__" not in entry]


def watch(events: list[str]) -> None:
    """Notes every connection and every file opened for writing from now on."""

    def hook(event: str, arguments: tuple) -> None:
        if event in ("socket.connect", "socket.getaddrinfo", "os.mkdir", "os.remove", "subprocess.Popen"):
            events.append(f"{event} {arguments}")
        elif event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
            events.append(f"write {arguments[0]}")

    sys.addaudithook(hook)


def load(pack: str) -> list[str]:
    """Imports the pack under the kind of name that ComfyUI gives it and returns the ids of its nodes."""
    spec = importlib.util.spec_from_file_location("/custom_nodes/sora", pack + "/__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["/custom_nodes/sora"] = module
    spec.loader.exec_module(module)
    extension = asyncio.run(module.comfy_entrypoint())
    return [node.define_schema().node_id for node in asyncio.run(extension.get_node_list())]


if __name__ == "__main__":
    pack, *where = sys.argv[1:]
    sys.dont_write_bytecode = True
    prepare(*where)
    before = time.process_time()
    forget_installation()
    touched: list[str] = []
    known = set(sys.modules)
    watch(touched)
    start = time.process_time()
    ids = load(pack)
    seconds = time.process_time() - start
    modules = [name for name in sys.modules if name not in known]
    print(json.dumps({"ids": ids, "seconds": seconds, "before": before, "touched": touched, "modules": modules}))
