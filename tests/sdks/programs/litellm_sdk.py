"""LiteLLM's SDK: plain and streamed."""

import json
import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # asks nobody for prices

import litellm

url, model = sys.argv[1:]
asked = {
    "model": f"openai/{model}",
    "api_base": url,
    "api_key": "none",
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name a colour."}],
    "seed": 7,
    "temperature": 0.8,
    "max_tokens": 24,
}
plain = litellm.completion(**asked)
chunks = list(litellm.completion(**asked, stream=True))
print(
    json.dumps(
        {
            "text": plain.choices[0].message.content,
            "streamed": "".join(chunk.choices[0].delta.content or "" for chunk in chunks),
            "receipt": plain.p2pverify["receipt"],
        }
    )
)
