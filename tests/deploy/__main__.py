"""``python -m tests.deploy http://127.0.0.1:8080``: hold a running process's metrics against what asks for them."""

from __future__ import annotations

import sys

from tests.deploy.running import complaints

found = complaints(sys.argv[1])
print("\n".join(found) or "every metric is declared, and every alert and query finds its series")
sys.exit(bool(found))
