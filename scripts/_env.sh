# Makes .venv on first use and again when what it is made from changes. Sourced by the scripts here.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="$root/.venv"
stamp="$venv/.made-from"

wanted="$(cat "$root/pyproject.toml" "$root/constraints.txt" | cksum)"
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
  python=""
  for candidate in python3 python3.13 python3.12 python3.11 python3.10 python; do
    if command -v "$candidate" >/dev/null 2>&1 &&
      "$candidate" -c 'import sys; raise SystemExit(sys.version_info < (3, 10))' 2>/dev/null; then
      python="$candidate"
      break
    fi
  done
  if [ -z "$python" ]; then
    echo "vidcascade needs Python 3.10 or newer: install one and run this again." >&2
    exit 1
  fi
  echo "Making $venv (first use: a minute or two) ..." >&2
  "$python" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --constraint "$root/constraints.txt" --editable "$root[dev]" >&2
  printf '%s\n' "$wanted" >"$stamp"
fi
