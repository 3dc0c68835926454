"""OpenAI's API for the clients of a node: chat and text completions, plain and streamed, models, receipts."""
