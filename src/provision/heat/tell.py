#!/usr/bin/env python3
# Tells Heat's wait handle how the installation went: SUCCESS or FAILURE, and why.
import json, sys, time, urllib.error, urllib.request

status, reason = sys.argv[1:3]
with open("/proc/sys/kernel/hostname") as name:
    node = name.read().strip()
body = {"id": node, "status": status, "reason": node + ": " + reason, "data": reason}
headers = {"Content-Type": "application/json", "X-Auth-Token": "<signal_token>"}
call = urllib.request.Request("<signal_url>", json.dumps(body).encode(), headers)
for pause in (5, 10, 20, 40, 0):
    try:
        urllib.request.urlopen(call, timeout=60).read()
        break
    except OSError as error:
        print("cannot tell Heat:", error, file=sys.stderr)
        # A worker that is made when the first have long been there is not waited for.
        if isinstance(error, urllib.error.HTTPError) and error.code < 500:
            break
        time.sleep(pause)
