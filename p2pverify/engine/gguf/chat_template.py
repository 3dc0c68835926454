"""The chat template, as our own constant: ChatML with one user turn and no system message.

Peers must agree on token ids, so the template does not come from the weights' metadata, whose Jinja text adds a
system message that llama.cpp's built-in templates leave out. Turning it into tokens is the engine's work.
"""

import hashlib

BEFORE = "<|im_start|>user\n"
AFTER = "<|im_end|>\n<|im_start|>assistant\n"
TEXT = BEFORE + "{}" + AFTER
SHA256 = hashlib.sha256(TEXT.encode()).digest()

OPENERS = (
    *("What", "How", "Why", "Which", "Who", "When", "Where", "Can", "Could", "Is", "Are", "Do", "Does", "Should"),
    *("Would", "Write", "Explain", "Describe", "List", "Give", "Tell", "Create", "Compare", "Suggest", "Provide"),
    *("Find", "Calculate", "Define", "Design", "Identify", "Discuss", "Please", "Generate", "Make", "Convert"),
)
"""Words, each one token, of which a derived prompt begins with one. Others here derive other prompts: a change
needs another `sampling.PROMPT` domain."""
