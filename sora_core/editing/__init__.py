"""Prompting with images and videos: recipes that say which cells of a latent are given and how strongly."""
