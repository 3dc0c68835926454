"""The windows of all clients of a node: each client has one for each policy with which it asks.

They are kept in memory only. After a restart new windows begin, with new places. Each request is a full check with the
same probability as before, so no peer gains by a restart.
"""

import random

from p2pverify.core.limits import BoundedDict
from p2pverify.core.window import SECRET_BYTES, CheckPolicy, CheckWindow

CLIENTS_KEPT = 1024
POLICIES_KEPT = 8  # of each client


class ClientWindows:
    """Says which requests are full checks. `dice` draws the secrets, so it must be a secret source itself."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._clients: BoundedDict[str, BoundedDict[CheckPolicy, CheckWindow]] = BoundedDict(CLIENTS_KEPT)

    def panel(self, client_id: str, policy: CheckPolicy) -> int:
        """Take a client's next request. Returns how many peers are to answer it: the policy's panel, or one."""
        if policy.panel <= 1:
            return 1
        windows = self._clients.get(client_id)
        if windows is None:
            windows = BoundedDict(POLICIES_KEPT)
        self._clients[client_id] = windows
        window = windows.get(policy)
        if window is None or window.is_over:
            window = CheckWindow(policy.every, self._dice.randbytes(SECRET_BYTES))
        windows[policy] = window
        return policy.panel if window.take() else 1
