"""openai-python: plain, streamed, errors, models, headers, full checks."""

import json
import sys

import openai

url, model = sys.argv[1:]
client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
asked = {
    "model": model,
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name a colour."}],
    "seed": 7,
    "temperature": 0.8,
    "max_tokens": 24,
}
raw = client.chat.completions.with_raw_response.create(**asked)
plain = raw.parse()
chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
text = client.completions.create(model=model, prompt="The sky is", seed=7, max_tokens=8)
try:
    client.chat.completions.create(**asked, top_p=0.5)
    param = None
except openai.BadRequestError as error:
    param = error.param
eager = client.with_options(max_retries=2)
refused, retries = [], []
for more in (
    {"extra_body": {"p2pverify": {"panel": 3, "every": 1}}},  # the network has one peer, so there is no majority
    {"model": f"{model}@n3z1"},
):
    try:
        eager.chat.completions.create(**{**asked, **more})
    except openai.InternalServerError as error:
        refused.append(error.code)
        retries.append(error.request.headers["x-stainless-retry-count"])
print(
    json.dumps(
        {
            "models": [one.id for one in client.models.list()],
            "text": plain.choices[0].message.content,
            "streamed": "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices),
            "tokens": chunks[-1].usage.completion_tokens,
            "receipt": plain.p2pverify["receipt"],
            "header": raw.headers["x-p2pverify-receipt"],
            "last_chunk": chunks[-1].model_extra["p2pverify"]["receipt"],
            "completion": text.choices[0].text,
            "param": param,
            "refused": refused,
            "retries": retries,
        }
    )
)
