# Sourced by run.sh and test.sh: makes .venv and fills it with the locked wheels. Needs Python 3.11
# or newer and, the first time, a package index. Warm, it compares a few small files and is done.
#
#   bootstrap runtime   what a network and the wallet need
#   bootstrap test      the same, and the tools of scripts/test.sh
#
# POSIX sh. $root is the checkout; the caller has set it.

venv="$root/.venv"

say() { printf '%s\n' "$*" >&2; }

die() {
    say "tallystick: $*"
    exit 1
}

# Prints the first Python that is new enough and can make a virtual environment.
find_python() {
    without_venv=""
    for name in python3.11 python3.12 python3.13 python3 python; do
        path=$(command -v "$name") || continue
        "$path" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        if "$path" -c 'import ensurepip, venv' 2>/dev/null; then
            printf '%s\n' "$path"
            return
        fi
        [ -n "$without_venv" ] || without_venv="$path"
    done
    [ -n "$without_venv" ] || die "Python 3.11 or newer is needed, and none is on the PATH."
    package=$("$without_venv" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    die "$without_venv lacks the modules venv or ensurepip." \
        "On Debian and Ubuntu they are in the package $package: apt-get install $package"
}

make_venv() {
    python=$(find_python) || exit 1
    say "making .venv with $("$python" --version)"
    rm -rf "$venv"
    "$python" -m venv "$venv" || {
        rm -rf "$venv"
        die "$python could not make a virtual environment."
    }
    printf '%s\n' "$root" >"$venv/checkout"
}

# install NAME: brings the environment to what NAME.txt says, unless it is there already. The stamp
# is a copy of the lock file: equal bytes mean nothing to do, and no index is asked.
install() {
    lock="$root/$1.txt"
    stamp="$venv/$1.installed"
    cmp -s "$lock" "$stamp" && return
    say "installing $(grep -c '==' "$lock") locked wheels ($1.txt)"
    PIP_USER=0 "$venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check \
        --require-hashes --only-binary :all: --no-deps -r "$lock" >&2 ||
        die "the locked wheels could not be installed; the first run needs a package index."
    cp "$lock" "$stamp.new" && mv "$stamp.new" "$stamp"
}

# The project is not built and not copied: a path file makes the checkout importable, and a launcher
# is its command. So no build backend is needed, and an edit counts at once.
link_project() {
    launcher="$venv/bin/tally"
    [ -x "$launcher" ] && [ ! "$root/scripts/bootstrap.sh" -nt "$launcher" ] && return
    for packages in "$venv"/lib/python3.*/site-packages; do
        printf '%s\n' "$root" >"$packages/tallystick.pth"
    done
    quoted=$(printf '%s\n' "$venv/bin/python" | sed "s/'/'\\\\''/g")
    # -P: the folder one stands in must not take the place of a package called node or api.
    printf '#!/bin/sh\nexec '\''%s'\'' -P -m tally "$@"\n' "$quoted" >"$launcher.new"
    chmod 755 "$launcher.new" && mv "$launcher.new" "$launcher"
}

bootstrap() {
    unset PYTHONHOME PYTHONPATH
    # A moved or copied checkout has an environment whose scripts name the old place: make it anew.
    if [ ! -x "$venv/bin/python" ] || [ ! -r "$venv/checkout" ] ||
        [ "$(cat "$venv/checkout")" != "$root" ]; then
        make_venv
    fi
    install requirements
    if [ "$1" = test ]; then
        install requirements-test
    fi
    link_project
}
