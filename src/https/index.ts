/** Parts of the TCP listeners: TLS certificates from files, and servers of a few documents. */
