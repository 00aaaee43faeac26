"""Sora's networks as ComfyUI's own MODEL, CLIP and VAE: the only files that depend on its internals."""
