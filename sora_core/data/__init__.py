"""Where training clips come from: folders of real videos, and procedural worlds with their ground truth."""
