"""`python -m services.client.healthcheck HOST:PORT`: ends with 0 when the service there says SERVING, with 1 otherwise.

For the health checks of containers, which have neither a shell nor another program. Kubernetes asks by itself.
"""

import sys

from services.client.control import is_serving

TIMEOUT_S = 5.0


def main(arguments: list[str]) -> int:
    """Exit status; 2 for a wrong command line."""
    if len(arguments) != 1 or ":" not in arguments[0]:
        print("usage: python -m services.client.healthcheck HOST:PORT", file=sys.stderr)
        return 2
    if is_serving(arguments[0], TIMEOUT_S):
        return 0
    print(f"{arguments[0]} does not say SERVING", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
