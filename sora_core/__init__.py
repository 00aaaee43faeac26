"""Sora: video as spacetime patches, denoised by a transformer. Importing this package imports nothing heavy."""

__version__ = "0.1.0"
