"""Small parents of merges and conversions: the same shape, other numbers."""

from pathlib import Path

import gguf
import numpy as np

Tensors = dict[str, np.ndarray]


def write(path: Path, tensors: Tensors, *, name: str = "tiny", heads: int = 2) -> Path:
    """A GGUF file with these tensors (of float32 or float16) and little metadata."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_file_type(0)
    writer.add_head_count(heads)
    writer.add_block_count(2)
    writer.add_string("tokenizer.ggml.model", "none")
    writer.add_chat_template("{{ messages[0]['content'] }}")
    for key, numbers in tensors.items():
        writer.add_tensor(key, numbers)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def random_tensors(seed: int, kind: type = np.float32) -> Tensors:
    """An embedding, two layers of one matrix and one vector, and an expert's three dimensions."""
    rng = np.random.default_rng(seed)

    def some(*shape: int) -> np.ndarray:
        # Integers over a power of two: the same on every machine, whatever its mathematics library.
        return (rng.integers(-4096, 4096, shape) / 4096).astype(kind)

    return {
        "token_embd.weight": some(16, 64),
        "blk.0.attn_q.weight": some(64, 64),
        "blk.0.attn_norm.weight": some(64).astype(np.float32),
        "blk.1.attn_q.weight": some(64, 64),
        "blk.1.ffn_up_exps.weight": some(2, 32, 64),
        "output_norm.weight": some(64).astype(np.float32),
    }
