"""The chat template, a constant of this package: ChatML with one user turn and no system message.

Peers must agree on token ids. So the template does not come from the weights' metadata: its Jinja text adds a system
message, and llama.cpp's built-in templates leave that message out. The engine turns the template into tokens.
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
"""The first words of derived prompts, each one token. A change here changes the derived prompts, so it needs another
`sampler.PROMPT` domain."""
