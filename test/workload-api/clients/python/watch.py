"""Watches the Workload API with the library `spiffe`, and prints each update as a line of JSON."""

import json
import sys
import time

from spiffe import WorkloadApiClient


def show(**fields):
    print(json.dumps(fields), flush=True)


def updated(context):
    svids = context.x509_svids
    bundles = list(context.x509_bundle_set.bundles)
    show(
        ids=[str(svid.spiffe_id) for svid in svids],
        serial=format(context.default_svid.leaf.serial_number, "x"),
        domains=sorted(f"spiffe://{bundle.trust_domain.name}" for bundle in bundles),
        roots=sum(len(bundle.x509_authorities) for bundle in bundles),
    )


def failed(error):
    show(error=str(error))


with WorkloadApiClient() as client:
    client.stream_x509_contexts(on_success=updated, on_error=failed)
    while True:
        time.sleep(3600)
