"""llm, with the node as an extra OpenAI model: plain and streamed, through its command line."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

url, model = sys.argv[1:]
with tempfile.TemporaryDirectory() as folder:
    entry = {"model_id": "node", "model_name": model, "api_base": url, "api_key_name": "node"}
    (Path(folder) / "extra-openai-models.yaml").write_text(json.dumps([entry]), encoding="utf-8")
    environment = {**os.environ, "LLM_USER_PATH": folder}

    def llm(*arguments: str) -> str:
        """What the command prints."""
        command = [sys.executable, "-m", "llm", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    options = ("-o", "seed", "7", "-o", "temperature", "0.8", "-o", "max_tokens", "24")
    usual = ("-m", "node", "--key", "none", "-s", "Be brief.", *options, "Name a colour.")
    print(
        json.dumps(
            {
                "text": llm("--no-stream", *usual).removesuffix("\n"),
                "streamed": llm(*usual).removesuffix("\n"),
                "receipt": json.loads(llm("logs", "-n", "2", "--json"))[0]["response_json"]["p2pverify"]["receipt"],
            }
        )
    )
