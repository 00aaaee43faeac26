"""The diffusion process: noise levels, predicting the clean latent, and walking from noise to video."""
