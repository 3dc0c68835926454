"""langchain-openai: plain with response headers, and streamed."""

import json
import sys

from langchain_openai import ChatOpenAI

url, model = sys.argv[1:]
chat = ChatOpenAI(
    model=model, base_url=url, api_key="none", seed=7, temperature=0.8, max_tokens=24, include_response_headers=True
)
messages = [("system", "Be brief."), ("user", "Name a colour.")]
plain = chat.invoke(messages)
print(
    json.dumps(
        {
            "text": plain.content,
            "streamed": "".join(str(chunk.content) for chunk in chat.stream(messages)),
            "header": plain.response_metadata["headers"]["x-p2pverify-receipt"],
        }
    )
)
