"""The audit of an endpoint: a server is asked ordinary questions, and a referee measures its answers.

- `client` sends the questions, and reads text and token ids from the answers.
- `judge` makes questions, and measures answers.
- `run` asks one question after the other until the test concludes.
- `rescore` computes the measures of an evidence file again.
- `causes` tells people why answers do not match.

`core.inference.endpoint` has the test and the file.
"""
