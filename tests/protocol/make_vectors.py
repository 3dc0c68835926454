"""Write `protocol/vectors` and the examples in the pages anew: `python tests/protocol/make_vectors.py`.

Only for those who change the protocol. The tests read the files and know nothing of this.
"""

import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from vectorgen import audits, diag, examples, functions, membership, streams, votes
from vectorgen.case import Case

PROTOCOL = Path(__file__).parents[2] / "protocol"
HEX_WIDTH = 112
PAGES = {
    "network.md": record_page if False else membership.network_records,
}
