// Tests of TLS.
