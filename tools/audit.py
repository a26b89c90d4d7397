"""`make audit`: are there known vulnerabilities in what is installed here? By pip-audit, from PyPI's and OSV's data.

Where no such data can be reached it says so, and does not fail. A copy of the advisories, kept in the repository, would
be old on the day after, and say that all is well.
"""

import json
import subprocess
import sys
from typing import Any

SERVICES = ("pypi", "osv")
LIMIT_S = 60


def main() -> int:
    """1 where a package has a known vulnerability, else 0."""
    for service in SERVICES:
        packages = ask(service)
        audited = [one for one in packages if "vulns" in one]
        bad = [one for one in audited if one["vulns"]]
        if audited:
            left = [one["name"] for one in packages if one not in audited]
            print(f"{len(audited)} packages looked up ({service}), {len(bad)} with known vulnerabilities.")
            print(f"Not looked up: {', '.join(left)}." if left else "All that is installed was looked up.")
            for one in bad:
                print(f"{one['name']} {one['version']}: {', '.join(map(described, one['vulns']))}")
            return 1 if bad else 0
    print("NOT AUDITED: no data on vulnerabilities can be reached from here: nothing was looked up.", file=sys.stderr)
    return 0


def ask(service: str) -> list[dict[str, Any]]:
    """What pip-audit says of each package; empty where the service does not answer."""
    command = [sys.executable, "-m", "pip_audit", "--local", "--format=json", "--progress-spinner=off", "--timeout=5"]
    try:
        done = subprocess.run(
            [*command, f"--vulnerability-service={service}"],
            capture_output=True, text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return []
    return packages


def described(vulnerability: dict[str, Any]) -> str:
    """Its name, and where it is mended."""
    return f"{vulnerability['id']} (mended in {', '.join(vulnerability['fix_versions']) or 'no version yet'})"


if __name__ == "__main__":
    sys.exit(main())
