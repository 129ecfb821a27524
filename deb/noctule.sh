#!/bin/sh
# Runs Noctule with the system's Python if this package has libraries for it, else with another that is installed.
home=/usr/lib/noctule
for python in "$(readlink /usr/bin/python3)" $(cd "$home" && ls -d python3.*); do
    if [ -x "/usr/bin/$python" ] && [ -e "$home/$python/bin/python" ]; then
        # -I: neither the current folder nor the user's own modules or PYTHON variables have a say
        exec "$home/$python/bin/python" -I -m noctule "$@"
    fi
done
echo "noctule: this package has libraries for $(cd "$home" && echo python3.*), and none of these is installed." >&2
echo "hint: install one of them, or the noctule package made for $(readlink /usr/bin/python3)" >&2
exit 78
