"""Rounds of a language model: LoRA adapters in integers, what PyTorch computes of them in a class, and their merge."""
