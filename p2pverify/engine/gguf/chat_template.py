"""The chat template of the weights, and the first words of the prompts that the model writes.

All prompts stand in the template in the weights' metadata: clients' conversations, derived prompts, golden questions
and cover. `conversation` renders it. The manifest names its digest, because peers must agree on its token ids.
"""

from p2pverify.engine.gguf.reader import FileHead

#: For weights without a template.
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

OPENERS = (
    *("What", "How", "Why", "Which", "Who", "When", "Where", "Can", "Could", "Is", "Are", "Do", "Does", "Should"),
    *("Would", "Write", "Explain", "Describe", "List", "Give", "Tell", "Create", "Compare", "Suggest", "Provide"),
    *("Find", "Calculate", "Define", "Design", "Identify", "Discuss", "Please", "Generate", "Make", "Convert"),
)
"""The first words of derived prompts, each one token. A change here changes the derived prompts, so it needs another
`sampler.PROMPT` domain."""


def template_of(head: FileHead) -> str:
    """The chat template (Jinja) of the weights: their own, or CHATML if they have none."""
    return head.text("tokenizer.chat_template", "") or CHATML
