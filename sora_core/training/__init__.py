"""Training of the compression network, the text encoder and the transformer with one loop."""
