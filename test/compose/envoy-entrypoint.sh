#!/bin/sh
# As the entrypoint of Envoy's image behaves: flags alone are flags of Envoy, and root becomes the image's user.
case ${1-} in -*) set -- envoy "$@" ;; esac
if [ "$(id -u)" = 0 ] && [ "${ENVOY_UID:-101}" != 0 ]; then
  exec setpriv --reuid="${ENVOY_UID:-101}" --regid="${ENVOY_GID:-101}" --clear-groups "$@"
fi
exec "$@"
