"""Runs ComfyUI workflows without a browser, in a real ComfyUI as a child process; start at `runner.run_workflow`."""
