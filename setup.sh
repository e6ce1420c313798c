#!/bin/sh
# Finds Python 3.11 or 3.12 and hands over to installer/, which does the work. `./setup.sh help` lists the words.
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd -P) || exit 1
version='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))'

# One that can make virtual environments is preferred; the installer says what another one lacks.
for check in "import venv, ensurepip; $version" "$version"; do
    for python in python3.11 python3.12 python3 python; do
        if "$python" -c "$check" >/dev/null 2>&1; then
            exec "$python" "$here/installer/__main__.py" "$@"
        fi
    done
done

echo "Python 3.11 or 3.12 is needed, and neither was found on the PATH (python3 is $(python3 -V 2>&1 || echo missing))." >&2
case $(uname -s) in
    Darwin) echo "Install it with: brew install python@3.11 - then run this command again." >&2 ;;
    *) echo "Install it, for example with: sudo apt install python3.11 python3.11-venv - then run this command again." >&2 ;;
esac
exit 1
