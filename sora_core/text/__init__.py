"""What the user writes: tokens for the network, longer prompts from short ones, and prompts that change over time."""
