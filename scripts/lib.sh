# Shared by the shell scripts beside it; sourced, not run. Bash.
# Every function prints one plain sentence when it cannot do its work.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${NOCTULE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/noctule}

die() { # die MESSAGE [HINT]
    printf 'noctule: %s\n' "$1" >&2
    [ -z "${2:-}" ] || printf 'hint: %s\n' "$2" >&2
    exit "${3:-1}"
}

say() { printf '\n== %s\n' "$*"; }

as_root() { # run a command as root, by sudo where needed
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else return 1; fi
}

apt_get() { # apt-get as root, quiet; another program's lock is waited for, which is said. What it printed on an error, to stderr
    local log until=$((SECONDS + 300)) told= status=1; log=$(mktemp)
    while :; do
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=5 -qq "$@" >"$log" 2>&1 && { status=0; break; }
        grep -q "Could not get lock\|Unable to acquire the dpkg" "$log" && [ $SECONDS -lt $until ] || break
        [ -n "$told" ] || echo "another program is installing packages; waiting for it (five minutes at most)"
        told=1; sleep 1
    done
    [ $status = 0 ] || tail -n 5 "$log" >&2
    rm -f "$log"
    return $status
}

need_packages() { # need_packages PACKAGE...: Debian packages, installed when missing
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || die "This system has no apt-get; ${missing[*]} must be installed by hand."
    echo "installing Debian packages: ${missing[*]}"
    if ! { apt_get update && apt_get install -y --no-install-recommends "${missing[@]}"; }; then
        die "Debian's packages could not be installed." "run as root or with sudo: apt-get install ${missing[*]}"
    fi
}

python_ok() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; }

find_python() { # the Python to build environments with: $PYTHON, else python3
    local python=${PYTHON:-python3}
    command -v "$python" >/dev/null || die "There is no $python on this machine." "apt-get install python3"
    python_ok "$python" || die "$python is older than Python 3.10." "set PYTHON to a newer one"
    "$python" -c 'import ensurepip, venv' 2>/dev/null || need_packages python3-venv
    command -v "$python"
}

make_venv() { # make_venv FOLDER EXTRAS [REQUIREMENTS]: an environment with this checkout in it; quick when up to date
    local venv=$1 extras=$2 requirements=${3:-} python stamp
    python=$(find_python) || exit 1
    stamp=$({ "$python" -VV; cat "$ROOT/pyproject.toml" ${requirements:+"$requirements"}; echo "$ROOT $extras"; } | sha256sum)
    if [ "$(cat "$venv/.stamp" 2>/dev/null)" = "$stamp" ] && "$venv/bin/python" -c 'import noctule' 2>/dev/null; then return 0; fi
    echo "setting up $(basename "$venv") with $("$python" -V) (once; a minute or two)"
    rm -rf "$venv"
    "$python" -m venv "$venv" || die "The environment $venv could not be made."
    local log; log=$(mktemp)
    if ! { { [ -z "$requirements" ] || pip_quiet "$venv" -r "$requirements"; } && pip_quiet "$venv" -e "$ROOT$extras"; } \
        >"$log" 2>&1; then
        grep -v WARNING "$log" | tail -n 8 >&2; rm -f "$log"
        die "Python packages could not be installed into $venv." "is there a network? run it again: it goes on from here"
    fi
    rm -f "$log"
    printf %s "$stamp" > "$venv/.stamp"
}

pip_quiet() { # pip_quiet VENV ARGUMENTS...
    local venv=$1; shift
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}

link_pyaudio() { # link_pyaudio VENV: lend it Debian's PyAudio, where that fits its Python; says so when it does not
    local venv=$1 site debian=/usr/lib/python3/dist-packages/pyaudio
    "$venv/bin/python" -c 'import pyaudio' 2>/dev/null && return 0
    [ -d "$debian" ] || { echo "PyAudio is not installed: no microphone and no loudspeaker (apt-get install python3-pyaudio)"; return 0; }
    site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
    ln -sfn "$debian" "$site/pyaudio"
    if ! "$venv/bin/python" -c 'import pyaudio' 2>/dev/null; then
        rm -f "$site/pyaudio"
        echo "Debian's PyAudio is built for another Python than $venv: no microphone and no loudspeaker there"
    fi
}

need_models() { # need_models VENV NAME...: model packages that are made of pinned Python packages; quick when they are there
    local venv=$1; shift
    NOCTULE_PYTHON=$venv/bin/python "$ROOT/scripts/fetch_models" "$@" || exit $?
}
