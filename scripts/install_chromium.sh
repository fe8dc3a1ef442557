#!/bin/sh
# Chromium for the tests of the page, from Debian. Where that cannot be, they are skipped, aloud.
command -v chromium >/dev/null && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "No Chromium: the tests of the page will be skipped. On Debian: apt-get install chromium" >&2
	exit 0
fi
export DEBIAN_FRONTEND=noninteractive
{ apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } >/dev/null ||
	echo "Chromium could not be installed: the tests of the page will be skipped." >&2
